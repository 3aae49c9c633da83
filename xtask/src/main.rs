//! `cargo xtask …`: sets up a fresh machine, runs all checks, and measures.

mod bench;
mod bench_boxes;
mod bench_http;
mod beside;
mod checks;
mod compare_check;
mod dist;
mod platforms;
mod stall;
mod table;
mod truth;
mod width;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use xtask::languages::{Commands, Language};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo     build the examples and gorgon, and run a task over several shapes
  guests   install the wasm32-wasip2 target if it is missing, and build the examples and the tests' guests
  guests --lang python|js|ts|c|cpp|go|zig|quickjs|assemblyscript|nim|kotlin
           install that language's toolchain if it is missing, and build its examples
  languages [GORGON]
           measure the same task in every language, and print a table; with this gorgon, or a release build
  check    formatting, lints, dependencies, unit tests: minutes, once dependencies are compiled
  test     everything that is checked: the above, docs, packages, end-to-end tests
  simulate [--seed S] [--runs N]
           simulate the controller in made-up worlds, 100,000 by default; with a seed, print that world step by step;
           print in how many runs each of a list of deliberate mistakes is found
  bench-http
           measure HTTP beside other tools, each on one core, against nginx on the other
  bench-boxes [GORGON [PART]]
           measure runs over boxes beside runs on one machine, with a real NATS server and agents on loopback
  stall [GORGON]
           freeze a target for four seconds, and compare the reports of gorgon and other tools with arithmetic
  dist [GORGON]
           make what a release hands out: an archive, a Debian package (by cargo-deb), checksums; from this gorgon, or
           a release build
  platforms
           check the host for macOS, without C code; build it for Linux on arm64, and run its main job there by qemu-user
  bench-html
           measure how soon a browser has drawn the report of an hour's run
  bench    measure the harness against a bare wasmtime loop, and print ratios
  bench-beside OLD [NEW]
           measure two gorgons beside each other, in interleaved rounds; OLD and NEW, or OLD and a release build
  truth [--gorgon GORGON] [NAME…]
           hold conclusions of gorgon against truths from arithmetic or a server's log: all of them, or those whose names
           begin so; with this gorgon, or a release build
  compare-check [waits|computes|made-up]
           count how often `gorgon compare` is right about pairs of runs that are equal, and of which one is 5 % slower:
           200 pairs that wait (ten minutes), 60 that compute (ten minutes), or 200 of several kinds without running them";

/// The target that Rust guests are built for.
const TARGET: &str = "wasm32-wasip2";

/// The packages that are tasks, as arguments of cargo. The tests build the same packages.
fn task_packages() -> impl Iterator<Item = &'static str> {
    include_str!("../../tests/guests/packages").lines().flat_map(|package| ["-p", package])
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    if let ["guests", "--lang", language] = arguments[..] {
        for task in examples(Language::named(language)?)? {
            println!("{}", task.display());
        }
        return Ok(());
    }
    match arguments.first().copied() {
        Some("demo") => demo(),
        Some("guests") => guests(),
        Some("languages") => languages(arguments.get(1).map(PathBuf::from)),
        Some("check") => checks::check(),
        Some("test") => checks::test(),
        Some("simulate") => simulate(&arguments[1..]),
        Some("bench") => bench::run_all().and_then(|()| bench::run_parts()),
        Some("bench-html") => bench_html(),
        Some("platforms") => platforms::run_all(),
        Some("dist") => dist::run_all(arguments.get(1).map(PathBuf::from)),
        Some("stall") => stall::run_all(arguments.get(1).map(PathBuf::from)),
        Some("bench-http") => bench_http::run_all(),
        Some("bench-boxes") => bench_boxes::run_all(arguments.get(1).map(PathBuf::from), arguments.get(2).copied()),
        Some("bench-beside") => {
            let old = arguments.get(1).context("name the gorgon to measure against")?;
            beside::run_all(old.into(), arguments.get(2).map(PathBuf::from))
        }
        Some("truth") => truth::run_all(&arguments[1..]),
        Some("compare-check") => compare_check::run_all(std::env::args().nth(2).as_deref()),
        _ => bail!("{USAGE}"),
    }
}

/// Builds every task of this repository.
fn guests() -> anyhow::Result<()> {
    install_target()?;
    run(cargo().args(["build", "--release", "--target", TARGET]).args(task_packages()))
}

/// Builds gorgon in release, and the loop it is measured against. Returns the path of gorgon. All commands build this
/// same selection, because cargo chooses features for the whole selection and would otherwise build again.
fn release() -> anyhow::Result<PathBuf> {
    run(cargo().args(["build", "--release", "-p", "gorgon-cli", "--bin", "gorgon", "--example", "bare"]))?;
    Ok(target()?.join("release/gorgon"))
}

