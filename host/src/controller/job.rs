//! What a controller is given: facts about a compiled task, and a plan. Knows neither flags nor the engine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::hook::Hook;
use crate::plan::RunPlan;
use crate::record::{BoxFacts, Environment, FileFacts, Startup, TaskFacts};
use crate::resolve::Addresses;
use crate::rows;
use crate::wire::{Contact, Phase};

/// A run to execute.
#[derive(Clone, Debug)]
pub struct Job {
    /// The machine of the controller.
    pub environment: Environment,
    /// The command line, for people.
    pub command: Option<String>,
    /// Facts about the task.
    pub task: TaskFacts,
    /// Facts about the other files that the run uses.
    pub files: Vec<FileFacts>,
    /// The hooks that the task exports.
    pub hooks: Vec<Hook>,
    /// The file with the task's machine code.
    pub machine_code: PathBuf,
    /// Whether its instances may have a heap of objects.
    pub has_objects: bool,
    /// The addresses of host names, for the whole run.
    pub addresses: Addresses,
    /// Where the rows of the data file are.
    pub rows: Option<rows::Facts>,
    /// What is known of the start-up time before the run: the time for compiling.
    pub startup: Startup,
    /// The plan.
    pub plan: RunPlan,
    /// Where it takes place.
    pub spread: Spread,
}

/// How a run is spread over boxes; by default it takes place on this machine.
#[derive(Clone, Debug)]
pub struct Spread {
    /// The boxes that the run uses; none if it takes place on this machine.
    pub boxes: Vec<BoxFacts>,
    /// How workers and the controller keep in touch.
    pub contact: Contact,
    /// What becomes of the operations of a box that is lost.
    pub on_loss: OnLoss,
    /// The epoch of the controller that opens the run.
    pub epoch: u32,
    /// Whether to keep the operations of each box over time.
    pub by_box: bool,
    /// In words: which boxes the run does not have, although they are wanted.
    pub absent: Option<String>,
}

impl Default for Spread {
    fn default() -> Self {
        let (boxes, contact, on_loss) = (Vec::new(), Contact::LOCAL, OnLoss::Skip);
        Self { boxes, contact, on_loss, epoch: 0, by_box: false, absent: None }
    }
}

/// What becomes of the operations that a box held when it was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnLoss {
    /// They are lost, so that no number is ever started twice.
    #[default]
    Skip,
    /// They are leased again, and the report says that they may have been executed twice.
    Rerun,
    /// They are lost, and the run is stopped.
    Abort,
}

impl Job {
    /// The phases of the run, in order. The operations of the last one are counted.
    pub fn phases(&self) -> Vec<(Phase, RunPlan)> {
        let warmup = self.plan.warming().map(|plan| (Phase::Warmup, plan));
        warmup.into_iter().chain([(Phase::Run, self.plan.clone())]).collect()
    }

    /// Whether the task exports `hook`.
    pub(super) fn has(&self, hook: Hook) -> bool {
        self.hooks.contains(&hook)
    }
}

#[cfg(test)]
impl Job {
    /// The job that `plan` makes of a task that nobody calls.
    pub(crate) fn example(plan: RunPlan) -> Self {
        Self {
            environment: crate::report::tests::environment(),
            command: None,
            task: TaskFacts::example(),
            files: Vec::new(),
            hooks: Vec::new(),
            machine_code: PathBuf::new(),
            has_objects: false,
            addresses: Addresses::new(),
            rows: None,
            startup: Startup::default(),
            plan,
            spread: Spread::default(),
        }
    }
}
