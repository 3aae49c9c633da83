//! `cargo xtask truth`: holds Gorgon's conclusions against truths that come from arithmetic or from a server's log.
//!
//! Each item of [`ITEMS`] is measured in rounds. A round in which other programs took more than [`MOST_TAKEN`] of the
//! machine is repeated and not counted. To add an item, write a function that measures it, and add a line to the table.

mod find;
mod queue;
mod round;
mod server;

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{TARGET, guests, release, target};
use round::Machine;
use server::Server;

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
        let error = ours / truth - 1.0;
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

    /// The answer of `gorgon find`, with the task `task` against a server that is started for it.
    fn find(&self, task: &str, server: Option<&[&str]>, args: &[&str]) -> anyhow::Result<Value> {
        let server = server.map(|server| Server::start(&self.server, &self.folder, server)).transpose()?;
        let url = server.as_ref().map_or_else(|| "http://127.0.0.1:1".to_owned(), |server| server.url.clone());
        let mut gorgon = Command::new(&self.gorgon);
        gorgon.arg("find").arg(self.guests.join(task).with_extension("wasm")).args(["--quiet", "--json", "-"]);
        gorgon.args(["--allow", "all", "--seed", "7", "--env"]).arg(format!("URL={url}")).args(args);
        let output = gorgon.output().context("gorgon does not start")?;
        if let Some(server) = server {
            server.stop()?;
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{gorgon:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
