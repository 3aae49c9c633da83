//! Derives the figures of a report, each of them once.
//!
//! [`Report`] is the JSON report, field by field: this file has what covers all runs, `form.rs` has one run,
//! `plan.rs` its plan. `derive.rs` computes the figures, `intervals.rs` those over time, `curves.rs` those that are
//! only drawn, and `words.rs` puts them into sentences. This module knows neither the controller nor the workers, and
//! no output format but JSON.

pub mod curves;
mod derive;
pub mod find;
mod form;
mod health;
mod intervals;
pub mod percentile;
mod plan;
pub mod suite;
pub mod units;
pub(crate) mod words;

use serde::{Deserialize, Serialize};

pub use form::{
    Basis, BoxReport, BucketReport, Counts, Generator, GroupReport, HealthReport, Lack, Limit, NetworkReport, Refusal,
    ResultReport, RunReport, SpanReport, StartupReport, Summary, TimelineReport, Unit, Verdict, VerdictOrigin,
    WorkerReport,
};
pub use plan::{ModelName, PlanReport, StageReport, WarmupPlan};

use crate::fault::Fault;
use crate::record::{Environment, RunRecord};

/// The version of the report's format.
pub const SCHEMA: &str = "gorgon.report/1";

/// One or more runs, reported together. Nanoseconds are integers; a figure that does not exist is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The format and its version: `gorgon.report/1`.
    pub schema: String,
    /// The version of Gorgon.
    pub gorgon: String,
    /// Whether a run did not reach the end of its plan: it was stopped, or it could not go on.
    pub partial: bool,
    /// How many runs were planned; null if that is not known, and in older reports.
    #[serde(default)]
    pub planned_runs: Option<u64>,
    /// What a suite file says about itself; null without a suite file.
    #[serde(default)]
    pub suite: Option<SuiteReport>,
    /// The command line, without what may be secret; null if it cannot be shown, and in older reports.
    #[serde(default)]
    pub command: Option<String>,
    /// The machine that the runs used.
    pub environment: Environment,
    /// All runs together.
    pub total: Total,
    /// Each run.
    pub runs: Vec<RunReport>,
    /// What `--fail-if` found.
    pub verdicts: Vec<Verdict>,
}

/// What a suite file says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SuiteReport {
    /// Its name.
    pub name: Option<String>,
    /// Its purpose.
    pub description: Option<String>,
    /// How often each run was repeated, one round after the other.
    pub repetitions: u32,
    /// The time between two runs.
    pub pause_ns: u64,
}

/// All runs together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Total {
    /// The sums of the counts of all runs.
    pub operations: Counts,
    /// The sum of the durations of all runs.
    pub elapsed_ns: u64,
    /// Completed operations per second, over the sum of the runs' windows.
    pub throughput: Option<f64>,
    /// The durations of all operations.
    pub latency_ns: Summary,
    /// The operations that were ok; null in older reports.
    #[serde(default)]
    pub ok: Option<GroupReport>,
    /// By result, most frequent first.
    pub results: Vec<ResultReport>,
}

/// Whether the run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The figures are final.
    Ended,
    /// The run goes on; the figures are those until now.
    Running,
}

impl Report {
    /// Derives a report from the records of some runs.
    pub fn new(environment: Environment, records: &[RunRecord]) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            gorgon: env!("CARGO_PKG_VERSION").to_owned(),
            partial: records.iter().any(RunRecord::is_partial),
            suite: None,
            planned_runs: None,
            command: records.first().and_then(|first| first.command.clone()),
            total: derive::total(records),
            runs: records.iter().map(|record| derive::run(record, environment.cpus)).collect(),
            verdicts: Vec::new(),
            environment,
        }
    }

    /// Whether several runs were planned, also if not all of them began.
    pub fn has_several_runs(&self) -> bool {
        self.runs.len() as u64 + self.runs_never_begun() > 1
    }

    /// How many runs were planned and never began.
    pub fn runs_never_begun(&self) -> u64 {
        self.planned_runs.map_or(0, |planned| planned.saturating_sub(self.runs.len() as u64))
    }

    /// Whether a run, by its index, did not reach the end of its plan.
    pub fn is_run_partial(&self, i: usize) -> bool {
        // Older reports do not say which one; only the last one was ever stopped.
        let is_last = i + 1 == self.runs.len();
        self.runs.get(i).is_some_and(|run| run.partial.unwrap_or(self.partial && is_last))
    }

    /// Whether a run lost operations or a worker, or did not reach the end of its plan.
    pub fn is_incomplete(&self) -> bool {
        self.runs.iter().any(|run| run.operations.lost > 0 || run.faults.iter().any(Fault::is_incomplete))
    }
}

#[cfg(test)]
pub(crate) mod tests;
