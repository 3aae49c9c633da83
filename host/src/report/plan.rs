//! A plan as the report names it.

use serde::{Deserialize, Serialize};

use super::derive::nanos;
use crate::plan::{Arrivals, Closed, Extent, Grants, HttpPlan, Limits, LoadModel, RunPlan, RunSpec, Shape, Stage};

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

impl From<&Stage> for StageReport {
    fn from(stage: &Stage) -> Self {
        Self { duration_ns: nanos(stage.duration), rate: stage.to.get() }
    }
}

impl From<Extent> for WarmupPlan {
    fn from(extent: Extent) -> Self {
        Self { operations: extent.operations(), duration_ns: extent.duration().map(nanos) }
    }
}

impl From<&RunPlan> for PlanReport {
    fn from(plan: &RunPlan) -> Self {
        // Each part by its name, so that a new one is not forgotten.
        let RunSpec {
            operation: _, // It is among the facts of the task.
            shape: Shape { processes, threads },
            concurrency,
            extent,
            first,
            load_model,
            warmup,
            start_jitter,
            seed,
            limits: Limits { timeout, max_memory, recycle },
            expect,
            grants: Grants { args, env, dirs, network },
            http,
            data,
        } = plan.spec();
        let (name, open, closed) = match load_model {
            LoadModel::Closed(closed) => (ModelName::Closed, None, *closed),
            LoadModel::Open(open) => (ModelName::Open, Some(open), Closed::default()),
        };
        let Closed { pause, ramp } = closed;
        Self {
            operations: extent.operations(),
            duration_ns: extent.duration().map(nanos),
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
            max_memory_bytes: *max_memory,
            recycle: recycle.map(u64::from),
            expect: expect.as_ref().map(|expect| expect.as_str().to_owned()),
            args: args.clone(),
            env: env.iter().map(|(name, _)| name.clone()).collect(),
            dirs: dirs.iter().map(ToString::to_string).collect(),
            allow: network.0.iter().map(ToString::to_string).collect(),
            http: http.clone(),
            data: data.as_ref().map(|path| path.display().to_string()),
        }
    }
}
