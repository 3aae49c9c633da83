//! The serialised form of a run, field by field. It does not know how the figures are computed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::derive;
use super::plan::PlanReport;
use crate::fault::{Fault, Stall};
use crate::guest_text::GuestText;
use crate::metrics::{Cut, Measure, Outcome, Resource, TimeSplit};
use crate::record::{FileFacts, TaskFacts, Warmup};

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunReport {
    /// The name from the suite file; null without one.
    #[serde(default)]
    pub name: Option<String>,
    /// The task that was run.
    pub task: TaskFacts,
    /// The files that the run used besides its task. Reports of older versions lack them.
    #[serde(default)]
    pub files: Vec<FileFacts>,
    /// What was planned.
    pub plan: PlanReport,
    /// Whether the run did not reach the end of its plan; null in older reports.
    #[serde(default)]
    pub partial: Option<bool>,
    /// When the run began, as RFC 3339.
    pub started_at: String,
    /// From the beginning of the run to the end of its last operation.
    pub elapsed_ns: u64,
    /// Where the time before the beginning went.
    pub startup_ns: StartupReport,
    /// From the planned end to the end of the last operation; null if no end was planned.
    pub drain_ns: Option<u64>,
    /// The operations before the run, which are not counted; null without a warm-up.
    pub warmup: Option<Warmup>,
    /// What became of the operations.
    pub operations: Counts,
    /// Operations that the end of the run cut, the oldest first: at a stop (counted as in flight), or at their deadline
    /// after the planned duration (counted as timed out).
    #[serde(default)]
    pub cut: Vec<Cut>,
    /// Operations beyond the limit on distinct results. They are counted as `(other)`, so figures per result are lower
    /// bounds.
    #[serde(default)]
    pub folded: u64,
    /// Completed operations per second, over `throughput_window_ns`.
    pub throughput: Option<f64>,
    /// The time over which all rates of the run are taken: from the first start to the last end, or the planned time of
    /// an open run that ends by a duration. Null in older reports.
    #[serde(default)]
    pub throughput_window_ns: Option<u64>,
    /// From an operation's due time to its end. In a closed run an operation is due when it starts.
    pub latency_ns: Summary,
    /// The operations that were ok; null in older reports.
    #[serde(default)]
    pub ok: Option<GroupReport>,
    /// From an operation's start to its end.
    pub service_ns: Summary,
    /// From an operation's due time to its start; null in a closed run.
    pub schedule_lag_ns: Option<Summary>,
    /// Where the time of all operations went; null in the compute lane.
    #[serde(default)]
    pub time: Option<TimeSplit>,
    /// By result and outcome, most frequent first.
    pub results: Vec<ResultReport>,
    /// The spans over all results, those that took the most time first; empty in older reports.
    #[serde(default)]
    pub spans: Vec<SpanReport>,
    /// What the requests of the task did on the network; null without requests.
    #[serde(default)]
    pub network: Option<NetworkReport>,
    /// Over time.
    pub timeline: TimelineReport,
    /// By worker process.
    pub workers: Vec<WorkerReport>,
    /// By box; empty if the run took place on one machine, and in older reports.
    #[serde(default)]
    pub boxes: Vec<BoxReport>,
    /// Operations that may have been executed twice, as inclusive ranges of numbers: a box that was lost held them, and
    /// another one executed them again.
    #[serde(default)]
    pub possibly_executed_twice: Vec<(u64, u64)>,
    /// Whether the limit was the machine that the run used, not the target of the task.
    #[serde(default)]
    pub generator: Generator,
    /// What went wrong besides operations.
    pub faults: Vec<Fault>,
}

impl RunReport {
    /// The summary of `measure`; `None` if such a run does not measure it.
    pub fn measured(&self, measure: Measure) -> Option<&Summary> {
        match measure {
            Measure::Latency => Some(&self.latency_ns),
            Measure::Service => Some(&self.service_ns),
            Measure::Lag => self.schedule_lag_ns.as_ref(),
        }
    }
}

