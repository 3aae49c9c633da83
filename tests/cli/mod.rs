//! The command line as golden sessions: commands, their output and their exit codes.

#[test]
fn golden_sessions() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/cli");
    trycmd::TestCases::new()
        .default_bin_path(env!("CARGO_BIN_EXE_gorgon"))
        .env("COLUMNS", "100")
        .env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .case(root.join("*.trycmd").to_str().unwrap_or_default());
}
