//! `cargo xtask …`: what a fresh machine needs, everything that is checked, and the measurements.

mod bench;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  guests   install the wasm32-wasip2 target where it is missing, and build the examples and the tests' guests
  test     everything that is checked: formatting, lints, docs, tests
  bench    measure the harness against a bare wasmtime loop, and print ratios";

/// The target that Rust guests are built for.
const TARGET: &str = "wasm32-wasip2";

/// The packages that are tasks.
const GUESTS: [&str; 7] = ["hello", "hash", "spans", "recorder", "sleeper", "noop", "results"];

fn main() -> anyhow::Result<()> {
    let command = std::env::args().nth(1);
    match command.as_deref() {
        Some("guests") => guests(),
        Some("test") => test(),
        Some("bench") => bench::run_all().and_then(|()| bench::run_parts()),
        _ => bail!("{USAGE}"),
    }
}

/// Builds every task of this repository.
fn guests() -> anyhow::Result<()> {
    install_target()?;
    run(cargo().args(["build", "--release", "--target", TARGET]).args(GUESTS.iter().flat_map(|guest| ["-p", guest])))
}

fn test() -> anyhow::Result<()> {
    install_target()?;
    run(cargo().args(["fmt", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let guests = GUESTS.iter().flat_map(|guest| ["-p", guest]);
    run(cargo().args(["clippy", "--target", TARGET]).args(guests).args(["--", "-D", "warnings"]))?;
    run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    run(cargo().args(["test", "--workspace"]))
}

/// Adds the wasm target to the toolchain in use. Where rustup is not there, or has no such target, building says so.
fn install_target() -> anyhow::Result<()> {
    let sysroot = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let libraries = sysroot.context("cannot run rustc")?;
    if Path::new(String::from_utf8_lossy(&libraries.stdout).trim()).is_dir() {
        return Ok(());
    }
    run(Command::new("rustup").args(["target", "add", TARGET]))
        .with_context(|| format!("{TARGET} is missing: install it for the toolchain in use (rustc -vV names it)"))
}

/// Cargo, in the root of the workspace.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo puts what it builds.
fn target() -> anyhow::Result<PathBuf> {
    let output = cargo().args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(metadata["target_directory"].as_str().context("cargo names no target directory")?.into())
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}
