//! From what was counted to what is shown: the figures of a report, each derived once.
//!
//! [`Report`] is the JSON report, field by field. One file per format renders it; a renderer computes no figure. Knows
//! neither controller nor worker.

pub mod compare;
pub mod csv;
pub mod curves;
mod derive;
mod facts;
pub mod find;
mod health;
pub mod hlog;
pub mod html;
pub mod json;
pub mod junit;
pub mod openmetrics;
pub mod text;
pub mod units;
pub mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::metrics::{Cut, Outcome, TimeSplit};
use crate::plan::{Arrivals, Extent, HttpPlan, LoadModel, RunPlan, Stage};
pub use facts::{Environment, RunRecord, Startup, TaskFacts, WorkerRecord};
use verdict::Verdict;

/// The version of the report's format.
pub const SCHEMA: &str = "gorgon.report/1";

/// One or several runs, reported together. Nanoseconds are integers; a figure that does not exist is null.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// [`SCHEMA`].
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

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunReport {
    /// What its suite calls it; null where it has no name.
    #[serde(default)]
    pub name: Option<String>,
    /// The task that was run.
    pub task: TaskFacts,
    /// What was planned.
    pub plan: PlanReport,
    /// When the run began, by RFC 3339.
    pub started_at: String,
    /// From the run's beginning to the end of its last operation.
    pub elapsed_ns: u64,
    /// Where the time before the beginning went.
    pub startup_ns: StartupReport,
    /// From the planned end to the end of the last operation; null where no end was planned.
    pub drain_ns: Option<u64>,
    /// Operations that were not counted; null where there were none.
    pub warmup: Option<Warmup>,
    /// What became of the operations.
    pub operations: Counts,
    /// Operations that were ended because the run ended, the oldest first: at a stop (counted as in flight), or at their
    /// deadline after the planned duration was over (counted as timed out).
    #[serde(default)]
    pub cut: Vec<Cut>,
    /// Operations whose result was one too many distinct ones: they are counted as `(other)`, and figures per result are
    /// lower bounds.
    #[serde(default)]
    pub folded: u64,
    /// Completed operations per second, from the first start to the last end.
    pub throughput: Option<f64>,
    /// From an operation's due time to its end. In a closed run an operation is due when it starts.
    pub latency_ns: Summary,
    /// From an operation's start to its end.
    pub service_ns: Summary,
    /// From an operation's due time to its start; null in a closed run.
    pub schedule_lag_ns: Option<Summary>,
    /// Where the operations' time went, all together; null in the compute lane.
    #[serde(default)]
    pub time: Option<TimeSplit>,
    /// By result and outcome, most frequent first.
    pub results: Vec<ResultReport>,
    /// What their requests did on the network; null where there were none.
    #[serde(default)]
    pub network: Option<NetworkReport>,
    /// Over time.
    pub timeline: TimelineReport,
    /// By worker process.
    pub workers: Vec<WorkerReport>,
    /// Whether the machine that the run ran on was its limit, and not the task's target.
    #[serde(default)]
    pub generator: Generator,
    /// What went wrong besides operations.
    pub faults: Vec<Fault>,
}

