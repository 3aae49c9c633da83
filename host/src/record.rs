//! What is known of a run when it has ended, before any figure is derived. The controller writes it, the report reads
//! it; knows neither.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::lane::Lane;
use crate::metrics::{Cut, HealthLog, Metrics};
use crate::plan::RunPlan;

/// Everything a report on one run is derived from.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The task.
    pub task: TaskFacts,
    /// What was planned.
    pub plan: RunPlan,
    /// When the first operation could begin.
    pub started_at: SystemTime,
    /// Whether it was stopped before its plan's end.
    pub stopped: bool,
    /// Where the time before went.
    pub startup: Startup,
    /// What ran before and was not counted.
    pub warmup: Option<Warmup>,
    /// What was counted.
    pub metrics: Metrics,
    /// Operations that were due, by the books on their numbers.
    pub offered: u64,
    /// Operations that were due and never started.
    pub dropped: u64,
    /// Operations that were handed out and never confirmed.
    pub lost: u64,
    /// Operations that were in flight when the run was stopped, and were cut; not among those counted.
    pub in_flight: Vec<Cut>,
    /// Operations that ran beyond the run's duration, until their deadline; counted, as timed out.
    pub overtime: Vec<Cut>,
    /// The worker processes, in the order in which they were launched.
    pub workers: Vec<WorkerRecord>,
    /// What went wrong besides operations.
    pub faults: Vec<Fault>,
}

/// Which task was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaskFacts {
    /// Its file, as it was named.
    pub path: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// The file's size.
    pub bytes: u64,
    /// The export that was called.
    pub operation: String,
    /// The lane it ran in.
    pub lane: Lane,
}

/// Where the time between the command and the first operation went. Each is the longest of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Startup {
    /// Compiling the task, or finding it compiled.
    pub compile: Duration,
    /// Whether it was found compiled.
    pub cached: bool,
    /// From launching a worker process until it spoke.
    pub spawn: Duration,
    /// Loading and linking the compiled task.
    pub load: Duration,
    /// Making a thread's instance.
    pub instantiate: Duration,
    /// A thread's `setup`; `None` where the task has none.
    pub setup: Option<Duration>,
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

/// What one worker process did and used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
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
    pub health: HealthLog,
}

/// Where the runs ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// The operating system and the processor's architecture.
    pub os: String,
    /// Processors that the runs could use.
    pub cpus: usize,
    /// The version of wasmtime.
    pub wasmtime: String,
    /// What one reading of the clock costs, in nanoseconds.
    pub clock_ns: f64,
}
