//! From what was counted to what is shown: the figures of a report, each derived once.
//!
//! [`Report`] is the JSON report, field by field: here what it says of all runs, in `form.rs` of each, in `plan.rs` of
//! its plan. `derive.rs` computes it, `curves.rs` what of it is drawn, `words.rs` says it in sentences. Knows neither
//! controller nor worker, and none of the formats.

pub mod curves;
mod derive;
pub mod find;
mod form;
mod health;
mod plan;
pub mod units;
pub(crate) mod words;

use serde::{Deserialize, Serialize};

pub use form::{
    BucketReport, Counts, Generator, HealthReport, NetworkReport, Refusal, ResultReport, RunReport, SpanReport,
    StartupReport, Summary, TimelineReport, Unit, Verdict, WorkerReport,
};
pub use plan::{ModelName, PlanReport, StageReport, WarmupPlan};

use crate::record::{Environment, RunRecord};

/// The version of the report's format.
pub const SCHEMA: &str = "gorgon.report/1";

/// One or several runs, reported together. Nanoseconds are integers; a figure that does not exist is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// The format and its version: `gorgon.report/1`.
    pub schema: String,
    /// The version of gorgon.
    pub gorgon: String,
    /// Whether the runs were stopped before their plans' end.
    pub partial: bool,
    /// What a suite file says of itself; null where there was none.
    #[serde(default)]
    pub suite: Option<SuiteReport>,
    /// Where the runs ran.
    pub environment: Environment,
    /// All runs together.
    pub total: Total,
    /// Each run.
    pub runs: Vec<RunReport>,
    /// What `--fail-if` found.
    pub verdicts: Vec<Verdict>,
}

/// What a suite file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SuiteReport {
    /// Its name.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// How often each of its runs was run, one round after the other.
    pub repetitions: u32,
    /// The time between two runs.
    pub pause_ns: u64,
}

/// All runs together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Total {
    /// The sums of the runs' counts.
    pub operations: Counts,
    /// The sum of the runs' times.
    pub elapsed_ns: u64,
    /// Completed operations per second of that time.
    pub throughput: Option<f64>,
    /// All operations' durations.
    pub latency_ns: Summary,
    /// By result, most frequent first.
    pub results: Vec<ResultReport>,
}

/// Whether there is more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// There is not.
    Ended,
    /// The run goes on.
    Running,
}

impl Report {
    /// Derives a report from what is known of some runs.
    pub fn new(environment: Environment, records: &[RunRecord]) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            gorgon: env!("CARGO_PKG_VERSION").to_owned(),
            partial: records.iter().any(|record| record.stopped),
            suite: None,
            total: derive::total(records),
            runs: records.iter().map(|record| derive::run(record, environment.cpus)).collect(),
            verdicts: Vec::new(),
            environment,
        }
    }

    /// Whether a run lost operations, a worker, or did not come to its plan's end.
    pub fn is_incomplete(&self) -> bool {
        self.runs.iter().any(|run| run.operations.lost > 0 || run.faults.iter().any(crate::fault::Fault::is_incomplete))
    }
}

#[cfg(test)]
pub(crate) mod tests;
