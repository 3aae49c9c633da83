//! The result of a search for a rate, field by field: its probes and its answer, and the words for both.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::units::{count, counted, duration, rate as per_second};
use super::{Generator, Limit, RunReport, Summary, Unit};
use crate::fault::Fault;
use crate::guest_text::{GuestText, line};
use crate::metrics::Outcome;

/// What a probe did not do that fell behind, among the promises that it broke.
pub const KEEPS_UP: &str = "keeps up";

/// The version of this format.
const SCHEMA: &str = "gorgon.find/1";

/// If a smaller share of a probe's operations failed, why they did is not what matters.
const NOTABLE_FAILURES: f64 = 0.01;

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
    /// All promises, each with its unit and its bound; also those that nobody wrote.
    #[serde(default)]
    pub promises: Vec<Promise>,
    /// The highest rate to try, in operations per second; null in older reports.
    #[serde(default)]
    pub to: Option<f64>,
    /// How long the search may take; null in older reports.
    #[serde(default)]
    pub budget_ns: Option<u64>,
    /// How many instances a probe may have, in all threads; null in older reports.
    #[serde(default)]
    pub most_instances: Option<u64>,
    /// Whether the task computes, so that each of its instances has a thread.
    #[serde(default)]
    pub has_threads_only: bool,
    /// The probes, in the order in which they were run.
    pub probes: Vec<Probe>,
    /// What the probes of each rate show together, by rate.
    #[serde(default)]
    pub rates: Vec<ProbedRate>,
    /// Probes that say nothing about the target; each was run again.
    #[serde(default)]
    pub void: Vec<VoidProbe>,
    /// Which boxes came or went during the search; empty on one machine, and in older reports.
    #[serde(default)]
    pub boxes: Vec<BoxChange>,
    /// Whether the search was given up because too many probes were void.
    #[serde(default)]
    pub is_given_up: bool,
    /// Why no run of the task can be judged by the promises; null if it can.
    #[serde(default)]
    pub problem: Option<String>,
    /// The answer; null if the search was stopped early or given up.
    pub answer: Option<Answer>,
}

/// A promise that the target has to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Promise {
    /// As it was written.
    pub expression: String,
    /// Whether nobody wrote it: without a promise about failures, a search has one.
    #[serde(default)]
    pub is_implied: bool,
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

/// What the probes of a rate show together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProbedRate {
    /// Operations per second that were due.
    pub rate: f64,
    /// How many probes there were.
    pub probes: u64,
    /// What they show.
    pub finding: ProbeFinding,
    /// What the limit was; null unless a promise was broken.
    pub limited_by: Option<Culprit>,
}

/// A change of the boxes of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BoxChange {
    /// The rate of the first probe that it concerns.
    pub rate: f64,
    /// What happened, for people.
    pub message: String,
}

/// What happened to the boxes during the search, in words.
pub fn changes(report: &FindReport) -> impl Iterator<Item = String> {
    let others = (!report.boxes.is_empty())
        .then(|| "the boxes were not the same in all probes, so the rates need not be those of all boxes".to_owned());
    let change = |of: &BoxChange| format!("in the probe at {}/s: {}", per_second(of.rate), of.message);
    others.into_iter().chain(report.boxes.iter().map(change))
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
    /// Why the probe says nothing, in words.
    #[serde(default)]
    pub why: Vec<String>,
}

