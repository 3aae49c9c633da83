//! The items of stalls: processes of Gorgon are stopped for a second.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::{Bench, Measured, NOBODY, Ran};
use crate::run;

/// Whom to stop.
#[derive(Clone, Copy)]
enum Whom {
    All,
    Controller,
    Worker,
}

const ROUNDS: usize = 5;

pub(super) fn all(bench: &Bench) -> anyhow::Result<Measured> {
    measure(bench, Whom::All, "worker")
}

pub(super) fn controller(bench: &Bench) -> anyhow::Result<Measured> {
    measure(bench, Whom::Controller, "controller")
}

pub(super) fn numbers(bench: &Bench) -> anyhow::Result<Measured> {
    measure(bench, Whom::Controller, "numbers")
}

pub(super) fn worker(bench: &Bench) -> anyhow::Result<Measured> {
    measure(bench, Whom::Worker, "worker")
}

/// How long `what` stood still according to the report, of five rounds the one that is the furthest from the truth.
/// Without numbers, workers do what they were leased before they stand still.
fn measure(bench: &Bench, whom: Whom, what: &str) -> anyhow::Result<Measured> {
    let mut worst: Option<(f64, f64)> = None;
    for _ in 0..ROUNDS {
        let (ran, stopped) = bench.alone(|| stop(bench, whom))?;
        let stalls = ran.report["runs"][0]["generator"]["stalls"].as_array().context("the report has no stalls")?;
        let lengths =
            stalls.iter().filter(|stall| stall["what"] == what).filter_map(|stall| stall["length_ns"].as_f64());
        let round = (stopped.as_secs_f64(), lengths.fold(0.0, f64::max) / 1e9);
        let distance = |(truth, ours): (f64, f64)| (ours / truth - 1.0).abs();
        if worst.is_none_or(|worst| distance(round) > distance(worst)) {
            worst = Some(round);
        }
    }
    let (truth, ours) = worst.context("there was no round")?;
    Ok(Measured::figure(truth, ours, 0.1, " s"))
}

/// Runs a task for three seconds, and stops some of its processes for one. Returns for how long they were stopped.
fn stop(bench: &Bench, whom: Whom) -> anyhow::Result<(Ran, Duration)> {
    // This task takes numbers so fast that it soon needs the next ones.
    let mut gorgon = bench.command("run", "hash", NOBODY);
    gorgon.args(["-p", "2", "-d", "3s"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let gorgon = gorgon.spawn()?;
    sleep(Duration::from_millis(1500));
    let mut processes = workers(&gorgon)?;
    match whom {
        Whom::All => processes.push(gorgon.id()),
        Whom::Controller => processes = vec![gorgon.id()],
        Whom::Worker => processes.truncate(1),
    }
    let signal = |name: &str| run(Command::new("kill").arg(name).args(processes.iter().map(u32::to_string)));
    signal("-STOP")?;
    let begin = Instant::now();
    sleep(Duration::from_secs(1));
    signal("-CONT")?;
    let stopped = begin.elapsed();
    Ok((Ran::new(&gorgon.wait_with_output()?, None)?, stopped))
}

/// The processes that it has started.
fn workers(gorgon: &Child) -> anyhow::Result<Vec<u32>> {
    let id = gorgon.id();
    let mut workers = Vec::new();
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        let children = fs::read_to_string(thread?.path().join("children"))?;
        workers.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    anyhow::ensure!(workers.len() == 2, "it has {} workers", workers.len());
    Ok(workers)
}
