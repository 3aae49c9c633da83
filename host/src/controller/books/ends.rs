//! How a run ends: by a stop, by a cut, or as nobody is left; and what was never started then.

use std::time::Duration;

use super::{Books, Effect, Failure, Place, RunStage, WorkerState, nanos};
use crate::controller::mistakes::{Mistake, is_made};
use crate::fault::Fault;
use crate::numbers::Ledger;
use crate::pace::Slots;
use crate::plan::{LoadModel, Open};

impl Books {
    pub(super) fn stop(&mut self, at: Duration) -> Vec<Effect> {
        if self.stage == (RunStage::Ended { stopped: None }) {
            // The stop came too late for this run; it keeps the command from starting another one.
            self.stage = RunStage::Ended { stopped: Some(at) };
        }
        if self.stage != RunStage::Running || self.failure.is_some() {
            return Vec::new();
        }
        if !self.is_under_way() {
            self.failure = Some(Failure::Stopped);
            return Vec::new();
        }
        self.stage = RunStage::Stopping { since: at };
        let mut effects = self.dismiss_idle();
        effects.extend(self.living().map(Effect::Stop));
        effects
    }

    pub(super) fn cut(&mut self, at: Duration) -> Vec<Effect> {
        let stopped = match self.stage {
            RunStage::Running => None,
            RunStage::Stopping { since } => Some(since),
            RunStage::Cutting { .. } | RunStage::Ended { .. } => return Vec::new(),
        };
        if !self.is_under_way() || self.failure.is_some() {
            return Vec::new();
        }
        self.stage = RunStage::Cutting { stopped, since: at };
        let mut effects = self.dismiss_idle();
        effects.extend(self.living().flat_map(|worker| [Effect::Stop(worker), Effect::Cut(worker)]));
        effects
    }

    pub(super) fn end(&mut self, at: Duration) -> Vec<Effect> {
        let is_over = self.living().next().is_none() && !self.places.contains(&Place::Vacant);
        if !is_over || matches!(self.stage, RunStage::Ended { .. }) || self.failure.is_some() {
            return Vec::new();
        }
        let unstarted = self.unstarted(at);
        self.stage = RunStage::Ended { stopped: self.stopped() };
        let Some((worked, fault)) = unstarted else { return Vec::new() };
        self.cut_short = Some(worked);
        self.note(fault)
    }

    /// How long the run went on, and the fault that operations of the plan were never started, if they should have
    /// been.
    fn unstarted(&self, at: Duration) -> Option<(Duration, Fault)> {
        if self.stage != RunStage::Running {
            return None;
        }
        let (plan, extent) = (self.plan(), self.plan().extent());
        // Nobody did anything after the last worker was heard.
        let heard = self.workers.values().map(|of| of.heard).max();
        let worked = self.elapsed(heard.map_or(at, |heard| heard.min(at)));
        let left = self.last().shares.sum(Ledger::unleased);
        let (slots, idle) = match plan.load_model() {
            // A pause may reach beyond the end.
            LoadModel::Closed(closed) => (None, closed.pause.most),
            LoadModel::Open(open) => (Some(self.slots_left(open)), Duration::ZERO),
        };
        let fault = match (extent.duration(), slots) {
            (None, Some(_)) if plan.load_model().open().is_some_and(Open::runs_dry) => return None,
            (None, _) if left > 0 => Fault::never_started(left),
            (Some(duration), Some(slots)) if slots > 0 => Fault::slots_left(slots, worked, duration),
            // What was left to do was lost with the last of them.
            (Some(duration), Some(_)) if self.have_all_died() && worked < duration => {
                Fault::ended_early(worked, duration)
            }
            (Some(duration), None) => {
                // Another controller, and each box, knows the time of the beginning only about as well as it is far
                // away.
                let known = worked.saturating_add(idle).saturating_add(self.contact.lead);
                match extent.operations() {
                    _ if left == 0 || known >= duration => return None,
                    Some(_) => Fault::never_started(left),
                    None => Fault::ended_early(worked, duration),
                }
            }
            _ => return None,
        };
        Some((worked, fault))
    }

    /// Whether operations were lost, and no worker has come to the end of its part.
    fn have_all_died(&self) -> bool {
        let lost = self.last().shares.sum(|ledger| ledger.lost().len());
        lost > 0 && self.workers.values().all(|of| of.record.cpu_ns.is_none())
    }

    /// How many slots of the schedule were due before its end, and nobody had them.
    fn slots_left(&self, open: &Open) -> u64 {
        let last = self.last();
        let Some(duration) = last.plan.extent().duration() else { return 0 };
        let left = |place: u32| {
            let due = Slots::new(&last.plan, open, place).due_by(nanos(duration).saturating_sub(1));
            last.shares.ledger(place).unleased_below(due.0)
        };
        (0..last.plan.shape().workers()).map(left).sum()
    }

    /// Closes vacant places, and dismisses workers that have not begun: replacements that are no longer needed.
    fn dismiss_idle(&mut self) -> Vec<Effect> {
        for place in &mut self.places {
            if *place == Place::Vacant {
                *place = Place::Closed;
            }
        }
        let has_begun = |state| {
            matches!(state, WorkerState::Running | WorkerState::Leaving | WorkerState::Dying { .. })
                || is_made(Mistake::KeepTheIdle)
        };
        let idle: Vec<u32> = self.living().filter(|worker| !has_begun(self.workers[worker].state)).collect();
        idle.into_iter().flat_map(|worker| self.dismiss(worker)).collect()
    }
}