impl VoidProbe {
    /// The void probe that `run`, at `rate`, amounts to.
    pub fn new(rate: f64, run: &RunReport, why: Vec<String>) -> Self {
        Self { rate, offered: run.operations.offered, lost: run.operations.lost, faults: run.faults.clone(), why }
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
    /// Operations that ended per second while operations were due, without those that ended later.
    pub throughput: Option<f64>,
    /// The share of operations that were not ok.
    pub failed: f64,
    /// From an operation's due time to its end.
    pub latency_ns: Summary,
    /// What was not done: the promises that were broken, or `keeps up` if operations piled up.
    pub broken: Vec<String>,
    /// Promises for which there were too few operations.
    #[serde(default)]
    pub undecided: Vec<String>,
    /// How long operations were due; null in older reports.
    #[serde(default)]
    pub lasting_ns: Option<u64>,
    /// How many instances there were, in all threads; null in older reports.
    #[serde(default)]
    pub instances: Option<u64>,
    /// What the limit was; null unless something is broken.
    #[serde(default)]
    pub limited_by: Option<Culprit>,
    /// What most of the operations that were not ok have in common; null if all were ok, and in older reports.
    #[serde(default)]
    pub failure: Option<Failure>,
    /// Whether the machine that generated the load was the limit.
    pub generator: Generator,
}

/// The most frequent failure of a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// How many operations had it.
    pub operations: u64,
    /// What they returned.
    pub result: GuestText,
    /// Why they failed; null if they did not say.
    pub reason: Option<GuestText>,
    /// The flag that grants what they were refused; null if it was nothing.
    pub grant: Option<String>,
}

impl Failure {
    /// The most frequent failure of `run`.
    pub fn of(run: &RunReport) -> Option<Self> {
        let failed = run.results.iter().filter(|result| result.outcome != Outcome::Ok);
        let most = failed.max_by_key(|result| result.operations)?;
        let reason = most.reasons.iter().max_by_key(|(_, times)| **times).map(|(reason, _)| reason.clone());
        let refused = run.network.iter().flat_map(|network| &network.refused);
        let grant = refused.max_by_key(|refusal| refusal.count).and_then(|refusal| refusal.flag.clone());
        Some(Self { operations: most.operations, result: most.result.clone(), reason, grant })
    }

    /// The failure in words, at the rate `at` of its probe.
    fn text(&self, at: f64) -> String {
        let reason = self.reason.as_ref().filter(|reason| **reason != self.result);
        let reason = reason.map(|reason| format!(": {}", line(reason.raw()))).unwrap_or_default();
        let (times, rate) = (count(self.operations), per_second(at));
        let failure = format!("not ok at {rate}/s: {times} x {}{reason}", line(self.result.raw()));
        match &self.grant {
            Some(flag) if !failure.contains(flag) => format!("{failure}; {flag} would grant it"),
            _ => failure,
        }
    }
}

/// What probes show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProbeFinding {
    /// The promises were kept.
    Kept,
    /// A promise was broken.
    Broken,
    /// No promise was broken, but there were too few operations to call them kept.
    Undecided,
}

/// What limited a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Culprit {
    /// The target of the task.
    Target,
    /// The machine that generated the load, which says nothing about the target.
    Generator,
    /// All instances of the task were busy, though the target answered as fast as with fewer.
    Instances,
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
    /// What the limit was at the rate `below`; null if no limit was found, and in older reports.
    #[serde(default)]
    pub limited_by: Option<Culprit>,
    /// A rate above `rate` at which no promise was broken, but too few operations were due to call them kept.
    #[serde(default)]
    pub undecided: Option<f64>,
    /// Whether the budget ended before the limit was known precisely.
    #[serde(default)]
    pub is_cut_short: bool,
}

impl Answer {
    /// What the limit was. Older reports know only the generator.
    fn culprit(&self) -> Culprit {
        self.limited_by.unwrap_or(if self.generator_limited { Culprit::Generator } else { Culprit::Target })
    }
}

impl FindReport {
    /// A search without any probes yet.
    pub fn new(task: &Path, promises: Vec<Promise>) -> Self {
        let written = promises.iter().filter(|promise| !promise.is_implied);
        Self {
            schema: SCHEMA.to_owned(),
            gorgon: env!("CARGO_PKG_VERSION").to_owned(),
            task: task.display().to_string(),
            slo: written.map(|promise| promise.expression.clone()).collect(),
            promises,
            to: None,
            budget_ns: None,
            most_instances: None,
            has_threads_only: false,
            probes: Vec::new(),
            rates: Vec::new(),
            void: Vec::new(),
            boxes: Vec::new(),
            is_given_up: false,
            problem: None,
            answer: None,
        }
    }

