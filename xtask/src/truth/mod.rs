//! `cargo xtask truth`: holds Gorgon's conclusions against truths that come from arithmetic or from a server's log.
//!
//! Each item of [`ITEMS`] is measured in rounds. A round in which other programs took more than [`MOST_TAKEN`] of the
//! machine is repeated and not counted. To add an item, write a function that measures it, and add a line to the table.

mod figures;
mod find;
mod generator;
mod queue;
mod round;
mod server;
mod stalls;
mod verdicts;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{TARGET, guests, release, target};
use round::Machine;
use server::{Served, Server};

/// What is measured: its name on the command line, what it is, and how.
struct Item {
    name: &'static str,
    what: &'static str,
    measure: fn(&Bench) -> anyhow::Result<Measured>,
}

/// All items, in the order in which they are measured. Together they take less than forty minutes on an idle machine.
const ITEMS: &[Item] = &[
    Item { name: "find-constant", what: "find: 4 servers, constant 20 ms, p99<200ms", measure: find::constant },
    Item {
        name: "find-exponential",
        what: "find: 4 servers, exponential 20 ms, p99<200ms",
        measure: find::exponential,
    },
    Item { name: "find-lognormal", what: "find: 4 servers, lognormal 20 ms, p99<200ms", measure: find::lognormal },
    Item {
        name: "find-no-limit",
        what: "find: no limit, 20 ms and 10 % at 400 ms, up to 300/s",
        measure: find::no_limit,
    },
    Item {
        name: "find-stragglers",
        what: "find: no limit, 20 ms and each 100th at 2 s, up to 200/s",
        measure: find::stragglers,
    },
    Item { name: "find-refused", what: "find: nobody listens", measure: find::refused },
    Item { name: "find-culprits", what: "find: the culprit in 40 searches of four kinds", measure: find::culprits },
    Item { name: "generator-limited", what: "generator-limited: 50 runs that are", measure: generator::limited },
    Item { name: "generator-free", what: "generator-limited: 50 runs that are not", measure: generator::free },
    Item { name: "generator-slow", what: "generator-limited: 20 runs of 150 ms and 1 s", measure: generator::slow },
    Item { name: "stall-all", what: "stall: all processes stopped for 1 s", measure: stalls::all },
    Item { name: "stall-controller", what: "stall: the controller stopped for 1 s", measure: stalls::controller },
    Item { name: "stall-numbers", what: "stall: meanwhile no number was there for", measure: stalls::numbers },
    Item { name: "stall-worker", what: "stall: a worker stopped for 1 s", measure: stalls::worker },
    Item { name: "lag", what: "the longest wait for an instance, in its sentence", measure: figures::longest_wait },
    Item { name: "dropped", what: "slots dropped, as too many were in flight", measure: figures::dropped },
    Item { name: "sleep", what: "how long a guest sleeps that wants to for 1 ms", measure: figures::sleep },
    Item { name: "behind", what: "the rate of a run that falls behind its schedule", measure: figures::rate_behind },
    Item { name: "waiting-1", what: "waiting for a timer, -c 1", measure: figures::waiting_1 },
    Item { name: "waiting-10", what: "waiting for a timer, -c 10", measure: figures::waiting_10 },
    Item { name: "waiting-40", what: "waiting for a timer, -c 40", measure: figures::waiting_40 },
    Item { name: "response-1", what: "waiting for a response, -c 1, as a range", measure: figures::response_1 },
    Item { name: "response-10", what: "waiting for a response, -c 10, as a range", measure: figures::response_10 },
    Item { name: "response-40", what: "waiting for a response, -c 40, as a range", measure: figures::response_40 },
    Item { name: "rate-sparse", what: "the rate of 4 operations in 8 s", measure: figures::rate_of_few },
    Item { name: "rate-single", what: "the rate of one operation in 2 s", measure: figures::rate_of_one },
    Item { name: "requests-p95", what: "http.p95 of operations of two requests", measure: figures::requests },
    Item { name: "operations-p95", what: "p95 of the same operations", measure: figures::operations },
    Item { name: "compare", what: "compare: the means of 20 and 21 ms, pooled", measure: figures::compared },
    Item { name: "verdicts", what: "verdicts: the exit codes of 14 runs", measure: verdicts::codes },
];

/// Rounds in which others take more than this share of the machine are repeated.
const MOST_TAKEN: f64 = 0.03;

/// After this many repetitions of a round the machine is too busy to measure anything.
const MOST_ROUNDS: usize = 4;

/// What a measurement came to.
struct Measured {
    truth: String,
    ours: String,
    error: String,
    is_right: bool,
}

impl Measured {
    /// A figure that must be within `allowed` of the truth, as a share.
    fn figure(truth: f64, ours: f64, allowed: f64, unit: &str) -> Self {
        let error = if ours == truth { 0.0 } else { ours / truth - 1.0 };
        Self {
            truth: format!("{truth:.1}{unit}"),
            ours: format!("{ours:.1}{unit}"),
            error: format!("{:+.1} %", error * 100.0),
            is_right: error.abs() <= allowed,
        }
    }

    /// A conclusion in words, which is right or wrong.
    fn words(truth: impl Into<String>, ours: impl Into<String>) -> Self {
        let (truth, ours) = (truth.into(), ours.into());
        let is_right = truth == ours;
        Self { error: if is_right { "none".into() } else { "wrong".into() }, truth, ours, is_right }
    }