/// Where the time before a run went, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StartupReport {
    /// Compiling the task, or finding it compiled.
    pub compile: u64,
    /// Whether the cache had it compiled.
    pub cached: bool,
    /// From launching a worker to its first message.
    pub spawn: u64,
    /// Loading the compiled task.
    pub load: u64,
    /// Making an instance.
    pub instantiate: u64,
    /// An instance's `setup`; null if the task has none.
    pub setup: Option<u64>,
}

/// What became of operations: offered = completed + dropped + lost + in flight, completed = ok + failed + trapped +
/// timed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counts {
    /// In the plan; null if only a duration was planned.
    pub planned: Option<u64>,
    /// That were due.
    pub offered: u64,
    /// That ended.
    pub completed: u64,
    /// Of those, operations that succeeded.
    pub ok: u64,
    /// That the task or `--expect` marked as failed.
    pub failed: u64,
    /// That trapped.
    pub trapped: u64,
    /// That were ended at their deadline.
    pub timed_out: u64,
    /// That were due and never started: because too many were in flight, or because the run ended first.
    pub dropped: u64,
    /// Of those, operations that were left when the run ended. Null in older reports.
    #[serde(default)]
    pub dropped_at_end: Option<u64>,
    /// That were handed out and never confirmed.
    pub lost: u64,
    /// That a stop cut.
    pub in_flight: u64,
}

impl Counts {
    /// Operations that ended and were not ok.
    pub fn not_ok(&self) -> u64 {
        self.completed.saturating_sub(self.ok)
    }

    /// Their share of all that ended; `None` if none did.
    pub fn share_not_ok(&self) -> Option<f64> {
        (self.completed > 0).then(|| self.not_ok() as f64 / self.completed as f64)
    }
}

/// Durations in nanoseconds. A percentile is the smallest recorded duration that at least this share of the durations
/// do not exceed. It has three significant digits, is rounded up, and never exceeds the exact maximum. It is null if
/// none of the durations lies beyond it: p90 below 10 durations, p95 below 20, p99 below 100, p99.9 below 1,000.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// Their sum, exact; it can exceed 2^53. Null in older reports.
    #[serde(default)]
    pub sum: Option<u128>,
    /// The shortest, exact.
    pub min: Option<u64>,
    /// Their mean, exact to the nanosecond.
    pub mean: Option<u64>,
    /// Their standard deviation.
    pub stdev: Option<u64>,
    /// The median.
    pub p50: Option<u64>,
    /// The 90th percentile; null below 10 durations.
    pub p90: Option<u64>,
    /// The 95th percentile; null below 20 durations.
    pub p95: Option<u64>,
    /// The 99th percentile; null below 100 durations.
    pub p99: Option<u64>,
    /// The 99.9th percentile; null below 1,000 durations.
    pub p99_9: Option<u64>,
    /// The longest, exact.
    pub max: Option<u64>,
    /// How many were longer than an hour, the upper limit for percentiles.
    pub overflow: u64,
    /// All of them, as a base64 HdrHistogram (V2, deflate); null if there are none.
    pub hdr: Option<String>,
}

impl NetworkReport {
    /// The share of requests that failed; `None` if there were none, and in older reports.
    pub fn share_failed(&self) -> Option<f64> {
        self.failed.filter(|_| self.requests > 0).map(|failed| failed as f64 / self.requests as f64)
    }
}

impl Summary {
    /// The histogram in [`hdr`](Self::hdr); `None` if that field is invalid, or missing though there are durations.
    /// Histograms of parts can be added up, unlike percentiles.
    pub fn histogram(&self) -> Option<hdrhistogram::Histogram<u64>> {
        let is_missing = self.count > 0 && self.hdr.is_none();
        if is_missing { None } else { derive::decode(self.hdr.as_deref()) }
    }

    /// The sum of the durations; for older reports, without a sum, it is estimated from the mean.
    pub fn sum(&self) -> u128 {
        self.sum.unwrap_or_else(|| u128::from(self.mean.unwrap_or_default()) * u128::from(self.count))
    }
}

