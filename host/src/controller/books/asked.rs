//! Queries on the books.

use std::time::Duration;

use super::{Books, BoxBooks, Failure, PhaseBooks, Place, RunStage, WorkerBooks, WorkerState};
use crate::controller::Awaited;
use crate::controller::mistakes::{Mistake, is_made};
use crate::numbers::Ledger;
use crate::plan::RunPlan;
use crate::record::{RunRecord, Warmup};
use crate::wire::Phase;

impl Books {
    /// What the run waits for besides its operations; hooks of the whole run are not in the books.
    pub fn awaited(&self) -> Option<Awaited> {
        let of = self.living().count();
        let count = |is: fn(WorkerState) -> bool| self.workers.values().filter(|of| is(of.state)).count();
        let missing = count(|state| matches!(state, WorkerState::Launched | WorkerState::SettingUp));
        let left = count(|state| state == WorkerState::Leaving);
        if self.phases[self.phase].began.is_none() && missing > 0 {
            return Some(Awaited::Instances { missing, of });
        }
        (left > 0 && left == of).then_some(Awaited::Teardown { left })
    }

    /// The plan of the run: that of the last phase, the phase whose operations are counted.
    pub fn plan(&self) -> &RunPlan {
        &self.last().plan
    }

    pub(super) fn last(&self) -> &PhaseBooks {
        &self.phases[self.phases.len() - 1]
    }

    pub(super) fn last_mut(&mut self) -> &mut PhaseBooks {
        let last = self.phases.len() - 1;
        &mut self.phases[last]
    }

    /// The identifiers of the workers that have not ended.
    pub fn living(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().filter(|(_, of)| of.state.lives()).map(|(&worker, _)| worker)
    }

    /// The identifiers of the workers whose frames count.
    pub(in crate::controller) fn heard(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().filter(|(_, of)| of.state.is_heard()).map(|(&worker, _)| worker)
    }

    /// Whether the run itself has begun, not only its warm-up.
    pub(in crate::controller) fn is_under_way(&self) -> bool {
        self.last().began.is_some()
    }

    /// The phase that may begin as soon as all workers are ready.
    pub(in crate::controller) fn next_phase(&self) -> Option<usize> {
        let next = if self.phases[self.phase].began.is_some() { self.phase + 1 } else { self.phase };
        let may_begin = self.stage == RunStage::Running && self.failure.is_none();
        (next < self.phases.len() && may_begin).then_some(next)
    }

    /// Whether every living worker is ready, and no place is vacant.
    pub(in crate::controller) fn are_all_ready(&self) -> bool {
        let mut living = self.living().peekable();
        living.peek().is_some()
            && !self.places.contains(&Place::Vacant)
            && living.all(|worker| self.workers[&worker].state == WorkerState::Ready || is_made(Mistake::BeginEarly))
    }

    /// When the run was stopped, since it was opened.
    pub(super) fn stopped(&self) -> Option<Duration> {
        match self.stage {
            RunStage::Running => None,
            RunStage::Stopping { since } => Some(since),
            RunStage::Cutting { stopped, .. } | RunStage::Ended { stopped } => stopped,
        }
    }

    /// How long the run had been going on at the time `at` after it was opened; zero before it began.
    pub fn elapsed(&self, at: Duration) -> Duration {
        self.last().began.map_or(Duration::ZERO, |began| at.saturating_sub(began))
    }

    /// Until when operations are in the books at the time `at`, if the run goes on: workers report one after the
    /// other, so this is the mean of their times. Both count from the opening of the run.
    pub fn counted_until(&self, at: Duration) -> Duration {
        let running = self.workers.values().filter(|of| of.state == WorkerState::Running);
        // A worker that is heard and counts nothing has nothing to count.
        let idle = self.contact.interval * 2;
        let until = |of: &WorkerBooks| if of.heard.saturating_sub(of.counted) > idle { of.heard } else { of.counted };
        let (sum, count) = running.fold((Duration::ZERO, 0), |(sum, count), of| (sum + until(of), count + 1));
        if count == 0 { at } else { at.min(sum / count) }
    }

    /// How many operations have ended, as far as workers have reported.
    pub fn completed(&self) -> u64 {
        self.last().shares.sum(Ledger::confirmed)
    }

    /// How many slots were due and never started, as far as workers have reported.
    pub fn dropped(&self) -> u64 {
        self.last().shares.sum(Ledger::dropped)
    }

    /// The record of the run as the books stand, at the time `at` after it was opened.
    pub fn record(&self, at: Duration) -> RunRecord {
        let last = self.last();
        let warmup = self.phases.iter().find(|phase| phase.phase == Phase::Warmup);
        RunRecord {
            environment: self.environment.clone(),
            command: self.command.clone(),
            task: self.task.clone(),
            files: self.files.clone(),
            plan: last.plan.clone(),
            started_at: self.opened + last.began.unwrap_or_default(),
            stopped: self.stopped().is_some() || self.failure == Some(Failure::Stopped),
            short_of_plan: match self.stage {
                RunStage::Ended { stopped: None } => self.cut_short,
                _ => Some(self.elapsed(self.stopped().unwrap_or_else(|| self.counted_until(at)))),
            },
            startup: self.startup,
            metrics: self.metrics.clone(),
            warmup: warmup.and_then(|warmup| {
                let elapsed = warmup.ended?.saturating_sub(warmup.began?);
                let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
                Some(Warmup { operations: warmup.shares.sum(Ledger::confirmed), elapsed_ns })
            }),
            offered: last.shares.sum(Ledger::offered),
            dropped: last.shares.sum(Ledger::dropped),
            lost: last.shares.sum(|ledger| ledger.lost().len()),
            in_flight: self.in_flight.clone(),
            overtime: self.overtime.clone(),
            workers: self.workers.values().map(|of| of.record.clone()).collect(),
            boxes: self.boxes.iter().map(BoxBooks::record).collect(),
            possibly_twice: self.possibly_twice.iter().map(|range| (range.start, range.end - 1)).collect(),
            stalls: self.stalls.clone(),
            faults: self.faults.all(),
        }
    }
}