    /// A range that must contain the truth.
    fn range(truth: f64, [low, high]: [f64; 2], unit: &str) -> Self {
        let is_right = (low..=high).contains(&truth);
        Self {
            truth: format!("{truth:.1}{unit}"),
            ours: format!("{low:.1} to {high:.1}{unit}"),
            error: if is_right { "contains it".into() } else { "does not contain it".into() },
            is_right,
        }
    }

    /// How many of several conclusions are right; at least `needed` must be.
    fn counted(right: usize, all: usize, needed: usize) -> Self {
        Self {
            truth: format!("{all} of {all}"),
            ours: format!("{right} of {all}"),
            error: format!("{} wrong", all - right),
            is_right: right >= needed,
        }
    }
}

/// The programs, the tasks, and a separate folder.
struct Bench {
    gorgon: PathBuf,
    guests: PathBuf,
    server: PathBuf,
    folder: PathBuf,
}

/// Measures the items whose names begin with one of the words in `arguments`; all if there are none. The words can be
/// preceded by `--gorgon` and the gorgon to measure, instead of a release build.
pub(crate) fn run_all(arguments: &[&str]) -> anyhow::Result<()> {
    let (gorgon, names) = match arguments {
        ["--gorgon", gorgon, names @ ..] => (Some(PathBuf::from(gorgon)), names),
        names => (None, names),
    };
    let is_wanted = |item: &&Item| names.is_empty() || names.iter().any(|name| item.name.starts_with(name));
    let items: Vec<&Item> = ITEMS.iter().filter(is_wanted).collect();
    if items.is_empty() {
        let all: Vec<_> = ITEMS.iter().map(|item| item.name).collect();
        bail!("no item is called `{}`: there are {}", names.join(" "), all.join(", "));
    }
    let bench = Bench::new(gorgon)?;
    let begin = Instant::now();
    println!("{:<58} {:>14} {:>14}  error", "", "truth", "ours");
    let mut wrong = 0;
    for item in items {
        let line = match (item.measure)(&bench) {
            Ok(Measured { truth, ours, error, is_right }) => {
                wrong += usize::from(!is_right);
                format!("{truth:>14} {ours:>14}  {error}{}", if is_right { "" } else { "  WRONG" })
            }
            Err(error) => {
                wrong += 1;
                format!("NOT MEASURED: {error:#}")
            }
        };
        println!("{:<58} {line}", item.what);
    }
    println!("\n{} minutes", begin.elapsed().as_secs().div_ceil(60));
    ensure!(wrong == 0, "{wrong} items are wrong or could not be measured");
    Ok(())
}

impl Bench {
    fn new(gorgon: Option<PathBuf>) -> anyhow::Result<Self> {
        guests()?;
        let gorgon = match gorgon {
            Some(gorgon) => gorgon,
            None => release()?,
        };
        let target = target()?;
        let folder = target.join("tmp/truth");
        std::fs::create_dir_all(&folder)?;
        let server = server::build(&folder)?;
        Ok(Self { gorgon, guests: target.join(TARGET).join("release"), server, folder })
    }

    /// Measures `once` until the machine was left alone meanwhile. All processes that `once` starts must have ended
    /// when it returns.
    fn alone<T>(&self, once: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut taken = 0.0;
        for _ in 0..MOST_ROUNDS {
            let before = Machine::look()?;
            let measured = once()?;
            taken = Machine::look()?.taken_since(&before);
            if taken <= MOST_TAKEN {
                return Ok(measured);
            }
            eprintln!("repeated: other programs took {:.1} % of the machine", taken * 100.0);
        }
        bail!("in each of {MOST_ROUNDS} rounds other programs took too much of the machine ({:.1} %)", taken * 100.0)
    }

    /// Runs `gorgon COMMAND TASK --json - ARGS…`, if there is a `server` with its address as the variable `URL`.
    fn gorgon(&self, command: &str, task: &str, server: Option<&[&str]>, args: &[&str]) -> anyhow::Result<Ran> {
        let server = server.map(|server| Server::start(&self.server, &self.folder, server)).transpose()?;
        let url = server.as_ref().map_or(NOBODY, |server| &server.url);
        let output = self.command(command, task, url).args(args).output().context("gorgon does not start")?;
        Ran::new(&output, server)
    }

    /// The command `gorgon COMMAND TASK --json -`.
    fn command(&self, command: &str, task: &str, url: &str) -> Command {
        let mut gorgon = Command::new(&self.gorgon);
        gorgon.arg(command).arg(self.guests.join(task).with_extension("wasm")).args(["--quiet", "--json", "-"]);
        gorgon.args(["--allow", "all", "--seed", "7", "--env"]).arg(format!("URL={url}"));
        gorgon
    }
}

/// An address at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

/// What came of a command of gorgon.
struct Ran {
    report: Value,
    code: Option<i32>,
    /// The log of the server; empty without one.
    log: Vec<Served>,
}

impl Ran {
    /// Ends the server.
    fn new(output: &Output, server: Option<Server>) -> anyhow::Result<Self> {
        let log = server.map(Server::stop).transpose()?.unwrap_or_default();
        let report = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("gorgon printed no report: {}", String::from_utf8_lossy(&output.stderr)))?;
        Ok(Self { report, code: output.status.code(), log })
    }

    /// A figure of the first run.
    fn figure(&self, pointer: &str) -> anyhow::Result<f64> {
        let figure = self.report["runs"][0].pointer(pointer).and_then(Value::as_f64);
        figure.with_context(|| format!("the report has no {pointer}"))
    }

    /// What delayed operations on the side of the generator, in words.
    fn reasons(&self) -> Vec<&str> {
        let reasons = self.report["runs"][0]["generator"]["reasons"].as_array();
        reasons.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}
