//! What is known about a run when it has ended, before any figure is derived. The controller writes a record and the
//! report reads it; this module knows neither.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Stall};
use crate::lane::Lane;
use crate::metrics::{Cut, HealthLog, Metrics, Timeline};
use crate::plan::RunPlan;

/// Everything from which the report on a run is derived.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// The machine that controlled the run.
    pub environment: Environment,
    /// The command line, without what may be secret; `None` if it cannot be shown.
    pub command: Option<String>,
    /// The task.
    pub task: TaskFacts,
    /// The files that the run used besides.
    pub files: Vec<FileFacts>,
    /// What was planned.
    pub plan: RunPlan,
    /// When the first operation was allowed to start.
    pub started_at: SystemTime,
    /// Whether the run was stopped before the end of its plan.
    pub stopped: bool,
    /// From the beginning of the run to its stop, or until nobody was left to go on, or until now if it goes on. `None`
    /// if it came to the end of its plan.
    pub short_of_plan: Option<Duration>,
    /// Where the time before the first operation went.
    pub startup: Startup,
    /// The warm-up, whose operations were not counted.
    pub warmup: Option<Warmup>,
    /// What was counted.
    pub metrics: Metrics,
    /// Operations that were due, by the ledger of their numbers.
    pub offered: u64,
    /// Operations that were due and never started.
    pub dropped: u64,
    /// Operations that were handed out and lost with a worker.
    pub lost: u64,
    /// Operations that were cut in flight when the run was stopped; they are not counted.
    pub in_flight: Vec<Cut>,
    /// Operations that ran beyond the run's duration until their time-out; they are counted as timed out.
    pub overtime: Vec<Cut>,
    /// The worker processes, in the order in which they were launched.
    pub workers: Vec<WorkerRecord>,
    /// The boxes; none if the run took place on this machine.
    pub boxes: Vec<BoxRecord>,
    /// Operations that may have been executed twice, as inclusive ranges of numbers: a lost box held them, and they
    /// were leased again.
    pub possibly_twice: Vec<(u64, u64)>,
    /// Times in which a part of Gorgon, or the machine, did not go on.
    pub stalls: Vec<Stall>,
    /// What went wrong besides operations.
    pub faults: Vec<Fault>,
}

impl RunRecord {
    /// Whether the run did not reach the end of its plan: it was stopped, or it could not go on.
    pub fn is_partial(&self) -> bool {
        self.stopped || self.faults.iter().any(Fault::is_end)
    }
}

/// Which task was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaskFacts {
    /// The file, as it was named.
    pub path: String,
    /// The file's SHA-256.
    pub sha256: String,
    /// The file's size.
    pub bytes: u64,
    /// The export that was called.
    pub operation: String,
    /// The lane in which the task ran.
    pub lane: Lane,
    /// Where it comes from. Reports of older versions lack this; their tasks come from files.
    #[serde(default)]
    pub origin: Origin,
}

/// A file that a run used besides its task. Its digest tells it from another file of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileFacts {
    /// What the run used it for.
    pub role: FileRole,
    /// The file, as it was named.
    pub path: String,
    /// The SHA-256 of what the run read. Of calls these are the calls themselves, so comments do not count.
    pub sha256: String,
    /// The size of what the run read.
    pub bytes: u64,
}

/// What a run used a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FileRole {
    /// The rows of the task's data.
    Data,
    /// The certificate authorities that the task trusted.
    CaCert,
}

/// Where a task comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A file of the user.
    #[default]
    File,
    /// Gorgon itself: there is no file.
    Embedded,
}

#[cfg(test)]
impl TaskFacts {
    /// The facts of a task that is never called.
    pub(crate) fn example() -> Self {
        Self {
            path: "task.wasm".into(),
            sha256: "00ff".into(),
            bytes: 45_040,
            operation: "operation".into(),
            lane: Lane::Compute,
            origin: Origin::File,
        }
    }
}

/// Where the time between the command and the first operation went. Each time is the longest of all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Startup {
    /// Compiling the task, or finding it in the cache.
    pub compile: Duration,
    /// Whether the compiled task was in the cache.
    pub cached: bool,
    /// From launching a worker process to its first message.
    pub spawn: Duration,
    /// Loading and linking the compiled task.
    pub load: Duration,
    /// Making a thread's instance.
    pub instantiate: Duration,
    /// A thread's `setup`; `None` if the task has none.
    pub setup: Option<Duration>,
}

/// Operations before the run, which are not counted in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Warmup {
    /// How many operations there were.
    pub operations: u64,
    /// How long they took in all.
    pub elapsed_ns: u64,
}

/// What one worker process did and used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Its process identifier.
    pub process: u32,
    /// The index of its box; 0 if the run took place on this machine.
    pub on: u32,
    /// Its threads.
    pub threads: u32,
    /// The operations it completed.
    pub operations: u64,
    /// Processor time, user and system; unknown if the worker died.
    pub cpu_ns: Option<u64>,
    /// The most memory that was resident at once; unknown if the worker died.
    pub peak_rss_bytes: Option<u64>,
    /// Its health over time.
    pub health: HealthLog,
}

/// A box that a run may use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxFacts {
    /// Its name, unique among the boxes.
    pub name: String,
    /// Which machine it is, and since when that has been running.
    pub boot: String,
    /// Its processors.
    pub cpus: u32,
    /// Its memory, in bytes.
    pub memory_bytes: u64,
    /// How many worker processes it may have.
    pub max_processes: u32,
}

/// What one box did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxRecord {
    /// The box.
    pub facts: BoxFacts,
    /// The shortest round trip from the controller and back, in nanoseconds.
    pub rtt_ns: u64,
    /// By how much its wall clock was ahead of the controller's at the beginning, in nanoseconds.
    pub clock_offset_ns: i64,
    /// By how much its monotonic clock moved against the controller's during the run, in nanoseconds.
    pub clock_drift_ns: i64,
    /// How much later than planned its last worker began, in nanoseconds; unknown if none began.
    pub start_late_ns: Option<u64>,
    /// Whether it was lost.
    pub lost: bool,
    /// Frames that came from it after it had been given up, and do not count.
    pub refused_frames: u64,
    /// Its operations over time, if that was asked for. The indices of results are those of the run.
    pub timeline: Option<Timeline>,
}

/// The machine on which the runs took place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Environment {
    /// The operating system and the processor's architecture.
    pub os: String,
    /// The release of the kernel; null if unknown, and in older reports.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Processors that the runs could use.
    pub cpus: usize,
    /// The model of the processors; null if unknown, and in older reports.
    #[serde(default)]
    pub processor: Option<String>,
    /// The processor time that the cgroup allowed, in processors; null if it set no limit, and in older reports.
    #[serde(default)]
    pub cpu_limit: Option<f64>,
    /// The version of wasmtime.
    pub wasmtime: String,
    /// The cost of one reading of the clock, in nanoseconds.
    pub clock_ns: f64,
}
