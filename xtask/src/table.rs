//! Measures the same task in each language, as a table for docs/src/languages.md.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

/// The number of threads, and so of instances, from which the memory of one instance is derived.
const MANY: u64 = 17;

/// Rounds for fast figures, of which the median counts.
const ROUNDS: usize = 9;

/// Prints a row for each task, measured with this gorgon.
pub(crate) fn print(gorgon: &Path, tasks: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    println!("| language | size | compile | start again | instantiate | operation | memory |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for (language, task) in tasks {
        println!("| {language} | {} |", line(gorgon, task)?.join(" | "));
    }
    Ok(())
}

fn line(gorgon: &Path, task: &Path) -> anyhow::Result<[String; 6]> {
    let cache = Cache::new()?;
    let first = cache.run(gorgon, task, &["-n", "1"])?;
    let mut starts = Vec::new();
    let mut instantiated = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let run = cache.run(gorgon, task, &["-n", "1"])?;
        starts.push(begin.elapsed());
        instantiated.push(figure(&run, "/startup_ns/instantiate")?);
    }
    let many = cache.run(gorgon, task, &["-n", "5000"])?;
    let threads = MANY.to_string();
    let wide = cache.run(gorgon, task, &["-n", "2000", "-t", &threads])?;
    let rss = |run: &Value| figure(run, "/workers/0/peak_rss_bytes");
    let memory = rss(&wide)?.saturating_sub(rss(&many)?) / (MANY - 1);
    Ok([
        bytes(figure(&first, "/task/bytes")?),
        time(figure(&first, "/startup_ns/compile")?),
        time(u64::try_from(median(&mut starts).as_nanos())?),
        time(median(&mut instantiated)),
        time(figure(&many, "/latency_ns/p50")?),
        bytes(memory),
    ])
}

/// A separate cache of compiled tasks, so that the first start compiles.
struct Cache(PathBuf);

impl Cache {
    fn new() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("gorgon-languages-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// The first run of the report.
    fn run(&self, gorgon: &Path, task: &Path, args: &[&str]) -> anyhow::Result<Value> {
        let mut command = Command::new(gorgon);
        command.env("XDG_CACHE_HOME", &self.0).arg("run").arg(task).args(["--json", "-", "--quiet"]).args(args);
        let output = command.output().with_context(|| format!("cannot run {}", gorgon.display()))?;
        ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout)?;
        Ok(report["runs"][0].clone())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn figure(run: &Value, pointer: &str) -> anyhow::Result<u64> {
    run.pointer(pointer).and_then(Value::as_u64).with_context(|| format!("no {pointer} in the report"))
}

fn median<T: Ord + Copy>(values: &mut [T]) -> T {
    values.sort();
    values[values.len() / 2]
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

fn time(ns: u64) -> String {
    let time = Duration::from_nanos(ns);
    match ns {
        0..1_000_000 => format!("{} µs", time.as_micros()),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
