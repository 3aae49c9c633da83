//! The steps of `cargo xtask check` and `cargo xtask test`, and how long each took. The rules are in the files of the
//! tools: Cargo.toml, rustfmt.toml, clippy.toml, deny.toml, eslint.config.mjs.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use xtask::languages;

use crate::{TARGET, cargo, install_target, root, run, task_packages, width};

/// The folder of the report's JavaScript.
const PAGE: &str = "host/src/rendering/html";

/// A part of the name of every test over boxes.
const BOXES: &str = "boxes::";

/// The checks before each commit: all that need neither a process of Gorgon nor a guest.
pub(crate) fn check() -> anyhow::Result<()> {
    static_checks()?;
    step("unit tests", || run(cargo().args(["test", "--workspace", "--lib", "--bins"])))
}

/// Everything that is checked.
pub(crate) fn test() -> anyhow::Result<()> {
    install_target()?;
    static_checks()?;
    step("clippy of the tasks", || {
        run(cargo().args(["clippy", "--target", TARGET]).args(task_packages()).args(["--", "-D", "warnings"]))
    })?;
    step("documentation", || {
        run(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("packages", package)?;
    // Runs over boxes mostly wait: for silence, for a server that is away. More of them at once end sooner.
    step("tests of boxes", || run(cargo().args(["test", "--workspace", BOXES, "--", "--test-threads", "4"])))?;
    step("tests", || run(cargo().args(["test", "--workspace", "--", "--skip", BOXES])))
}

fn static_checks() -> anyhow::Result<()> {
    step("format", || run(cargo().args(["fmt", "--check"])))?;
    step("width of comments", || width::check(&root()))?;
    step("JavaScript of the page", page)?;
    step("licences, bans and sources of dependencies", || run(&mut deny(&["check", "licenses", "bans", "sources"])?))?;
    step("advisories on dependencies", advisories)?;
    step("clippy", || run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])))
}

/// Runs a step, and prints its name before and its duration after it.
fn step(name: &str, run: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let begin = Instant::now();
    run().with_context(|| format!("failed: {name}"))?;
    println!("== {name}: {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Runs ESLint on the scripts of the HTML report, except for uPlot's.
fn page() -> anyhow::Result<()> {
    let line = "eslint --config eslint.config.mjs --no-warn-ignored --max-warnings 0 \"$GORGON_PAGE\"/*.js";
    run(languages::eslint()?.shell(&root(), Path::new("gorgon"), line)?.env("GORGON_PAGE", PAGE))
}

/// cargo-deny with these arguments.
fn deny(arguments: &[&str]) -> anyhow::Result<Command> {
    let line = format!("cargo-deny {}", arguments.join(" "));
    languages::cargo_deny()?.shell(&root(), Path::new("gorgon"), &line)
}

/// The advisories come from a git repository on GitHub. If that cannot be reached, the check is skipped and the output
/// says so.
fn advisories() -> anyhow::Result<()> {
    if run(&mut deny(&["fetch", "db"])?).is_err() {
        println!("NOT CHECKED: advisories (RustSec) and yanked crates: their database cannot be fetched, see above");
        return Ok(());
    }
    run(&mut deny(&["check", "--disable-fetch", "advisories"])?)
}

/// Packages the published crates and builds them from the packages. The settings are the workspace's, so dependencies
/// are not compiled again.
fn package() -> anyhow::Result<()> {
    let packages = ["gorgon-cli", "gorgon-guest-macro", "gorgon-guest"].map(|name| ["-p", name]);
    let as_here = [r#"profile.dev.package."*".opt-level=2"#, r#"profile.dev.package."*".debug=false"#];
    let as_here = as_here.map(|setting| ["--config", setting]);
    run(cargo().args(["package", "--allow-dirty"]).args(packages.as_flattened()).args(as_here.as_flattened()))
}