/// The operations of one result and outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ResultReport {
    /// The result.
    pub result: GuestText,
    /// Their outcome.
    pub outcome: Outcome,
    /// How many.
    pub operations: u64,
    /// The smallest of their numbers.
    pub first_number: u64,
    /// Why they failed.
    pub reasons: BTreeMap<GuestText, u64>,
    /// The command that runs the first of them again on its own; null if they are ok.
    #[serde(default)]
    pub reproduce: Option<String>,
    /// Operations per second, over the time of the whole run.
    pub throughput: Option<f64>,
    /// Their durations.
    pub latency_ns: Summary,
    /// Their spans.
    pub spans: Vec<SpanReport>,
    /// Where their time went, summed over the operations; null in the compute lane.
    #[serde(default)]
    pub time: Option<TimeSplit>,
}

/// Some of the operations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GroupReport {
    /// How many.
    pub operations: u64,
    /// Operations per second, over the time of the whole run.
    pub throughput: Option<f64>,
    /// Their durations.
    pub latency_ns: Summary,
}

/// The spans of one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SpanReport {
    /// Their name.
    pub name: GuestText,
    /// How many.
    pub count: u64,
    /// Those in which a request failed, or the operation did; null in older reports.
    #[serde(default)]
    pub failed: Option<u64>,
    /// Spans per second, over the time of the whole run; null in older reports.
    #[serde(default)]
    pub throughput: Option<f64>,
    /// Their durations.
    pub latency_ns: Summary,
}

impl SpanReport {
    /// The share of them that failed; `None` in older reports.
    pub fn share_failed(&self) -> Option<f64> {
        self.failed.filter(|_| self.count > 0).map(|failed| failed as f64 / self.count as f64)
    }
}

/// What the requests of a run did on the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NetworkReport {
    /// HTTP requests that ended, with a response or without one.
    pub requests: u64,
    /// Of those, requests without a whole response of status 200 to 399; null in older reports.
    #[serde(default)]
    pub failed: Option<u64>,
    /// Requests per second, over the time of the whole run; null in older reports.
    #[serde(default)]
    pub throughput: Option<f64>,
    /// From sending a request, over an open connection, to the end of its response, or to its failure. Requests that
    /// got no connection are not in it. Null in older reports.
    #[serde(default)]
    pub duration_ns: Option<Summary>,
    /// HTTP requests that were sent, per completed operation.
    pub requests_per_operation: Option<f64>,
    /// How often requests were sent: those without a connection were not, and some were sent again. Null in older
    /// reports.
    #[serde(default)]
    pub sent: Option<u64>,
    /// How often requests were sent again, because the server had closed the connection before it got them, or refused
    /// them. Null in older reports.
    #[serde(default)]
    pub repeated: Option<u64>,
    /// Connections opened for them.
    pub opened: u64,
    /// Requests that used an existing connection.
    pub reused: u64,
    /// Bytes received over those connections.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// The time to open a connection.
    pub connect_ns: Summary,
    /// From sending a request to the first byte of its response.
    pub first_byte_ns: Summary,
    /// How long requests waited for a free stream of HTTP/2 before they were sent, of those that did; null if none
    /// did.
    #[serde(default)]
    pub stream_wait_ns: Option<Summary>,
    /// What this machine lacked for connections that could not be opened.
    #[serde(default)]
    pub lacked: Vec<Lack>,
    /// Destinations that the task tried to reach and was not granted.
    pub refused: Vec<Refusal>,
}

/// Something that this machine had none of any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Lack {
    /// What it was.
    pub resource: Resource,
    /// How many connections were not opened because of it.
    pub count: u64,
}

