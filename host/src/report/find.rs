//! The result of a search for a rate, field by field: its probes and its answer, and the words for both.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::units::rate as per_second;
use super::{Generator, RunReport, Summary, Unit};
use crate::fault::Fault;

/// The version of this format.
const SCHEMA: &str = "gorgon.find/1";

/// A search: the probes, which a knee plot shows, and the answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FindReport {
    /// The format and its version: `gorgon.find/1`.
    pub schema: String,
    /// The version of Gorgon.
    pub gorgon: String,
    /// The task's file.
    pub task: String,
    /// The promises, as they were written.
    pub slo: Vec<String>,
    /// The same promises, each with its unit and its bound.
    #[serde(default)]
    pub promises: Vec<Promise>,
    /// The probes, in the order in which they were run.
    pub probes: Vec<Probe>,
    /// Probes that say nothing about the target, because workers died in them; each was run again.
    #[serde(default)]
    pub void: Vec<VoidProbe>,
    /// Whether the search was given up because too many probes were void.
    #[serde(default)]
    pub is_given_up: bool,
    /// The answer; null if the search was stopped early or given up.
    pub answer: Option<Answer>,
}

/// A promise that the target has to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Promise {
    /// As it was written.
    pub expression: String,
    /// The figure that the promise bounds; null if that figure is not drawn over rates.
    pub drawn: Option<DrawnFigure>,
    /// The unit of the bound.
    pub unit: Unit,
    /// The value that the figure is compared with.
    pub bound: f64,
}

/// A figure that is drawn over rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrawnFigure {
    /// The durations of all operations.
    Latency,
    /// The share of operations that were not ok.
    Failed,
}

/// A probe that says nothing about the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VoidProbe {
    /// Operations per second that were due.
    pub rate: f64,
    /// Operations that were due.
    pub offered: u64,
    /// Operations that were lost when their workers died.
    pub lost: u64,
    /// What went wrong.
    pub faults: Vec<Fault>,
}

impl VoidProbe {
    /// The void probe that `run`, at `rate`, amounts to.
    pub fn new(rate: f64, run: &RunReport) -> Self {
        Self { rate, offered: run.operations.offered, lost: run.operations.lost, faults: run.faults.clone() }
    }
}

/// One run at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Probe {
    /// Operations per second that were due.
    pub rate: f64,
    /// Operations that were due.
    pub offered: u64,
    /// Completed operations per second.
    pub throughput: Option<f64>,
    /// The share of operations that were not ok.
    pub failed: f64,
    /// From an operation's due time to its end.
    pub latency_ns: Summary,
    /// What the target did not do: the promises it broke, or that it did not keep up with the rate.
    pub broken: Vec<String>,
    /// Whether the machine that generated the load was the limit.
    pub generator: Generator,
}

/// What a probe shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFinding {
    /// The target kept the promises.
    Kept,
    /// The target broke a promise.
    Broken,
    /// A promise was broken while the machine that generated the load was the limit, which says nothing about the
    /// target.
    Limited,
}

/// The answer of a search.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answer {
    /// The highest rate at which the promises were kept; null if there is none.
    pub rate: Option<f64>,
    /// The lowest rate at which they were not; null if they were kept at all rates. The limit lies between the two.
    pub below: Option<f64>,
    /// Whether the limit was the machine that generated the load, not the target.
    pub generator_limited: bool,
}

impl FindReport {
    /// A search without any probes yet.
    pub fn new(task: &Path, promises: Vec<Promise>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            gorgon: env!("CARGO_PKG_VERSION").to_owned(),
            task: task.display().to_string(),
            slo: promises.iter().map(|promise| promise.expression.clone()).collect(),
            promises,
            probes: Vec::new(),
            void: Vec::new(),
            is_given_up: false,
            answer: None,
        }
    }

    /// The probes in the order of their rates.
    pub fn by_rate(&self) -> Vec<&Probe> {
        let mut probes: Vec<&Probe> = self.probes.iter().collect();
        probes.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        probes
    }

    /// The 99th percentile at the highest rate that kept the promises; the largest one if several probes did so.
    pub fn p99(&self) -> Option<u64> {
        let best = self.answer?.rate?;
        let kept = self.probes.iter().filter(|probe| probe.rate == best && probe.finding() == ProbeFinding::Kept);
        kept.filter_map(|probe| probe.latency_ns.p99).max()
    }
}

impl Probe {
    /// What the probe means for the search.
    pub fn finding(&self) -> ProbeFinding {
        match (self.broken.is_empty(), self.generator.limited) {
            (true, _) => ProbeFinding::Kept,
            (false, true) => ProbeFinding::Limited,
            (false, false) => ProbeFinding::Broken,
        }
    }
}

/// The result of a probe, in words.
pub fn came_to(probe: &Probe) -> String {
    match probe.finding() {
        ProbeFinding::Kept => "kept".to_owned(),
        ProbeFinding::Broken => format!("broken: {}", probe.broken.join(", ")),
        ProbeFinding::Limited => format!("broken, generator-limited: {}", probe.broken.join(", ")),
    }
}

/// The answer in words.
pub fn sentence(report: &FindReport) -> String {
    let of = |rate: f64| format!("{}/s", per_second(rate));
    match report.answer {
        None if report.is_given_up => "given up: workers died in too many probes".to_owned(),
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