    /// The probes in the order of their rates.
    pub fn by_rate(&self) -> Vec<&Probe> {
        let mut probes: Vec<&Probe> = self.probes.iter().collect();
        probes.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        probes
    }

    /// The 99th percentile at the highest rate that kept the promises; the largest one of all its probes.
    pub fn p99(&self) -> Option<u64> {
        let best = self.answer?.rate?;
        let there = self.probes.iter().filter(|probe| probe.rate == best);
        there.filter_map(|probe| probe.latency_ns.p99).max()
    }
}

impl Probe {
    /// How much of the offered rate was completed: 1 if all of it; `None` if nothing was.
    pub fn kept_up(&self) -> Option<f64> {
        self.throughput.filter(|_| self.rate > 0.0).map(|completed| completed / self.rate)
    }

    /// What the probe shows by itself.
    pub fn finding(&self) -> ProbeFinding {
        if !self.broken.is_empty() {
            ProbeFinding::Broken
        } else if !self.undecided.is_empty() {
            ProbeFinding::Undecided
        } else {
            ProbeFinding::Kept
        }
    }

    /// What the limit was, if something is broken. Older reports know only the generator.
    pub fn culprit(&self) -> Option<Culprit> {
        let guessed = if self.generator.limited { Culprit::Generator } else { Culprit::Target };
        if self.broken.is_empty() { None } else { Some(self.limited_by.unwrap_or(guessed)) }
    }
}

/// The result of a probe, in words.
pub fn came_to(probe: &Probe) -> String {
    let listed = |promises: &[String], keeps_up: &'static str| {
        let named = promises.iter().map(|promise| if promise == KEEPS_UP { keeps_up } else { promise });
        named.collect::<Vec<_>>().join(", ")
    };
    let broken = |by: &str| format!("broken{by}: {}", listed(&probe.broken, "does not keep up"));
    match (probe.finding(), probe.culprit()) {
        (ProbeFinding::Kept, _) => "kept".to_owned(),
        (ProbeFinding::Undecided, _) => format!("too few operations for {}", listed(&probe.undecided, "keeping up")),
        (ProbeFinding::Broken, Some(Culprit::Generator)) => broken(", generator-limited"),
        (ProbeFinding::Broken, Some(Culprit::Instances)) => broken(", limited by instances"),
        (ProbeFinding::Broken, _) => broken(""),
    }
}

/// What the probes of a rate show together, in words, if there are several and they disagree.
pub fn together(rate: &ProbedRate, probes: &[&Probe]) -> Option<String> {
    let mut alone = probes.iter().filter(|probe| probe.rate == rate.rate).map(|probe| probe.finding());
    let disagree = rate.probes > 1 && !alone.all(|finding| finding == rate.finding);
    let finding = match rate.finding {
        ProbeFinding::Kept => "kept",
        ProbeFinding::Broken => "broken",
        ProbeFinding::Undecided => "undecided, as that may be chance",
    };
    disagree.then(|| format!("the {} probes of {}/s together: {finding}", rate.probes, per_second(rate.rate)))
}

/// Why operations failed, in words, if they did in a probe that broke a promise: of such probes, the one at the lowest
/// rate.
pub fn failure(report: &FindReport) -> Option<String> {
    let broken = report.by_rate().into_iter().filter(|probe| probe.finding() == ProbeFinding::Broken);
    broken
        .filter(|probe| probe.failed >= NOTABLE_FAILURES)
        .find_map(|probe| Some(probe.failure.as_ref()?.text(probe.rate)))
}

/// A promise that nobody wrote, in words.
pub fn implied(report: &FindReport) -> Option<String> {
    let implied = report.promises.iter().find(|promise| promise.is_implied)?;
    Some(format!("also promised, because no promise is about failures: {}", implied.expression))
}