/// A destination that was not granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Refusal {
    /// The destination.
    pub destination: GuestText,
    /// How often the task tried to reach it.
    pub count: u64,
    /// The flag that grants it; null for the entry that sums up all further destinations.
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
    /// How much of it the run covers; null in older reports.
    #[serde(default)]
    pub length_ns: Option<u64>,
    /// Whether the run covers only a part of it.
    pub partial: bool,
    /// Slots that were due in it; null in a closed run, for a box, and in older reports.
    #[serde(default)]
    pub due: Option<u64>,
    /// Operations that began in it.
    pub started: u64,
    /// Slots that were due in it and never started.
    #[serde(default)]
    pub dropped: u64,
    /// The longest time from due to start among those that ended in it; null in a closed run.
    #[serde(default)]
    pub lag_ns: Option<u64>,
    /// Operations that ended in it.
    pub completed: u64,
    /// Of those, operations that were not ok.
    pub failed: u64,
    /// The durations of those that ended in it.
    pub latency_ns: Summary,
    /// Operations that ended in it, by result. Of very many results these are the most frequent, and `(other)`.
    pub results: BTreeMap<GuestText, u64>,
}

/// What one worker process did and used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WorkerReport {
    /// Its process identifier.
    pub process: u32,
    /// The name of its box; null if the run took place on one machine, and in older reports.
    #[serde(default, rename = "box")]
    pub of_box: Option<String>,
    /// Its threads.
    pub threads: u32,
    /// The operations it completed.
    pub operations: u64,
    /// Processor time, user and system; null if the worker died.
    pub cpu_ns: Option<u64>,
    /// The most memory it had resident at once; null if the worker died.
    pub peak_rss_bytes: Option<u64>,
    /// Its state over time.
    #[serde(default)]
    pub timeline: Vec<HealthReport>,
}

/// What one box of a run did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BoxReport {
    /// Its name.
    pub name: String,
    /// Its processors.
    pub cpus: u32,
    /// Its memory.
    pub memory_bytes: u64,
    /// The worker processes that it had, one after the other or at the same time.
    pub workers: u64,
    /// The operations that they completed.
    pub operations: u64,
    /// Their processor time; null if one of them died.
    pub cpu_ns: Option<u64>,
    /// The share of their threads' time in which they had no time left; null if nothing was observed.
    pub saturated: Option<f64>,
    /// The shortest round trip from the controller to the box and back.
    pub rtt_ns: u64,
    /// By how much its wall clock was ahead of the controller's when the run began.
    pub clock_offset_ns: i64,
    /// How wrong that may be: half a round trip.
    pub clock_uncertainty_ns: u64,
    /// By how much its monotonic clock moved against the controller's during the run. Clocks that are not adjusted
    /// drift by some microseconds each second.
    pub clock_drift_ns: i64,
    /// How much later than planned its last worker began; null if none began.
    pub start_skew_ns: Option<u64>,
    /// Whether it was lost.
    pub lost: bool,
    /// Frames that came from it after it had been given up. They do not count.
    pub refused_frames: u64,
    /// Operations per second, over the same time as those of the run; null without `--by-box`, and in older reports.
    #[serde(default)]
    pub throughput: Option<f64>,
    /// From an operation's due time to its end, of its operations; null without `--by-box`, and in older reports.
    #[serde(default)]
    pub latency_ns: Option<Summary>,
    /// Over time, in the intervals of the run's timeline; null without `--by-box`, and in older reports.
    #[serde(default)]
    pub timeline: Option<TimelineReport>,
}

/// The state of a worker between the previous entry and this one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HealthReport {
    /// When it was sampled, from the run's beginning.
    pub at_ns: u64,
    /// Processors it kept busy; null in the first entry of older reports.
    pub cpu: Option<f64>,
    /// Its resident memory.
    pub rss_bytes: u64,
    /// The longest time from due to start; zero in a closed run.
    pub lag_ns: u64,
    /// How busy its busiest thread was, as a share of the time: on a processor, or waiting for one. Null in older
    /// reports.
    #[serde(default)]
    pub busiest_thread: Option<f64>,
}

