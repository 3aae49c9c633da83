//! What the books of a run should say, derived independently and naively: number by number.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::worker::shares;
use crate::controller::{Books, Effect, Job, OnLoss};
use crate::fault::FaultKind;
use crate::journal::{Decision, Entry, What, Writer};
use crate::pace::Slots;
use crate::plan::RunPlan;
use crate::wire::{Delta, Message, Phase};

/// What became of a number. A number without a fate is unleased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Leased(u32),
    Confirmed,
    Cut,
    Dropped,
    Lost,
}

/// What may go wrong in a world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    /// A stop is requested.
    pub(super) stopped: bool,
    /// Workers die.
    pub(super) died: bool,
    /// Workers hang, or ignore a cut.
    pub(super) stuck: bool,
}

/// The account of one run.
pub(super) struct Account {
    phases: Vec<(Phase, RunPlan)>,
    phase: usize,
    began: Vec<Option<Duration>>,
    stopped: Option<Duration>,
    /// The key is the phase and what the books know a number by: in an open run place and index, in a closed run 0 and
    /// the number.
    fates: BTreeMap<(usize, u32, u64), Fate>,
    places: BTreeMap<u32, u32>,
    gone: BTreeSet<u32>,
    given_up: BTreeSet<u32>,
    /// Workers that take part in the current phase.
    operating: BTreeSet<u32>,
    first_slots: BTreeMap<u32, u64>,
    frames: BTreeMap<u32, u64>,
    /// The worker that started an operation, by phase and number.
    started: BTreeMap<(usize, u64), u32>,
    /// Whether slots are leased bit by bit, and not all at once.
    is_leased_bit_by_bit: bool,
    on_loss: OnLoss,
    /// The box of each worker.
    on: BTreeMap<u32, u32>,
    lost_boxes: BTreeSet<u32>,
    left_boxes: BTreeSet<u32>,
    boxes: u32,
    epoch: u32,
    /// The epoch of the controller that opened the run.
    opened_by: u32,
    /// Numbers that a lost box held and that may be started again.
    again: BTreeSet<(usize, u64)>,
}

impl Account {
    pub(super) fn new(job: &Job) -> Self {
        let phases = job.phases();
        let began = vec![None; phases.len()];
        Self {
            phases,
            phase: 0,
            began,
            stopped: None,
            fates: BTreeMap::new(),
            places: BTreeMap::new(),
            gone: BTreeSet::new(),
            given_up: BTreeSet::new(),
            operating: BTreeSet::new(),
            first_slots: BTreeMap::new(),
            frames: BTreeMap::new(),
            started: BTreeMap::new(),
            is_leased_bit_by_bit: job.spread.contact.ahead.is_some(),
            on_loss: job.spread.on_loss,
            on: BTreeMap::new(),
            lost_boxes: BTreeSet::new(),
            left_boxes: BTreeSet::new(),
            boxes: job.spread.boxes.len() as u32,
            epoch: job.spread.epoch,
            opened_by: job.spread.epoch,
            again: BTreeSet::new(),
        }
    }

    fn is_open(&self) -> bool {
        self.phases[self.phase].1.load_model().open().is_some()
    }

    fn key(&self, worker: u32, index: u64) -> (usize, u32, u64) {
        let place = if self.is_open() { self.places[&worker] } else { 0 };
        (self.phase, place, index)
    }

    /// A worker has started an operation; an error if the operation had been started before.
    pub(super) fn start(&mut self, worker: u32, phase: usize, number: u64) -> Result<(), String> {
        match self.started.insert((phase, number), worker) {
            None => Ok(()),
            Some(_) if self.again.contains(&(phase, number)) => Ok(()),
            Some(other) => Err(format!("number {number} was started by worker {other} and by worker {worker}")),
        }
    }

