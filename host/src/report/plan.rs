//! The plan of a run as the report shows it.

use serde::{Deserialize, Serialize};

use super::derive::nanos;
use crate::plan::{
    Arrivals, CallOrder, Closed, Extent, Grants, HttpPlan, Limits, LoadModel, RunPlan, RunSpec, Shape, Stage,
};

/// The plan of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanReport {
    /// Planned operations; null if only a duration was planned.
    pub operations: Option<u64>,
    /// Planned duration; null if only a number of operations was planned.
    pub duration_ns: Option<u64>,
    /// Boxes; null on one machine, and in older reports.
    #[serde(default)]
    pub boxes: Option<u32>,
    /// Worker processes on each box.
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
    /// How slots are distributed over time; null in a closed run.
    #[serde(default)]
    pub arrivals: Option<Arrivals>,
    /// How the rate changes, linearly within each stage; empty in a closed run.
    #[serde(default)]
    pub stages: Vec<StageReport>,
    /// The most operations that may be due and not yet ended; null means no limit.
    #[serde(default)]
    pub max_in_flight: Option<u64>,
    /// The shortest and the longest pause between two operations of an instance; null without pauses.
    #[serde(default)]
    pub pause_ns: Option<(u64, u64)>,
    /// The time over which the starts of the instances are spread.
    #[serde(default)]
    pub ramp_ns: u64,
    /// The warm-up: operations or time before the run, which are not counted.
    #[serde(default)]
    pub warmup: Option<WarmupPlan>,
    /// The first number.
    pub first: u64,
    /// The longest delay before a thread begins.
    pub start_jitter_ns: u64,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The time-out of an operation; null means no limit.
    pub timeout_ns: Option<u64>,
    /// The time-out of a hook; null means no limit.
    #[serde(default)]
    pub hook_timeout_ns: Option<u64>,
    /// The memory limit of an instance.
    pub max_memory_bytes: u64,
    /// The memory limit of a worker process; null means no limit.
    #[serde(default)]
    pub max_worker_memory_bytes: Option<u64>,
    /// Operations per instance; null means no limit.
    pub recycle: Option<u64>,
    /// The pattern that results had to match.
    pub expect: Option<String>,
    /// The guest's arguments.
    pub args: Vec<String>,
    /// The names of the guest's environment variables; their values may be secrets.
    pub env: Vec<String>,
    /// The granted directories, as they were written.
    pub dirs: Vec<String>,
    /// The destinations that the task was allowed to reach.
    #[serde(default)]
    pub allow: Vec<String>,
    /// The HTTP settings of the task.
    #[serde(default)]
    pub http: HttpPlan,
    /// The file of the task's data, as it was named: a CSV file, or the calls of `gorgon http`.
    pub data: Option<String>,
    /// Which call an operation of `gorgon http` plays; null for other tasks.
    #[serde(default)]
    pub calls: Option<CallOrder>,
}

/// The name of a load model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ModelName {
    /// Each instance starts its next operation when the previous one has ended.
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

/// The length of the warm-up; one of the two is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WarmupPlan {
    /// How many.
    pub operations: Option<u64>,
    /// For how long.
    pub duration_ns: Option<u64>,
}

impl From<&Stage> for StageReport {
    fn from(stage: &Stage) -> Self {
        Self { duration_ns: nanos(stage.duration), rate: stage.to.get() }
    }
}

impl PlanReport {
    /// Worker processes on all boxes together.
    pub fn workers(&self) -> u64 {
        u64::from(self.boxes.unwrap_or(1)) * u64::from(self.processes)
    }

    /// Instances of the task in all of them together.
    pub fn instances(&self) -> u64 {
        self.workers() * u64::from(self.threads) * u64::from(self.concurrency)
    }
}

impl From<Extent> for WarmupPlan {
    fn from(extent: Extent) -> Self {
        Self { operations: extent.operations(), duration_ns: extent.duration().map(nanos) }
    }
}

impl From<&RunPlan> for PlanReport {
    fn from(plan: &RunPlan) -> Self {
        // Naming every field makes the compiler reject a new one that is forgotten here.
        let RunSpec {
            operation: _, // The report has it in the facts of the task.
            shape: Shape { boxes, processes, threads },
            concurrency,
            extent,
            first,
            load_model,
            warmup,
            start_jitter,
            seed,
            limits: Limits { timeout, hook_timeout, max_memory, max_worker_memory, recycle },
            expect,
            grants: Grants { args, env, dirs, network },
            http,
            data,
            calls,
            traced: _, // The same operations are executed.
        } = plan.spec();
        // A file that was made from calls is a temporary one.
        let data = calls.as_ref().map(|calls| &calls.file).or(data.as_ref());
        let (name, open, closed) = match load_model {
            LoadModel::Closed(closed) => (ModelName::Closed, None, *closed),
            LoadModel::Open(open) => (ModelName::Open, Some(open), Closed::default()),
        };
        let Closed { pause, ramp } = closed;
        Self {
            operations: extent.operations(),
            duration_ns: extent.duration().map(nanos),
            boxes: (*boxes > 1).then_some(*boxes),
            processes: *processes,
            threads: *threads,
            concurrency: concurrency.get(),
            load_model: name,
            rate: open.map(|open| open.from.get()),
            arrivals: open.map(|open| open.arrivals),
            stages: open.iter().flat_map(|open| &open.stages).map(StageReport::from).collect(),
            max_in_flight: open.and_then(|open| open.max_in_flight).map(u64::from),
            pause_ns: (!pause.most.is_zero()).then(|| (nanos(pause.least), nanos(pause.most))),
            ramp_ns: nanos(ramp),
            warmup: warmup.map(WarmupPlan::from),
            first: *first,
            start_jitter_ns: nanos(*start_jitter),
            seed: *seed,
            timeout_ns: timeout.map(nanos),
            hook_timeout_ns: hook_timeout.map(nanos),
            max_memory_bytes: *max_memory,
            max_worker_memory_bytes: *max_worker_memory,
            recycle: recycle.map(u64::from),
            expect: expect.as_ref().map(|expect| expect.as_str().to_owned()),
            args: args.clone(),
            env: env.iter().map(|(name, _)| name.clone()).collect(),
            dirs: dirs.iter().map(ToString::to_string).collect(),
            allow: network.0.iter().map(ToString::to_string).collect(),
            http: http.public(),
            data: data.map(|path| path.display().to_string()),
            calls: calls.as_ref().map(|calls| calls.order),
        }
    }
}