/// Builds the examples of a language with the commands in their READMEs, in copies outside of the checkout. Returns the
/// paths of the tasks.
fn examples(language: Language) -> anyhow::Result<Vec<PathBuf>> {
    let tools = language.install()?;
    run(cargo().args(["build", "-p", "gorgon-cli", "--bin", "gorgon"]))?;
    let gorgon = target()?.join("debug/gorgon");
    let built = target()?.join("languages").join(language.name());
    let examples = root().join("examples").join(language.name());
    let mut tasks = Vec::new();
    for example in std::fs::read_dir(&examples)? {
        let example = example?;
        let project = built.join(example.file_name());
        std::fs::create_dir_all(&project)?;
        run(Command::new("cp").args(["-RL", "."]).arg(&project).current_dir(example.path()))?;
        tools.set_up(&project)?;
        let readme = std::fs::read_to_string(project.join("README.md"))?;
        let commands = Commands::of(&readme)?;
        run(&mut tools.shell(&project, &gorgon, commands.build)?)?;
        tasks.push(project.join("task.wasm"));
    }
    tasks.sort();
    Ok(tasks)
}

/// Measures the same task in every language.
fn languages(gorgon: Option<PathBuf>) -> anyhow::Result<()> {
    guests()?;
    let gorgon = match gorgon {
        Some(gorgon) => gorgon,
        None => release()?,
    };
    let mut tasks = vec![("rust", target()?.join(TARGET).join("release/hash.wasm"))];
    for language in Language::ALL {
        // The first example of each language only computes.
        tasks.extend(examples(language)?.into_iter().next().map(|task| (language.name(), task)));
    }
    table::print(&gorgon, &tasks)
}

/// Simulates the controller in made-up worlds. The tests run some thousands of them.
fn simulate(arguments: &[&str]) -> anyhow::Result<()> {
    let (mut seed, mut runs) = (None, "100000");
    for pair in arguments.chunks(2) {
        match pair {
            ["--seed", given] => seed = Some(*given),
            ["--runs", given] => runs = given,
            _ => bail!("{USAGE}"),
        }
    }
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is not a whole number"));
    number(runs)?;
    let mut test = cargo();
    test.args(["test", "--package", "gorgon-cli", "--lib", "controller::simulation"]);
    test.args(["--", "--nocapture", "--test-threads", "1"]).env("GORGON_SIMULATE_RUNS", runs);
    if let Some(seed) = seed {
        number(seed)?;
        test.arg("the_controller_holds").env("GORGON_SIMULATE_SEED", seed);
    }
    run(&mut test)
}

/// Shows what gorgon does: one task over four shapes in one report, and a flow against a server.
fn demo() -> anyhow::Result<()> {
    guests()?;
    let (gorgon, target) = (release()?, target()?);
    let shapes = ["1x1", "2x1", "2x4", "4x10"].iter().flat_map(|shape| ["--shape", shape]);
    let task = target.join(TARGET).join("release/hash.wasm");
    run(Command::new(&gorgon).arg("run").arg(task).args(["-n", "4000"]).args(shapes))?;
    run(Command::new(&gorgon).arg("demo"))
}

/// Prints the size of an hour's report, and when a browser has drawn it, as its test reports them.
fn bench_html() -> anyhow::Result<()> {
    let test = ["test", "--package", "gorgon-cli", "--test", "e2e", "an_hour_fits", "--", "--nocapture"];
    run(cargo().args(test))
}

/// Adds the wasm target to the current toolchain if it is missing.
fn install_target() -> anyhow::Result<()> {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let libraries = libraries.context("cannot run rustc")?;
    if Path::new(String::from_utf8_lossy(&libraries.stdout).trim()).is_dir() {
        return Ok(());
    }
    let mut rustup = Command::new("rustup");
    match rustup.args(["target", "add", TARGET]).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => bail!(
            "rustup could not add {TARGET} (it has said why above): let it reach https://static.rust-lang.org, or set \
             RUSTUP_DIST_SERVER to a mirror that you can reach, and run `rustup target add {TARGET}`"
        ),
        Err(error) => bail!(
            "this Rust cannot build for {TARGET}, and rustup, which could add that, does not start ({error}): install \
             Rust from https://rustup.rs, then run `rustup target add {TARGET}`"
        ),
    }
}

/// Cargo in the root of the workspace.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // Cargo's variables for this package must not reach the next cargo. A build script that watches them (ring's does)
    // would run again, and everything that depends on it, each time cargo is called without xtask in between.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn root() -> PathBuf {
    // This asks the cargo that runs xtask, not the one that built it, because two checkouts may share a target folder.
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    package.join("..")
}

/// The folder of cargo's output.
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