/// A plan as the report names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanReport {
    /// Planned operations; null where only the time was planned.
    pub operations: Option<u64>,
    /// Planned time; null where only the operations were planned.
    pub duration_ns: Option<u64>,
    /// Worker processes.
    pub processes: u32,
    /// Threads in each.
    pub threads: u32,
    /// Operations in flight per thread.
    pub concurrency: u32,
    /// When operations start.
    pub load_model: ModelName,
    /// Operations per second at the beginning; null in a closed run.
    #[serde(default)]
    pub rate: Option<f64>,
    /// How slots lie within the rate; null in a closed run.
    #[serde(default)]
    pub arrivals: Option<Arrivals>,
    /// How the rate changes, evenly within each; none in a closed run.
    #[serde(default)]
    pub stages: Vec<StageReport>,
    /// Operations that may be due and not yet ended; null is no limit.
    #[serde(default)]
    pub max_in_flight: Option<u64>,
    /// The shortest and the longest time between two operations of an instance; null where there is none.
    #[serde(default)]
    pub pause_ns: Option<(u64, u64)>,
    /// The time within which instances begin one after the other.
    #[serde(default)]
    pub ramp_ns: u64,
    /// Operations, or time, before the run that are not counted.
    #[serde(default)]
    pub warmup: Option<WarmupPlan>,
    /// The first number.
    pub first: u64,
    /// By how much threads began later, at most.
    pub start_jitter_ns: u64,
    /// Where chance was drawn from.
    pub seed: u64,
    /// Time for an operation; null is no limit.
    pub timeout_ns: Option<u64>,
    /// Memory for an instance.
    pub max_memory_bytes: u64,
    /// Operations per instance; null is no limit.
    pub recycle: Option<u64>,
    /// What results had to match.
    pub expect: Option<String>,
    /// The guest's arguments.
    pub args: Vec<String>,
    /// The names of the guest's environment variables; their values may be secrets.
    pub env: Vec<String>,
    /// The directories granted, as they were written.
    pub dirs: Vec<String>,
    /// What the task was allowed to reach.
    #[serde(default)]
    pub allow: Vec<String>,
    /// How its HTTP was spoken.
    #[serde(default)]
    pub http: HttpPlan,
    /// The data file.
    pub data: Option<String>,
}

/// The name of a load model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModelName {
    /// Each instance starts its next operation when its last one ended.
    Closed,
    /// Operations start on a schedule.
    Open,
}

/// A stage of an open run's schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StageReport {
    /// How long it is.
    pub duration_ns: u64,
    /// The rate at its end, in operations per second.
    pub rate: f64,
}

/// How long operations run before the run; one of the two is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WarmupPlan {
    /// How many.
    pub operations: Option<u64>,
    /// For how long.
    pub duration_ns: Option<u64>,
}

/// Where the time before a run went, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StartupReport {
    /// Compiling the task, or finding it compiled.
    pub compile: u64,
    /// Whether it was found compiled.
    pub cached: bool,
    /// From launching a worker until it spoke.
    pub spawn: u64,
    /// Loading the compiled task.
    pub load: u64,
    /// Making an instance.
    pub instantiate: u64,
    /// An instance's `setup`; null where the task has none.
    pub setup: Option<u64>,
}

/// Operations before the run, not counted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Warmup {
    /// How many.
    pub operations: u64,
    /// How long.
    pub elapsed_ns: u64,
}

/// What became of operations: offered = completed + dropped + lost + in flight, completed = ok + failed + trapped +
/// timed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counts {
    /// In the plan; null where only the time was planned.
    pub planned: Option<u64>,
    /// That were due.
    pub offered: u64,
    /// That ended.
    pub completed: u64,
    /// Of those, that succeeded.
    pub ok: u64,
    /// That the task, or `--expect`, called failed.
    pub failed: u64,
    /// That trapped.
    pub trapped: u64,
    /// That were stopped at their deadline.
    pub timed_out: u64,
    /// That were due and never started, because too many were in flight.
    pub dropped: u64,
    /// That were handed out and never confirmed.
    pub lost: u64,
    /// That were cut at the stop.
    pub in_flight: u64,
}

impl Counts {
    /// Operations that ended and were not ok.
    pub fn not_ok(&self) -> u64 {
        self.completed.saturating_sub(self.ok)
    }

    /// Their share of all that ended; none where none did.
    pub fn share_not_ok(&self) -> Option<f64> {
        (self.completed > 0).then(|| self.not_ok() as f64 / self.completed as f64)
    }
}