/// How the machine that generates the load can be the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Threads had no time left.
    Saturated,
    /// Operations waited for each other in the queue of their thread.
    Queued,
    /// Threads waited for a processor, because other programs ran.
    Crowded,
    /// The control group had used up its processor time.
    Throttled,
    /// The hypervisor gave processor time to other machines.
    Stolen,
    /// Operations started late though an instance was waiting for them; once started, they were not slower.
    Late,
    /// Requests waited for a free stream of HTTP/2.
    Streams,
    /// Connections could not be opened, because the machine had no more files, ports or memory for them.
    Lacked,
}

/// Whether the generator limited the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Generator {
    /// Whether the machine was the limit.
    pub limited: bool,
    /// How it was; empty if it was not, and in older reports.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// How much longer an operation took, at most on average, because its thread got no processor; null if threads got
    /// one, and in older reports.
    #[serde(default)]
    pub delay_ns: Option<u64>,
    /// Why, and what else delayed operations on the generator's side, in words.
    pub reasons: Vec<String>,
    /// Operations of an open run that waited for an instance, because all instances of their process were busy.
    #[serde(default)]
    pub waited: u64,
    /// The share of its threads' time in which a thread had none left: it was on a processor, or waited for one. Null
    /// if it is not known.
    #[serde(default)]
    pub saturated: Option<f64>,
    /// The share of its threads' time in which they were ready and waited for a processor. Null if it is not known.
    #[serde(default)]
    pub delayed: Option<f64>,
    /// The share of the operations' time in which they were ready and their thread was busy; the least that it can be.
    /// Null in the compute lane.
    #[serde(default)]
    pub queued: Option<f64>,
    /// The share of the run in which the control group of the workers was throttled; zero if it has no limit. Null if
    /// it is not known.
    #[serde(default)]
    pub throttled: Option<f64>,
    /// The share of the processors' time that the hypervisor gave to others. Null if it is not known.
    #[serde(default)]
    pub stolen: Option<f64>,
    /// Times in which a part of Gorgon, or the machine, did not go on.
    #[serde(default)]
    pub stalls: Vec<Stall>,
}

/// The result of an expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verdict {
    /// The expression, as it was written.
    pub expression: String,
    /// The run that it was checked against, by its index in the report.
    pub run: usize,
    /// Who asked for it.
    #[serde(default)]
    pub origin: VerdictOrigin,
    /// Whether it holds.
    pub held: bool,
    /// Whether it fails the run: because it holds, or because it could not be judged and `--missing` is `fail`.
    #[serde(default)]
    pub failed: bool,
    /// The figure: nanoseconds, a share between 0 and 1, a number, or a number per second; null if it does not exist.
    pub value: Option<f64>,
    /// What the bound was compared with; null if the expression could not be judged, and in older reports.
    #[serde(default)]
    pub judged_by: Option<Basis>,
    /// The maximum, in nanoseconds, if the expression was judged by it; otherwise null.
    #[serde(default)]
    pub maximum: Option<f64>,
    /// How many durations the figure covers; null if it is not a time, and in older reports.
    #[serde(default)]
    pub samples: Option<u64>,
    /// Why the expression could not be judged; null if it was.
    #[serde(default)]
    pub problem: Option<String>,
    /// The unit of the figure and its bound; null in older reports.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// The value that the figure is compared with; null in older reports.
    #[serde(default)]
    pub bound: Option<f64>,
    /// What to write instead, if the direction of the comparison is nearly always a mistake; otherwise null, and in
    /// older reports.
    #[serde(default)]
    pub advice: Option<String>,
}

/// Who asked for a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum VerdictOrigin {
    /// `--fail-if`.
    #[default]
    FailIf,
    /// `--abort-if`.
    AbortIf,
    /// Nobody: it is in the report because it failed the run.
    BuiltIn,
}

/// What a bound was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The figure.
    Value,
    /// The longest duration, because there are too few for the percentile, which cannot exceed it.
    Maximum,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// A share between 0 and 1.
    Share,
    /// Operations.
    Operations,
    /// Operations per second.
    PerSecond,
}
