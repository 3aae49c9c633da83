//! Measures gorgon beside a bare wasmtime loop and beside the loop of the original.
//!
//! Speeds are ratios of medians over interleaved rounds, so a machine that is busy for a while slows both sides. The
//! absolute figures only hold for this machine at this time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{TARGET, cargo, guests, release, root, run, target};

/// Interleaved rounds. With an odd number, the median is one of them.
const ROUNDS: usize = 9;

/// Operations of a no-op task in a round, which take about a second.
const NOOPS: u64 = 8_000_000;

pub(crate) struct Bench {
    pub(crate) gorgon: PathBuf,
    bare: PathBuf,
    tasks: PathBuf,
}

pub(crate) fn run_parts() -> anyhow::Result<()> {
    run(cargo().args(["bench", "-p", "gorgon-cli", "--bench", "parts"]))
}

pub(crate) fn run_all() -> anyhow::Result<()> {
    guests()?;
    let (gorgon, target) = (release()?, target()?);
    let bench = Bench::new(gorgon, &target);
    bench.speed()?;
    bench.start()?;
    bench.memory()
}

impl Bench {
    /// What was built into `target`, run by `gorgon`.
    pub(crate) fn new(gorgon: PathBuf, target: &Path) -> Self {
        Self { gorgon, bare: target.join("release/examples/bare"), tasks: target.join(TARGET).join("release") }
    }

    fn speed(&self) -> anyhow::Result<()> {
        println!("speed: medians of {ROUNDS} interleaved rounds\n");
        let (mut bare, mut clocked, mut model) = (vec![], vec![], vec![]);
        let (mut one, mut threads, mut processes) = (vec![], vec![], vec![]);
        let (mut bare_alone, mut bare_pairs) = (vec![], vec![]);
        let (mut hash, mut hash_model) = (vec![], vec![]);
        for round in 0..ROUNDS {
            eprint!("\rround {} of {ROUNDS} ", round + 1);
            bare.push(self.bare(&[])?);
            clocked.push(self.bare(&["clock"])?);
            one.push(self.per_operation("noop", NOOPS, "1x1")?);
            threads.push(self.per_operation("noop", 2 * NOOPS, "1x2")?);
            processes.push(self.per_operation("noop", 2 * NOOPS, "2x1")?);
            bare_alone.push(self.bare(&["clock"])?);
            bare_pairs.push(self.two_bare()?);
            model.push(self.model("noop", 200_000)?);
            hash.push(self.per_operation("hash", 5_000, "1x1")?);
            hash_model.push(self.model("hash", 1_000)?);
        }
        eprintln!();
        let rows = [
            ("bare wasmtime loop", &bare),
            ("bare wasmtime loop, two clock readings", &clocked),
            ("gorgon, no-op, 1x1, all included", &one),
            ("gorgon, no-op, 1x2", &threads),
            ("gorgon, no-op, 2x1", &processes),
            ("the original's loop in Python, no-op", &model),
            ("gorgon, hash, 1x1", &hash),
            ("the original's loop in Python, hash", &hash_model),
        ];
        for (name, figures) in rows {
            println!("{:>10.1} ns per operation  {name}", median(figures));
        }
        let scaling = |shape: &[f64]| median(&one) / median(shape);
        println!();
        ratio("gorgon 1x1 to the bare loop with two clock readings", median(&one) / median(&clocked), "at most 1.25");
        ratio("gorgon 1x1 to the bare loop", median(&one) / median(&bare), "");
        ratio("throughput of 1x2 to 1x1", scaling(&threads), "at least 1.85");
        ratio("throughput of 2x1 to 1x1", scaling(&processes), "at least 1.85");
        ratio("the same of two bare loops at once to one", 2.0 * median(&bare_alone) / median(&bare_pairs), "");
        ratio("the original's loop to gorgon 1x1, no-op", median(&model) / median(&one), "at least 20");
        ratio("the original's loop to gorgon 1x1, hash", median(&hash_model) / median(&hash), "at least 2.5");
        Ok(())
    }