/// Durations in nanoseconds. A percentile is the smallest recorded duration that at least that share of all durations
/// do not exceed, to three significant digits, rounded up, and never above the exact maximum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// The shortest, exact.
    pub min: Option<u64>,
    /// Their mean, exact to the nanosecond.
    pub mean: Option<u64>,
    /// Their standard deviation.
    pub stdev: Option<u64>,
    /// The median.
    pub p50: Option<u64>,
    /// The 90th percentile.
    pub p90: Option<u64>,
    /// The 95th percentile.
    pub p95: Option<u64>,
    /// The 99th percentile.
    pub p99: Option<u64>,
    /// The 99.9th percentile; null below 1,000 durations.
    pub p99_9: Option<u64>,
    /// The longest, exact.
    pub max: Option<u64>,
    /// How many were longer than the hour that percentiles reach to.
    pub overflow: u64,
    /// All of them, as a base64 HdrHistogram (V2, deflate); null where there is none.
    pub hdr: Option<String>,
}

/// The operations of one result and outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResultReport {
    /// The result.
    pub result: String,
    /// Their outcome.
    pub outcome: Outcome,
    /// How many.
    pub operations: u64,
    /// The smallest of their numbers.
    pub first_number: u64,
    /// Why they failed.
    pub reasons: BTreeMap<String, u64>,
    /// The command that runs the first of them again, by itself; null where they are ok.
    #[serde(default)]
    pub reproduce: Option<String>,
    /// Operations per second, over the time of the whole run.
    pub throughput: Option<f64>,
    /// Their durations.
    pub latency_ns: Summary,
    /// Their parts.
    pub spans: Vec<SpanReport>,
    /// Where their time went, all operations together; null in the compute lane.
    #[serde(default)]
    pub time: Option<TimeSplit>,
}

/// The parts of one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SpanReport {
    /// Their name.
    pub name: String,
    /// How many.
    pub count: u64,
    /// Their durations.
    pub latency_ns: Summary,
}

/// What a run's requests did on the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NetworkReport {
    /// HTTP requests.
    pub requests: u64,
    /// HTTP requests per completed operation.
    pub requests_per_operation: Option<f64>,
    /// Connections that were opened for them.
    pub opened: u64,
    /// Requests that went over a connection that was there.
    pub reused: u64,
    /// Bytes that came in over those connections.
    pub bytes_in: u64,
    /// Bytes that went out.
    pub bytes_out: u64,
    /// How long it took to open a connection.
    pub connect_ns: Summary,
    /// How long it took from a request's sending to the first byte of its response.
    pub first_byte_ns: Summary,
    /// What the task wanted to reach and was not granted.
    pub refused: Vec<Refusal>,
}

/// A destination that was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Refusal {
    /// The destination.
    pub destination: String,
    /// How often it was wanted.
    pub count: u64,
    /// The flag that would grant it; null for all those that are too many to be named.
    pub flag: Option<String>,
}

/// Operations over time, without gaps, from the run's beginning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TimelineReport {
    /// The length of a bucket.
    pub interval_ns: u64,
    /// The buckets; the last one is cut short by the end of the run.
    pub buckets: Vec<BucketReport>,
}

/// One interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BucketReport {
    /// When it begins, from the run's beginning.
    pub start_ns: u64,
    /// Whether the run did not fill it.
    pub partial: bool,
    /// Operations that began in it.
    pub started: u64,
    /// Slots that were due in it and never started.
    #[serde(default)]
    pub dropped: u64,
    /// The longest time from due to start, of those that ended in it; null in a closed run.
    #[serde(default)]
    pub lag_ns: Option<u64>,
    /// Operations that ended in it.
    pub completed: u64,
    /// Of those, how many were not ok.
    pub failed: u64,
    /// The durations of those that ended in it.
    pub latency_ns: Summary,
    /// How many ended in it, by result.
    pub results: BTreeMap<String, u64>,
}

