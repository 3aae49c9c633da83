//! The boxes of a run: whose entries count, what becomes of a box that is lost, and how far ahead its slots are leased.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Books, Effect, Failure, Place, RunStage, WorkerState, nanos};
use crate::controller::faults::MAX_RANGES;
use crate::controller::job::{OnLoss, Spread};
use crate::controller::mistakes::{Mistake, is_made};
use crate::fault::{AfterLoss, BoxLoss, Fault};
use crate::journal::{ClockReading, Decision, Entry, What, Writer};
use crate::metrics::Timeline;
use crate::numbers::NumberSet;
use crate::pace::Slots;
use crate::record::{BoxFacts, BoxRecord};

/// A box of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::controller) struct BoxBooks {
    facts: BoxFacts,
    /// When it was lost.
    lost: Option<Duration>,
    /// Whether its workers start no more operations.
    leaves: bool,
    /// The first and the last comparison of its clock.
    clock: Option<(ClockReading, ClockReading)>,
    /// How late its last worker began.
    late_ns: Option<u64>,
    /// Frames that came after it was lost.
    refused: u64,
    /// Its operations over time, if that was asked for.
    pub(super) timeline: Option<Timeline>,
    /// Until when its slots are leased, since the run was opened.
    pub(in crate::controller) leased_until: Duration,
}

impl BoxBooks {
    pub(super) fn new(facts: BoxFacts, spread: &Spread) -> Self {
        Self {
            facts,
            lost: None,
            leaves: false,
            clock: None,
            late_ns: None,
            refused: 0,
            timeline: spread.by_box.then(Timeline::default),
            leased_until: Duration::ZERO,
        }
    }

    /// Whether the run still uses it.
    pub(in crate::controller) fn is_there(&self) -> bool {
        self.lost.is_none()
    }

    /// Whether it takes no more workers, as its agent was told to end.
    pub(in crate::controller) fn leaves(&self) -> bool {
        self.leaves
    }

    pub(super) fn compare(&mut self, reading: ClockReading) {
        let (first, best) = self.clock.map_or((reading, reading.rtt_ns), |(first, last)| (first, last.rtt_ns));
        self.clock = Some((first, ClockReading { rtt_ns: reading.rtt_ns.min(best), ..reading }));
    }

    pub(super) fn begin(&mut self, late: Duration) {
        self.late_ns = self.late_ns.max(Some(nanos(late)));
    }

    pub(super) fn record(&self) -> BoxRecord {
        let (first, last) = self.clock.unwrap_or_default();
        BoxRecord {
            facts: self.facts.clone(),
            rtt_ns: last.rtt_ns,
            clock_offset_ns: first.offset_ns,
            clock_drift_ns: last.monotonic_ns - first.monotonic_ns,
            start_late_ns: self.late_ns,
            lost: self.lost.is_some(),
            refused_frames: self.refused,
            timeline: self.timeline.clone(),
        }
    }
}

impl Books {
    /// The names of the boxes, in their order.
    pub(in crate::controller) fn box_names(&self) -> impl Iterator<Item = &str> {
        self.boxes.iter().map(|of| &*of.facts.name)
    }

    /// Whether an entry counts: its writer may write it, and is still part of the run. Notes a new epoch.
    pub(super) fn admit(&mut self, entry: &Entry) -> bool {
        match (entry.by, &entry.what) {
            (Writer::Controller { epoch }, What::Decided(Decision::Fence)) => {
                let is_new = epoch > self.epoch;
                self.epoch = self.epoch.max(epoch);
                is_new
            }
            (Writer::Controller { .. }, What::Heard { .. } | What::Gone { .. }) => self.boxes.is_empty(),
            (Writer::Controller { epoch }, _) => epoch == self.epoch || is_made(Mistake::HearTheFenced),
            (Writer::Box(index), What::Heard { worker, .. } | What::Gone { worker, .. }) => {
                let is_its = self.workers.get(worker).is_some_and(|of| of.on == index);
                let Some(of) = self.boxes.get_mut(index as usize).filter(|_| is_its) else { return false };
                let is_late = !of.is_there();
                of.refused += u64::from(is_late);
                !is_late
            }
            (Writer::Box(index), What::Leaving) => self.boxes.get(index as usize).is_some_and(BoxBooks::is_there),
            (Writer::Box(_), _) => false,
        }
    }

    /// Leases the slots of a worker that are due before `until`, which counts from the opening of the run.
    pub(super) fn lease_slots(&mut self, worker: u32, until: Duration) -> Vec<Effect> {
        let phase = &mut self.phases[self.phase];
        let (Some(of), Some(began)) = (self.workers.get(&worker), phase.began) else { return Vec::new() };
        let Some(open) = phase.plan.load_model().open() else { return Vec::new() };
        let due = Slots::new(&phase.plan, open, of.place).due_by(nanos(until.saturating_sub(began)));
        let ledger = phase.shares.of(of.place);
        let range = ledger.lease_below(worker, due.0);
        let rest = (ledger.unleased() == 0).then_some(Effect::Lease(worker, None));
        range.map(|range| Effect::Lease(worker, Some(range))).into_iter().chain(rest).collect()
    }

    /// Leases the slots of a box that are due before `until`.
    pub(super) fn extend(&mut self, index: u32, until: Duration) -> Vec<Effect> {
        let Some(of) = self.boxes.get_mut(index as usize) else { return Vec::new() };
        if self.stage != RunStage::Running || !of.is_there() || until <= of.leased_until {
            return Vec::new();
        }
        of.leased_until = until;
        let is_its = |of: &super::WorkerBooks| of.on == index && of.state == WorkerState::Running;
        let workers: Vec<u32> = self.workers.iter().filter(|(_, of)| is_its(of)).map(|(&worker, _)| worker).collect();
        workers.into_iter().flat_map(|worker| self.lease_slots(worker, until)).collect()
    }

