//! What a search for a rate has found: its probes, its answer, and both for people.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units::{count, duration, rate as per_second};
use super::verdict::Expression;
use super::{Generator, RunReport, Summary};
use crate::find::{self as search, Finding};

/// The version of this format.
const SCHEMA: &str = "gorgon.find/1";

/// What is completed per second is what was offered, to within this; a target that is slower falls behind by more.
const KEEPS_UP: f64 = 0.98;

/// A search: the data of a knee plot, and what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FindReport {
    /// The format and its version: `gorgon.find/1`.
    pub schema: String,
    /// The version of gorgon.
    pub gorgon: String,
    /// The task's file.
    pub task: String,
    /// What was promised.
    pub slo: Vec<String>,
    /// The probes, in the order in which they were run.
    pub probes: Vec<Probe>,
    /// The answer; null where the search was stopped before.
    pub answer: Option<Answer>,
}

/// What came of one rate, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Probe {
    /// Operations per second that were due.
    pub rate: f64,
    /// How many were due.
    pub offered: u64,
    /// Completed operations per second.
    pub throughput: Option<f64>,
    /// The share of operations that were not ok.
    pub failed: f64,
    /// From an operation's due time to its end.
    pub latency_ns: Summary,
    /// What was not kept: promises, or that the target kept up.
    pub broken: Vec<String>,
    /// Whether the machine was the limit.
    pub generator: Generator,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    /// The highest rate that kept the promise; null where none did.
    pub rate: Option<f64>,
    /// The lowest rate that did not; null where all did that were tried. The limit lies between the two.
    pub below: Option<f64>,
    /// Whether the machine that made the load was the limit, and not the target.
    pub generator_limited: bool,
}

impl From<search::Answer> for Answer {
    fn from(answer: search::Answer) -> Self {
        Self { rate: answer.kept, below: answer.broken, generator_limited: answer.limited }
    }
}

impl FindReport {
    /// A search that begins.
    pub fn new(task: &Path, slo: Vec<String>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            gorgon: env!("CARGO_PKG_VERSION").to_owned(),
            task: task.display().to_string(),
            slo,
            probes: Vec::new(),
            answer: None,
        }
    }

    /// The probes, by their rates.
    pub fn by_rate(&self) -> Vec<&Probe> {
        let mut probes: Vec<&Probe> = self.probes.iter().collect();
        probes.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        probes
    }

    /// The 99th percentile at the highest rate that kept the promise, of its probes that did the longest one.
    pub fn p99(&self) -> Option<u64> {
        let best = self.answer?.rate?;
        let kept = self.probes.iter().filter(|probe| probe.rate == best && probe.finding() == Finding::Kept);
        kept.filter_map(|probe| probe.latency_ns.p99).max()
    }
}

impl Probe {
    /// What `run`, at `rate` for so long, came to.
    pub fn new(rate: f64, lasting: Duration, run: &RunReport, slo: &[Expression]) -> Self {
        let verdicts = slo.iter().map(|promise| promise.judge(0, run));
        let mut broken: Vec<String> =
            verdicts.filter(|verdict| !verdict.held).map(|verdict| verdict.expression).collect();
        let operations = &run.operations;
        // One operation's time passes between the last start and the last end of a target that keeps up.
        let window = run.elapsed_ns.saturating_sub(run.latency_ns.min.unwrap_or_default()) as f64 / 1e9;
        let (offered, completed) = (operations.offered as f64, operations.completed as f64);
        if completed / window.max(lasting.as_secs_f64()) < KEEPS_UP * offered / lasting.as_secs_f64() {
            broken.push("keeps up".into());
        }
        Self {
            rate,
            offered: operations.offered,
            throughput: run.throughput,
            failed: (completed - operations.ok as f64) / offered.max(1.0),
            latency_ns: Summary { hdr: None, ..run.latency_ns.clone() },
            broken,
            generator: run.generator.clone(),
        }
    }

    /// What it means for the search.
    pub fn finding(&self) -> Finding {
        match (self.broken.is_empty(), self.generator.limited) {
            (true, _) => Finding::Kept,
            (false, true) => Finding::Limited,
            (false, false) => Finding::Broken,
        }
    }
}

/// What a probe came to, in words.
pub fn came_to(probe: &Probe) -> String {
    match probe.finding() {
        Finding::Kept => "kept".to_owned(),
        Finding::Broken => format!("broken: {}", probe.broken.join(", ")),
        Finding::Limited => format!("broken, generator-limited: {}", probe.broken.join(", ")),
    }
}

/// One probe in a line.
pub fn line(probe: &Probe) -> String {
    let time = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), duration);
    format!(
        "{:>12}  {:>10}  {:>12}  {:>9}  {:>9}  {:>8}  {}",
        format!("{}/s", per_second(probe.rate)),
        count(probe.offered),
        probe.throughput.map_or_else(|| "-".to_owned(), |of| format!("{}/s", per_second(of))),
        time(probe.latency_ns.p50),
        time(probe.latency_ns.p99),
        format!("{:.2} %", probe.failed * 100.0),
        came_to(probe)
    )
}

/// Writes the probes by their rates, and the answer.
pub fn write(report: &FindReport, mut to: impl Write) -> io::Result<()> {
    let FindReport { task, slo, answer, .. } = report;
    writeln!(to, "{task}: the highest rate with {}\n", slo.join(" and "))?;
    let head = ["rate", "operations", "completed", "p50", "p99", "failed"];
    let [rate, operations, completed, p50, p99, failed] = head;
    writeln!(to, "{rate:>12}  {operations:>10}  {completed:>12}  {p50:>9}  {p99:>9}  {failed:>8}")?;
    report.by_rate().iter().try_for_each(|probe| writeln!(to, "{}", line(probe)))?;
    writeln!(to, "\n{}", sentence(*answer))
}

/// The answer in words.
pub fn sentence(answer: Option<Answer>) -> String {
    let of = |rate: f64| format!("{}/s", per_second(rate));
    match answer {
        None => "stopped before it was found".to_owned(),
        Some(Answer { rate: Some(rate), below: None, .. }) => {
            format!("{} keeps the promise, and is the highest rate that was asked for", of(rate))
        }
        Some(Answer { rate: Some(rate), below: Some(below), generator_limited: true }) => format!(
            "generator-limited: {} keeps the promise; from {} on this machine was the limit, not the target: use more \
             threads, processes or instances (-t, -p, -c), or another machine",
            of(rate),
            of(below)
        ),
        Some(Answer { rate: Some(rate), below: Some(below), generator_limited: false }) => {
            format!("{} keeps the promise, {} does not: the limit lies between them", of(rate), of(below))
        }
        Some(Answer { rate: None, below, .. }) => {
            format!("no rate keeps the promise, down to {}", below.map_or_else(|| "any rate".to_owned(), of))
        }
    }
}