/// What one worker process did and used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WorkerReport {
    /// Its process identifier.
    pub process: u32,
    /// Its threads.
    pub threads: u32,
    /// The operations it completed.
    pub operations: u64,
    /// Processor time, user and system; unknown where it died.
    pub cpu_ns: Option<u64>,
    /// The most memory it had resident at once; unknown where it died.
    pub peak_rss_bytes: Option<u64>,
    /// How it was over time.
    #[serde(default)]
    pub timeline: Vec<HealthReport>,
}

/// How a worker was, from the last entry to this one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HealthReport {
    /// When it was looked at, from the run's beginning.
    pub at_ns: u64,
    /// Processors that it kept busy.
    pub cpu: f64,
    /// Memory that it had resident.
    pub rss_bytes: u64,
    /// The longest time from due to start; zero in a closed run.
    pub lag_ns: u64,
}

/// What the run says of the machine that it ran on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Generator {
    /// Whether the machine was the limit.
    pub limited: bool,
    /// Why, and what else kept operations waiting on this side, in words.
    pub reasons: Vec<String>,
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
        self.runs.iter().any(|run| run.operations.lost > 0 || run.faults.iter().any(|fault| fault.is_incomplete()))
    }
}

impl From<&Stage> for StageReport {
    fn from(stage: &Stage) -> Self {
        Self { duration_ns: derive::nanos(stage.duration), rate: stage.to.get() }
    }
}

impl From<Extent> for WarmupPlan {
    fn from(extent: Extent) -> Self {
        Self { operations: extent.operations(), duration_ns: extent.duration().map(derive::nanos) }
    }
}

impl Summary {
    /// The durations themselves, read from [`hdr`](Self::hdr); `None` where that is no histogram. Histograms of parts
    /// are added up to that of the whole, which percentiles are not.
    pub fn histogram(&self) -> Option<hdrhistogram::Histogram<u64>> {
        derive::decode(self.hdr.as_deref())
    }
}

impl From<&RunPlan> for PlanReport {
    fn from(plan: &RunPlan) -> Self {
        let (open, closed) = match &plan.load_model {
            LoadModel::Closed(closed) => (None, Some(closed)),
            LoadModel::Open(open) => (Some(open), None),
        };
        let pause = closed.map(|closed| closed.pause);
        Self {
            operations: plan.extent.operations(),
            duration_ns: plan.extent.duration().map(derive::nanos),
            processes: plan.shape.processes,
            threads: plan.shape.threads,
            concurrency: plan.concurrency.get(),
            load_model: match &plan.load_model {
                LoadModel::Closed(_) => ModelName::Closed,
                LoadModel::Open(_) => ModelName::Open,
            },
            rate: open.map(|open| open.from.get()),
            arrivals: open.map(|open| open.arrivals),
            stages: open.iter().flat_map(|open| &open.stages).map(StageReport::from).collect(),
            max_in_flight: open.and_then(|open| open.max_in_flight).map(u64::from),
            pause_ns: pause
                .map(|pause| (derive::nanos(pause.least), derive::nanos(pause.most)))
                .filter(|&(_, most)| most > 0),
            ramp_ns: closed.map_or(0, |closed| derive::nanos(closed.ramp)),
            warmup: plan.warmup.map(WarmupPlan::from),
            first: plan.first,
            start_jitter_ns: derive::nanos(plan.start_jitter),
            seed: plan.seed,
            timeout_ns: plan.limits.timeout.map(derive::nanos),
            max_memory_bytes: plan.limits.max_memory,
            recycle: plan.limits.recycle.map(u64::from),
            expect: plan.expect.as_ref().map(|expect| expect.as_str().to_owned()),
            args: plan.grants.args.clone(),
            env: plan.grants.env.iter().map(|(name, _)| name.clone()).collect(),
            dirs: plan.grants.dirs.iter().map(ToString::to_string).collect(),
            allow: plan.grants.network.0.iter().map(ToString::to_string).collect(),
            http: plan.http.clone(),
            data: plan.data.as_ref().map(|path| path.display().to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