    /// Accounts for an effect before it is executed.
    pub(super) fn see(&mut self, effect: &Effect) -> Result<(), String> {
        match effect {
            Effect::Launch { worker, on } => {
                if self.lost_boxes.contains(on) {
                    return Err(format!("worker {worker} is launched on box {on}, which is lost"));
                }
                self.on.insert(*worker, *on);
            }
            Effect::Load { worker, place, first_slot } => {
                self.places.insert(*worker, *place);
                self.first_slots.insert(*worker, first_slot.0);
            }
            Effect::Go { worker, phase, beginning } => {
                self.phase = *phase as usize;
                self.began[self.phase] = Some(*beginning);
                self.operating.insert(*worker);
            }
            Effect::Lease(worker, Some(range)) => {
                for number in range.clone() {
                    let key = self.key(*worker, number);
                    if let Some(fate) = self.fates.insert(key, Fate::Leased(*worker)) {
                        return Err(format!("number {number} is leased to worker {worker}, but it is {fate:?}"));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Accounts for an entry that has been given its place. Returns whether it counts.
    pub(super) fn book(&mut self, entry: &Entry) -> Result<bool, String> {
        if !self.counts(entry) {
            return Ok(false);
        }
        match &entry.what {
            What::Heard { worker, frame, message } => {
                let before = self.frames.entry(*worker).or_default();
                if self.gone.contains(worker) || self.given_up.contains(worker) || *frame <= *before {
                    return Ok(true);
                }
                *before = *frame;
                match message {
                    Message::Delta(delta) => self.count(*worker, delta)?,
                    Message::Rested => {
                        self.operating.remove(worker);
                        self.fates.retain(|_, fate| *fate != Fate::Leased(*worker));
                    }
                    Message::Done(_) => {
                        self.gone.insert(*worker);
                    }
                    _ => {}
                }
            }
            What::Gone { worker, .. } => self.lose(*worker, Some(entry.at)),
            What::Decided(Decision::LoseBox { index }) if self.lost_boxes.insert(*index) => {
                let its = self.on.iter().filter(|(_, on)| *on == index).map(|(&worker, _)| worker);
                for worker in its.collect::<Vec<_>>() {
                    self.lose(worker, None);
                }
                if self.on_loss == OnLoss::Abort {
                    self.stopped = self.stopped.or(Some(entry.at));
                }
            }
            // Its frames are void. If it was given up before, the run does not wait for its end any longer.
            What::Decided(Decision::GiveUp { worker, .. }) if !self.given_up.insert(*worker) => {
                self.lose(*worker, Some(entry.at));
            }
            What::Leaving => {
                if let Writer::Box(index) = entry.by {
                    self.left_boxes.insert(index);
                }
            }
            What::Decided(Decision::Stop) => self.stopped = self.stopped.or(Some(entry.at)),
            _ => {}
        }
        Ok(true)
    }

    /// Whether an entry counts.
    fn counts(&mut self, entry: &Entry) -> bool {
        match (entry.by, &entry.what) {
            (Writer::Controller { epoch }, What::Decided(Decision::Fence)) => {
                self.epoch = self.epoch.max(epoch);
                true
            }
            (Writer::Controller { epoch }, _) => epoch == self.epoch,
            (Writer::Box(index), What::Heard { worker, .. } | What::Gone { worker, .. }) => {
                self.on.get(worker) == Some(&index) && !self.lost_boxes.contains(&index)
            }
            (Writer::Box(index), What::Leaving) => !self.lost_boxes.contains(&index),
            (Writer::Box(_), _) => false,
        }
    }

    /// Whether each number that a worker holds was leased to it.
    fn is_explicit(&self) -> bool {
        !self.is_open() || self.is_leased_bit_by_bit
    }

    fn count(&mut self, worker: u32, delta: &Delta) -> Result<(), String> {
        let cuts = delta.in_flight.iter().map(|cut| {
            let index = if self.is_open() { shares(&self.phases[self.phase].1).index(cut.number) } else { cut.number };
            (index..index + 1, Fate::Cut)
        });
        let numbers = delta.numbers.iter().map(|range| (range.clone(), Fate::Confirmed));
        let dropped = delta.dropped.iter().map(|range| (range.start.0..range.end.0, Fate::Dropped));
        let all: Vec<_> = numbers.chain(dropped).chain(cuts).collect();
        for (range, fate) in all {
            for index in range {
                let key = self.key(worker, index);
                let before = self.fates.insert(key, fate);
                let held = if self.is_explicit() { before == Some(Fate::Leased(worker)) } else { before.is_none() };
                if !held {
                    return Err(format!("worker {worker} speaks of {index} as {fate:?}, but it was {before:?}"));
                }
            }
        }
        Ok(())
    }

    /// A worker is gone. If nobody knows since when, `at` is `None`, and its box is lost.
    fn lose(&mut self, worker: u32, at: Option<Duration>) {
        if !self.gone.insert(worker) || !self.places.contains_key(&worker) {
            return;
        }
        if at.is_none() && self.on_loss == OnLoss::Rerun {
            let held = self.fates.extract_if(.., |_, fate| *fate == Fate::Leased(worker));
            self.again.extend(held.map(|((phase, _, number), _)| (phase, number)));
            return;
        }
        let is_all = !self.is_open() || at.is_none();
        if is_all {
            for fate in self.fates.values_mut().filter(|fate| **fate == Fate::Leased(worker)) {
                *fate = Fate::Lost;
            }
            return;
        }
        let at = at.unwrap_or_default();
        let (Some(began), true) = (self.began[self.phase], self.operating.contains(&worker)) else { return };
        let plan = self.phases[self.phase].1.clone();
        let Some(open) = plan.load_model().open() else { return };
        let until = at.min(self.stopped.unwrap_or(at)).saturating_sub(began).as_nanos();
        let first = if self.phase + 1 == self.phases.len() { self.first_slots[&worker] } else { 0 };
        let place = self.places[&worker];
        for slot in Slots::new(&plan, open, place).take_while(|slot| u128::from(slot.due_ns) <= until) {
            let key = (self.phase, place, slot.index.0);
            if self.is_leased_bit_by_bit {
                self.fates.entry(key).and_modify(|fate| {
                    if *fate == Fate::Leased(worker) {
                        *fate = Fate::Lost;
                    }
                });
            } else if slot.index.0 >= first {
                self.fates.entry(key).or_insert(Fate::Lost);
            }
        }
        // The rest was never due, and can be leased again.
        self.fates.retain(|_, fate| *fate != Fate::Leased(worker));
    }

    /// Compares the books with this account.
    pub(super) fn agrees(&self, books: &Books) -> Result<(), String> {
        for (i, phase) in books.phases.iter().enumerate() {
            let all = phase.plan.numbers();
            let accounted = phase.shares.accounted();
            if accounted != all.end - all.start {
                return Err(format!("of {} numbers of phase {i} {accounted} are accounted for", all.end - all.start));
            }
        }
        let last = self.phases.len() - 1;
        let ours = |wanted: fn(&Fate) -> bool| {
            self.fates.iter().filter(|((phase, ..), fate)| *phase == last && wanted(fate)).count() as u64
        };
        let record = books.record(Duration::ZERO);
        let terms = [
            ("completed", books.completed(), ours(|fate| *fate == Fate::Confirmed)),
            ("counted", record.metrics.completed(), ours(|fate| *fate == Fate::Confirmed)),
            ("cut", record.in_flight.len() as u64, ours(|fate| *fate == Fate::Cut)),
            ("dropped", record.dropped, ours(|fate| *fate == Fate::Dropped)),
            ("lost", record.lost, ours(|fate| *fate == Fate::Lost)),
            ("offered", record.offered, ours(|fate| !matches!(fate, Fate::Leased(_)))),
        ];
        for (term, books, account) in terms {
            if books != account {
                return Err(format!("{term}: the books say {books}, the account says {account}"));
            }
        }
        Ok(())
    }

    /// Checks what must hold at the end of a run that had this `trouble`.
    pub(super) fn closes(&self, books: &Books, trouble: Trouble) -> Result<(), String> {
        let record = books.record(Duration::ZERO);
        let leased: u64 = books.phases.iter().map(|phase| phase.shares.sum(crate::numbers::Ledger::leased)).sum();
        if leased > 0 && books.failure.is_none() {
            return Err(format!("{leased} numbers are still leased at the end"));
        }
        if let Some(fault) = record.faults.iter().find(|fault| fault.kind == crate::fault::FaultKind::Miscounted) {
            return Err(fault.message.clone());
        }
        for (index, of) in (0..).zip(&record.boxes) {
            let its: u64 = record.workers.iter().filter(|worker| worker.on == index).map(|of| of.operations).sum();
            let over_time = of.timeline.as_ref().map(|timeline| timeline.durations().count());
            if let Some(over_time) = over_time.filter(|&over_time| over_time != its) {
                return Err(format!("box {index} did {its} operations, and its timeline has {over_time}"));
            }
        }
        let deaths = record.workers.len() as u32 - record.plan.shape().workers().min(record.workers.len() as u32);
        let shape = record.plan.shape();
        let moved = (self.lost_boxes.len() + self.left_boxes.len()) as u32 * shape.workers();
        if deaths > super::super::books::MAX_REPLACEMENTS * self.boxes.max(1) + moved {
            return Err(format!("{deaths} workers were replaced"));
        }
        let killed = record.faults.iter().find(|fault| fault.message.contains("did not end when it was told to"));
        if let (Some(fault), false) = (killed, trouble.stuck) {
            return Err(format!("every worker listened, but: {}", fault.message));
        }
        if trouble.died || trouble.stuck {
            return Ok(());
        }
        // The controllers that took over are told of, and nothing else.
        let took_over = record.faults.iter().filter(|fault| fault.kind == FaultKind::TakenOver).count();
        if took_over < record.faults.len() || (took_over > 0) != (self.epoch > self.opened_by) {
            return Err(format!("nothing went wrong, but there is a fault: {:?}", record.faults));
        }
        if trouble.stopped {
            return Ok(());
        }
        // The rate of a schedule may fall to zero before all operations have had a slot.
        let runs_dry = record.plan.load_model().open().is_some_and(crate::plan::Open::runs_dry);
        let is_whole = record.plan.extent().duration().is_none() && !runs_dry;
        match record.plan.extent().operations() {
            Some(planned) if is_whole && record.offered != planned => {
                Err(format!("nothing went wrong, but of {planned} operations {} were offered", record.offered))
            }
            _ => Ok(()),
        }
    }
}
