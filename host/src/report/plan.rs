//! A plan as the report names it.

use serde::{Deserialize, Serialize};

use super::derive::nanos;
use crate::plan::{Arrivals, Extent, HttpPlan, LoadModel, RunPlan, Stage};

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
        let (open, closed) = match &plan.load_model {
            LoadModel::Closed(closed) => (None, Some(closed)),
            LoadModel::Open(open) => (Some(open), None),
        };
        let pause = closed.map(|closed| closed.pause);
        Self {
            operations: plan.extent.operations(),
            duration_ns: plan.extent.duration().map(nanos),
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
            pause_ns: pause.map(|pause| (nanos(pause.least), nanos(pause.most))).filter(|&(_, most)| most > 0),
            ramp_ns: closed.map_or(0, |closed| nanos(closed.ramp)),
            warmup: plan.warmup.map(WarmupPlan::from),
            first: plan.first,
            start_jitter_ns: nanos(plan.start_jitter),
            seed: plan.seed,
            timeout_ns: plan.limits.timeout.map(nanos),
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