    /// A box leaves, and takes no more workers.
    pub(super) fn let_leave(&mut self, by: Writer) -> Vec<Effect> {
        let Writer::Box(index) = by else { return Vec::new() };
        let Some(of) = self.boxes.get_mut(index as usize).filter(|of| !of.leaves) else { return Vec::new() };
        of.leaves = true;
        let left = Fault::box_left(&of.facts.name);
        self.note(left)
    }

    /// A worker has done its part of the last phase. If its box leaves, and something is left to do, another box
    /// replaces the worker.
    pub(super) fn hand_on(&mut self, worker: u32) {
        let Some(of) = self.workers.get(&worker) else { return };
        let place = of.place;
        if self.is_left(place) && self.stage == RunStage::Running && self.last_mut().shares.of(place).unleased() > 0 {
            self.move_place(place);
        }
    }

    /// Whether no worker has to take the place of one that ends at the time `at`.
    pub(super) fn is_over(&self, at: Duration) -> bool {
        let duration = self.plan().extent().duration();
        self.stage != RunStage::Running || duration.is_some_and(|duration| self.elapsed(at) >= duration)
    }

    /// Whether workers of a box are alive.
    pub(in crate::controller) fn works_on(&self, index: u32) -> bool {
        self.living().any(|worker| self.workers[&worker].on == index)
    }

    /// Whether the box of a place leaves.
    pub(super) fn is_left(&self, place: u32) -> bool {
        let home = self.homes.get(place as usize).and_then(|home| self.boxes.get(*home as usize));
        home.is_some_and(|of| of.leaves)
    }

    /// Moves an empty place to another box, if one has room. Returns whether it did.
    pub(super) fn move_place(&mut self, place: u32) -> bool {
        let home = self.roomy_box();
        if let Some(home) = home {
            self.homes[place as usize] = home;
            self.places[place as usize] = Place::Vacant;
        }
        home.is_some()
    }

    /// A box is lost: what its workers held is lost, and its places go to other boxes.
    pub(super) fn lose_box(&mut self, index: u32, at: Duration) -> Vec<Effect> {
        let Some(of) = self.boxes.get_mut(index as usize).filter(|of| of.is_there()) else { return Vec::new() };
        of.lost = Some(at);
        let name = of.facts.name.clone();
        let workers: Vec<u32> = self.living().filter(|worker| self.workers[worker].on == index).collect();
        let mut effects: Vec<_> = workers.iter().map(|&worker| Effect::Kill(worker)).collect();
        let has_begun = self.phases[0].began.is_some();
        let (mut lost, mut numbers, mut moved) = (0, NumberSet::default(), 0);
        // Places that were to have a worker of this box.
        let vacant = (0_u32..).zip(self.places.iter().zip(&self.homes));
        let vacant = vacant.filter(|(_, (place, home))| {
            **place == Place::Vacant && **home == index && !is_made(Mistake::LaunchOnTheLost)
        });
        let mut empty: Vec<u32> = vacant.map(|(place, _)| place).collect();
        for &worker in &workers {
            let held = self.lose(worker, None);
            let Some(place) = self.part_with(worker) else { continue };
            lost += held.len();
            let room = MAX_RANGES.saturating_sub(numbers.iter().count());
            self.numbers(place, &held).into_iter().take(room).for_each(|(from, to)| numbers.insert(from..to + 1));
            empty.push(place);
        }
        let goes_on = !self.is_over(at) && self.on_loss != OnLoss::Abort;
        for place in empty {
            self.places[place as usize] = Place::Closed;
            if goes_on && self.last_mut().shares.of(place).unleased() > 0 {
                moved += u64::from(self.move_place(place));
            }
        }
        if !has_begun {
            self.failure.get_or_insert(Failure::BoxGone(format!("the box {name} was lost before the run began")));
            return effects;
        }
        let numbers = numbers.iter().map(|range| (range.start, range.end - 1)).collect();
        let then = match self.on_loss {
            OnLoss::Skip => AfterLoss::Moved(moved),
            OnLoss::Rerun => AfterLoss::Again(moved),
            OnLoss::Abort => AfterLoss::Stopped,
        };
        let loss = BoxLoss { name: &name, workers: workers.len() as u64, operations: lost, then };
        effects.extend(self.note(Fault::box_lost(loss, numbers)));
        if self.on_loss == OnLoss::Abort {
            effects.extend(self.stop(at));
        }
        effects
    }

    /// Nothing will be heard any more: what all workers hold is lost.
    pub(in crate::controller) fn abandon(&mut self) {
        let workers: Vec<u32> = self.living().collect();
        for worker in workers {
            self.lose(worker, Some(Duration::MAX));
        }
    }

    /// The box with the most room for another worker; `None` if none has any.
    fn roomy_box(&self) -> Option<u32> {
        let used = |index: u32| {
            let its =
                self.homes.iter().zip(&self.places).filter(|(home, place)| **home == index && **place != Place::Closed);
            its.count() as u32
        };
        let there = (0..).zip(&self.boxes).filter(|(_, of)| of.is_there() && !of.leaves);
        let room = there.map(|(index, of)| (of.facts.max_processes.saturating_sub(used(index)), u32::MAX - index));
        let (_, least) = room.filter(|(room, _)| *room > 0).max()?;
        Some(u32::MAX - least)
    }
}
