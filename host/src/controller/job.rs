//! What a controller is given: a task that was compiled, as facts, and a plan. Knows neither flags nor the engine.

use std::path::PathBuf;

use crate::hook::Hook;
use crate::plan::RunPlan;
use crate::record::{Startup, TaskFacts};
use crate::resolve::Addresses;
use crate::wire::Phase;

/// One run that is to be.
#[derive(Clone, Debug)]
pub struct Job {
    /// The task.
    pub task: TaskFacts,
    /// The hooks that it exports.
    pub hooks: Vec<Hook>,
    /// Its machine code.
    pub machine_code: PathBuf,
    /// What names stand for, in the whole run.
    pub addresses: Addresses,
    /// What is known of the time before the run: that for compiling.
    pub startup: Startup,
    /// What is to be run.
    pub plan: RunPlan,
}

impl Job {
    /// The phases of the run, in their order. The last one is counted.
    pub fn phases(&self) -> Vec<(Phase, RunPlan)> {
        let warmup = self.plan.warming().map(|plan| (Phase::Warmup, plan));
        warmup.into_iter().chain([(Phase::Run, self.plan.clone())]).collect()
    }

    /// Whether the task exports `hook`.
    pub(super) fn has(&self, hook: Hook) -> bool {
        self.hooks.contains(&hook)
    }
}
