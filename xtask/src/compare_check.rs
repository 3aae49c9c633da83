//! Counts how often `gorgon compare` is right, on real runs whose true difference is known.
//!
//! In each triple of runs two are equal, and the operations of the third are 5 % longer. Triples are independent. The
//! order within a triple rotates, so that a machine that warms up or cools down favours no side.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{TARGET, cargo, guests, run, target};

/// The number of triples whose sides are also compared as repetitions.
const REPETITIONS: usize = 5;

/// The name of each run, which is also its file, and the factor that makes it slower.
const SIDES: [(&str, &str); 3] = [("a", "1"), ("equal", "1"), ("slower", "1.05")];

/// What the operations do.
struct Kind {
    triples: usize,
    /// Triples that run at the same time.
    lanes: usize,
    args: &'static [&'static str],
}

/// Waiting takes no processor time, so several runs do not disturb each other.
const WAITS: Kind = Kind { triples: 200, lanes: 4, args: &["-c", "150", "--env", "GORGON_WAIT_US=50000"] };

const COMPUTES: Kind = Kind { triples: 60, lanes: 1, args: &["--env", "GORGON_SPIN=200000"] };

pub(crate) fn run_all(kind: Option<&str>) -> anyhow::Result<()> {
    match kind {
        None | Some("waits") => WAITS.check(),
        Some("computes") => COMPUTES.check(),
        Some("made-up") => {
            let test = ["error_rates_over_two_hundred_pairs_of_every_kind", "--ignored", "--nocapture"];
            run(cargo().args(["test", "-p", "gorgon-cli", "--lib", "--"]).args(test))
        }
        Some(other) => bail!("`{other}` is none of waits, computes, made-up"),
    }
}

impl Kind {
    fn check(&self) -> anyhow::Result<()> {
        guests()?;
        run(cargo().args(["build", "-p", "gorgon-cli", "--bin", "gorgon"]))?;
        let target = target()?;
        let check = Check {
            gorgon: target.join("tmp/compare-check/gorgon"),
            task: target.join(TARGET).join("release/waiter.wasm"),
            reports: target.join("tmp/compare-check"),
        };
        fs::create_dir_all(&check.reports)?;
        // The copy is measured, so that a later build does not change the program.
        fs::copy(target.join("debug/gorgon"), &check.gorgon)?;
        check.run_triples(self)?;
        let alone: Vec<Vec<usize>> = (0..self.triples).map(|triple| vec![triple]).collect();
        let repeated: Vec<Vec<usize>> =
            (0..self.triples).collect::<Vec<_>>().chunks(REPETITIONS).map(Vec::from).collect();
        for (triples, runs) in [(alone, "one run"), (repeated, "five interleaved runs")] {
            let (equal, slower) = (check.findings(&triples, "equal")?, check.findings(&triples, "slower")?);
            println!("{} pairs, {runs} of each side:", triples.len());
            println!("{:>6} of the equal pairs called different", equal.slower + equal.faster);
            println!("{:>6} of the pairs with a 5 % slower side found, {} called faster", slower.slower, slower.faster);
        }
        Ok(())
    }
}

struct Check {
    gorgon: PathBuf,
    task: PathBuf,
    reports: PathBuf,
}

#[derive(Default)]
struct Findings {
    slower: usize,
    faster: usize,
}

impl Check {
    fn run_triples(&self, kind: &Kind) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let lane = || -> anyhow::Result<()> {
            loop {
                let triple = next.fetch_add(1, Ordering::Relaxed);
                if triple >= kind.triples {
                    return Ok(());
                }
                eprint!("\rtriple {} of {} ", triple + 1, kind.triples);
                for place in 0..SIDES.len() {
                    let (side, factor) = SIDES[(triple + place) % SIDES.len()];
                    self.measure(kind, &self.report(triple, side), factor)?;
                }
            }
        };
        std::thread::scope(|scope| {
            let lanes: Vec<_> = (0..kind.lanes).map(|_| scope.spawn(lane)).collect();
            lanes.into_iter().try_for_each(|lane| match lane.join() {
                Ok(ended) => ended,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        eprintln!();
        Ok(())
    }

    fn measure(&self, kind: &Kind, report: &Path, factor: &str) -> anyhow::Result<()> {
        let mut gorgon = Command::new(&self.gorgon);
        gorgon.arg("run").arg(&self.task).args(["-d", "3s", "--quiet"]).args(kind.args);
        run(gorgon.args(["--env", &format!("GORGON_FACTOR={factor}")]).arg("--json").arg(report))
    }

    /// Counts what the primary figure shows for each of these groups of triples.
    fn findings(&self, groups: &[Vec<usize>], side: &str) -> anyhow::Result<Findings> {
        let mut findings = Findings::default();
        for group in groups {
            let files = |side| {
                let files: Vec<_> =
                    group.iter().map(|&triple| self.report(triple, side).display().to_string()).collect();
                files.join(",")
            };
            let output =
                Command::new(&self.gorgon).args(["compare", &files("a"), &files(side), "--json", "-"]).output()?;
            ensure!(output.status.success(), "compare failed: {}", String::from_utf8_lossy(&output.stderr));
            let comparison: Value = serde_json::from_slice(&output.stdout)?;
            match comparison["pairs"][0]["figures"][0]["finding"].as_str().context("no finding")? {
                "slower" => findings.slower += 1,
                "faster" => findings.faster += 1,
                _ => {}
            }
        }
        Ok(findings)
    }

    fn report(&self, triple: usize, side: &str) -> PathBuf {
        self.reports.join(format!("{triple}-{side}.json"))
    }
}