/// What the limit was, in a word or two.
pub fn limit_name(answer: &Answer) -> &'static str {
    match (answer.below, answer.culprit()) {
        (None, _) => "none found",
        (_, Culprit::Target) => "the target",
        (_, Culprit::Generator) => "this machine",
        (_, Culprit::Instances) => "instances",
    }
}

/// The answer in words.
pub fn sentence(report: &FindReport) -> String {
    let Some(answer) = report.answer else {
        return match &report.problem {
            Some(problem) => format!("given up: {problem}"),
            None if report.is_given_up => "given up: too many probes were void".to_owned(),
            None => "stopped before it was found".to_owned(),
        };
    };
    let mut sentence = limit(report, &answer);
    if let Some(undecided) = answer.undecided {
        sentence += &format!(
            "; at {}/s no promise was broken, but there were too few operations to decide: give a longer --probe-max or \
             --budget, or promise a lower percentile",
            per_second(undecided)
        );
    }
    if answer.is_cut_short {
        let budget = report.budget_ns.map_or_else(String::new, |ns| format!(" of {}", duration(ns)));
        sentence += &format!("; the budget{budget} ended before the limit was known precisely: give a longer --budget");
    }
    sentence
}

/// What the machine lacked for connections in the last probe in which it did, with the remedy.
fn lacked(report: &FindReport) -> Option<&str> {
    let of_last = report.probes.iter().rev().find(|probe| probe.generator.limits.contains(&Limit::Lacked))?;
    of_last.generator.reasons.iter().map(String::as_str).find(|reason| reason.contains("could not be opened"))
}

/// The limit in words.
fn limit(report: &FindReport, answer: &Answer) -> String {
    let of = |rate: f64| format!("{}/s", per_second(rate));
    let by = answer.culprit();
    let busy = |thing: &str| match report.most_instances {
        Some(1) => format!("the only {thing} was busy, and was the limit"),
        Some(most) => format!("all {} were busy, and were the limit", counted(most, thing)),
        None => format!("all {thing}s were busy, and were the limit"),
    };
    let advice = match by {
        Culprit::Target => "",
        Culprit::Generator => lacked(report).unwrap_or("use more threads or processes (-t, -p), or another machine"),
        Culprit::Instances if report.has_threads_only => "use more threads or processes (-t, -p)",
        Culprit::Instances => "allow more instances (-c), or use more threads or processes (-t, -p)",
    };
    let was = match by {
        Culprit::Target => "the target was the limit".to_owned(),
        Culprit::Generator => "this machine was the limit, not the target".to_owned(),
        Culprit::Instances if report.has_threads_only => {
            format!("{}, because the task computes", busy("thread"))
        }
        Culprit::Instances => format!("{}, not the target", busy("instance")),
    };
    match (answer.rate, answer.below) {
        (Some(rate), None) if report.to.is_none_or(|to| rate >= to) => format!("no limit found up to {}", of(rate)),
        (Some(rate), None) => format!("{} keeps the promise, and no limit was found", of(rate)),
        (Some(rate), Some(below)) if by == Culprit::Target => {
            format!("{} keeps the promise, {} does not: the target's limit lies between them", of(rate), of(below))
        }
        (Some(rate), Some(below)) => {
            format!("at least {}: above that {was} (at {} the promise was broken): {advice}", of(rate), of(below))
        }
        (None, Some(_)) if report.probes.len() > 1 && report.probes.iter().all(|probe| probe.failed >= 1.0) => {
            "no operation was ok at any of these rates: look at one with `gorgon test`".to_owned()
        }
        (None, Some(below)) if by == Culprit::Target && answer.undecided.is_none() && !answer.is_cut_short => {
            format!("no rate keeps the promise, down to {}", of(below))
        }
        (None, Some(below)) if by == Culprit::Target => format!("{} does not keep the promise", of(below)),
        (None, Some(below)) => format!("{} does not keep the promise, but {was}: {advice}", of(below)),
        (None, None) => "undecided".to_owned(),
    }
}