    fn start(&self) -> anyhow::Result<()> {
        println!("\nstart: medians of 21 runs, from the command to its end\n");
        for (args, aim) in [(["-n", "1", "--shape", "1x1"], 60), (["-n", "4000", "--shape", "4x10"], 200)] {
            let mut times = vec![];
            for _ in 0..21 {
                let begin = Instant::now();
                self.report("noop", &args)?;
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
            println!("{:>10.1} ms  noop {}  (aim: under {aim} ms)", median(&times), args.join(" "));
        }
        Ok(())
    }

    fn memory(&self) -> anyhow::Result<()> {
        println!("\nmemory: peak resident size of all workers together\n");
        let few = self.peak("noop", &["-n", "1000000"])?;
        let many = self.peak("noop", &["-n", "100000000"])?;
        println!("{few:>10.1} MiB  noop -n 10^6");
        println!("{many:>10.1} MiB  noop -n 10^8  ({:+.1} MiB, aim: at most 3 more)", many - few);
        let threads = self.peak("noop", &["-n", "100000", "-p", "2", "-t", "500"])?;
        println!("{threads:>10.1} MiB  noop -p 2 -t 500  (aim: under 400 MiB)");
        let results = self.peak("results", &["-n", "4000000", "-p", "4", "-t", "10"])?;
        println!("{results:>10.1} MiB  a thousand results, -p 4 -t 10  (aim: under 300 MiB)");
        Ok(())
    }

    /// Wall time per operation, from the first start to the last end.
    pub(crate) fn per_operation(&self, task: &str, operations: u64, shape: &str) -> anyhow::Result<f64> {
        let report = self.report(task, &["-n", &operations.to_string(), "--shape", shape])?;
        let throughput = report["runs"][0]["throughput"].as_f64().context("no throughput")?;
        Ok(1e9 / throughput)
    }

    /// The peak resident size of a run's workers together, in MiB.
    pub(crate) fn peak(&self, task: &str, args: &[&str]) -> anyhow::Result<f64> {
        Ok(peak_rss(&self.report(task, args)?)? as f64 / f64::from(1 << 20))
    }

    pub(crate) fn report(&self, task: &str, args: &[&str]) -> anyhow::Result<Value> {
        let mut gorgon = Command::new(&self.gorgon);
        gorgon.arg("run").arg(self.task(task)).args(args).args(["--json", "-"]);
        let output = gorgon.output().with_context(|| format!("cannot run {gorgon:?}"))?;
        ensure!(output.status.success(), "{gorgon:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn bare(&self, args: &[&str]) -> anyhow::Result<f64> {
        figure(Command::new(&self.bare).arg(self.task("noop")).arg(NOOPS.to_string()).args(args))
    }

    /// Two bare loops at once, which shows what the machine gives to the second one.
    fn two_bare(&self) -> anyhow::Result<f64> {
        let loops = || self.bare(&["clock"]);
        std::thread::scope(|scope| {
            let (a, b) = (scope.spawn(loops), scope.spawn(loops));
            let joined = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                Ok(figure) => figure,
                Err(panic) => std::panic::resume_unwind(panic),
            };
            let (a, b): (anyhow::Result<f64>, anyhow::Result<f64>) = (joined(a), joined(b));
            Ok((a? + b?) / 2.0)
        })
    }

    fn model(&self, operation: &str, calls: u64) -> anyhow::Result<f64> {
        figure(Command::new("python3").arg(root().join("xtask/src/model.py")).args([operation, &calls.to_string()]))
    }

    fn task(&self, name: &str) -> PathBuf {
        Path::new(&self.tasks).join(name).with_extension("wasm")
    }
}

/// The peak resident size of a run's workers together, in bytes.
pub(crate) fn peak_rss(report: &Value) -> anyhow::Result<u64> {
    let workers = report["runs"][0]["workers"].as_array().context("no workers")?;
    Ok(workers.iter().filter_map(|worker| worker["peak_rss_bytes"].as_u64()).sum())
}

/// The single number that a command prints.
fn figure(command: &mut Command) -> anyhow::Result<f64> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().with_context(|| format!("{command:?} printed no number"))
}

fn ratio(name: &str, ratio: f64, aim: &str) {
    let aim = if aim.is_empty() { String::new() } else { format!("  (aim: {aim})") };
    println!("{ratio:>10.2} x  {name}{aim}");
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
