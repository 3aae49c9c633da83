//! The controller as a pure machine: messages and the time go in, what has to be done comes out.
//!
//! The machine knows no clock, no process and no name look-up; `shell.rs` has those. An entry that the machine puts out
//! takes effect only when it comes back as [`Input::Recorded`], in the order of entries. A local run hands each entry
//! back at once; a journal may do so later.
//!
//! Decisions follow from the books and the time alone, never from the input at hand. So a machine that is rebuilt from
//! entries decides whatever its predecessor had left to decide.

use std::collections::BTreeMap;
use std::time::Duration;

use super::books::{Books, BoxBooks, Effect, Failure, Place, RunStage, WorkerState};
use super::events::{Happened, RunEvent};
use super::mistakes::{Mistake, is_made};
use crate::fault::Standstill;
use crate::journal::{ClockReading, Deafness, Decision, Entry, What, Writer};
use crate::plan::{DEFAULT_TIMEOUT, RunPlan};
use crate::wire::Message;

/// How long operations in flight may go on after a stop before they are cut.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a worker may take to end after it was told to cut. A worker that takes longer is killed: its guests wait
/// for something that a cut cannot end.
pub(super) const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// A worker sends its health once a second. After this much silence the controller reports the worker, and after as
/// much again plus an operation's time-out it kills the worker.
pub(super) const SILENCE: Duration = Duration::from_secs(10);

/// How long the run waits for the end of a process that is being killed. The system needs milliseconds, unless the
/// process hangs in a driver.
const LAST_BREATH: Duration = Duration::from_secs(5);

/// Leases of slots are extended by at least this.
const EXTENSION: Duration = Duration::from_millis(500);

/// How long a box may be absent before it is given up. A link that is back by then costs nothing.
pub(super) const ABSENCE: Duration = Duration::from_secs(5);

/// What a controller hears. The time is a separate argument.
#[derive(Debug)]
pub enum Input {
    /// A worker sent a frame.
    Heard {
        /// Which worker.
        worker: u32,
        /// The index of the frame among the worker's frames, from 1. Frames with what guests print do not count.
        frame: u64,
        /// The frame's message.
        message: Message,
    },
    /// A worker's process has ended, or could not be started.
    Gone {
        /// Which worker.
        worker: u32,
        /// How it ended, for people.
        how: String,
    },
    /// A box says that it is there.
    Present {
        /// The index of the box.
        index: u32,
    },
    /// Nothing can reach the controller at present.
    Unlinked,
    /// The clock of a box was compared with the controller's.
    Compared {
        /// The index of the box.
        index: u32,
        /// What was measured.
        reading: ClockReading,
    },
    /// A stop is requested.
    Stop,
    /// Time has passed.
    Tick,
    /// The controller itself, or the whole machine, did not go on until now.
    Stalled {
        /// What did not go on.
        what: Standstill,
        /// For how long; of a clock, by how much it jumped.
        length: Duration,
    },
    /// An entry has been given its place in the order of entries.
    Recorded(Entry),
}

/// What a controller wants done.
#[derive(Debug)]
pub enum Output {
    /// Give this entry its place in the order of entries, and hand it back.
    Record(Entry),
    /// Execute this effect.
    Do(Effect),
    /// Tell the observers.
    Event(RunEvent),
}

/// The controller of one run.
#[derive(Clone, Debug)]
pub struct Machine {
    books: Books,
    /// When this controller took over, or last went on after a stall, since the run was opened. Silence before that
    /// time does not count against a worker.
    since: Duration,
    /// When each box was last known to be there.
    present: BTreeMap<u32, Duration>,
    epoch: u32,
    /// Whether it only watches what another controller decides.
    watches: bool,
    /// Decisions that were put out and have not come back yet. Until they have, the machine decides nothing more.
    pending: usize,
}

impl Machine {
    /// A controller that takes over the run of `books`, at the time `since` after the run was opened.
    pub fn new(books: Books, since: Duration) -> Self {
        Self { epoch: books.epoch, books, since, present: BTreeMap::new(), watches: false, pending: 0 }
    }

    /// The controller with this epoch, which takes over from another. The epoch is greater than that of the books: by
    /// more than one, if somebody between the two was given an epoch and decided nothing.
    pub fn after_another(books: Books, since: Duration, epoch: u32) -> Self {
        Self { epoch, ..Self::new(books, since) }
    }

    /// A machine that decides nothing, for a run of another controller.
    pub fn watching(books: Books) -> Self {
        Self { watches: true, ..Self::new(books, Duration::ZERO) }
    }

    /// The controller with this epoch, which takes over what this machine has watched, at the time `since`.
    pub fn take_over(self, since: Duration, epoch: u32) -> Self {
        Self::after_another(self.books, since, epoch)
    }

    /// The books of the run.
    pub fn books(&self) -> &Books {
        &self.books
    }

    /// Nothing will be heard any more: what the workers hold is lost.
    pub fn abandon(&mut self) {
        self.books.abandon();
    }

    /// The epoch of this controller.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Handles `input` and returns what has to be done. `now` is the time since the run was opened.
    pub fn step(&mut self, input: Input, now: Duration) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Heard { message, .. } if message.is_aside() => {
                outputs.extend(Happened::aside(message).map(|what| event(now, what)));
            }
            Input::Heard { worker, frame, message } => {
                outputs.push(self.record(now, What::Heard { worker, frame, message }));
            }
            Input::Gone { worker, how } => outputs.push(self.record(now, What::Gone { worker, how })),
            Input::Present { index } => {
                self.present.insert(index, now);
            }
            Input::Unlinked => self.since = now,
            Input::Compared { index, reading } => outputs.push(self.record(now, What::Clock { index, reading })),
            Input::Stalled { what, length } => {
                if what != Standstill::WallClock {
                    // This controller could not hear anybody meanwhile.
                    self.since = now;
                }
                outputs.push(self.record(now, What::Stalled { what, length }));
            }
            Input::Stop => {
                if let Some(decision) = self.on_stop() {
                    outputs.push(self.propose(now, decision));
                }
            }
            Input::Tick => {
                outputs.push(event(now, Happened::Tick));
                self.decide(now, Self::overdue, &mut outputs);
            }
            Input::Recorded(entry) => self.apply(entry, now, &mut outputs),
        }
        self.decide(now, Self::next, &mut outputs);
        outputs
    }

    /// Whether another controller has taken over. Whatever this one decides is void.
    pub fn is_replaced(&self) -> bool {
        self.books.epoch > self.epoch
    }

    /// How the run ended, once there is nothing left to do.
    pub fn ended(&self) -> Option<Result<(), Failure>> {
        match (&self.books.failure, self.books.stage) {
            (Some(failure), _) => Some(Err(failure.clone())),
            (None, RunStage::Ended { .. }) => Some(Ok(())),
            (None, _) => None,
        }
    }

    fn apply(&mut self, entry: Entry, now: Duration, outputs: &mut Vec<Output>) {
        let is_own = entry.by == Writer::Controller { epoch: self.epoch };
        if matches!(entry.what, What::Decided(_)) && is_own {
            self.pending = self.pending.saturating_sub(1);
        }
        let (stage, phase) = (self.books.stage, self.begun());
        let effects = self.books.apply(&entry);
        if self.begun() != phase {
            outputs.push(event(now, self.beginning()));
        }
        for effect in effects {
            outputs.push(match effect {
                Effect::Noted(fault) => event(now, Happened::Fault(fault)),
                effect => Output::Do(effect),
            });
        }
        let reached = match (stage, self.books.stage) {
            (RunStage::Running, RunStage::Stopping { .. }) => Some(Happened::Stopping),
            (RunStage::Running | RunStage::Stopping { .. }, RunStage::Cutting { .. }) => Some(Happened::Cutting),
            (RunStage::Running | RunStage::Stopping { .. } | RunStage::Cutting { .. }, RunStage::Ended { .. }) => {
                Some(Happened::Ended)
            }
            _ => None,
        };
        outputs.extend(reached.map(|reached| event(now, reached)));
        if let What::Heard { message: Message::Delta(delta), .. } = entry.what
            && self.books.is_under_way()
        {
            outputs.push(event(now, Happened::Counted(Box::new(delta.metrics))));
        }
    }

    /// Puts out what `decisions` returns, unless an earlier decision has not come back yet.
    fn decide(&mut self, now: Duration, decisions: fn(&Self, Duration) -> Vec<Decision>, outputs: &mut Vec<Output>) {
        if self.pending == 0 && self.ended().is_none() && !self.is_replaced() && !self.watches {
            for decision in decisions(self, now) {
                outputs.push(self.propose(now, decision));
            }
        }
    }

    fn propose(&mut self, now: Duration, decision: Decision) -> Output {
        self.pending += 1;
        self.record(now, What::Decided(decision))
    }

    fn record(&self, at: Duration, what: What) -> Output {
        Output::Record(Entry { at, by: Writer::Controller { epoch: self.epoch }, what })
    }

    /// The decisions that follow from the books.
    fn next(&self, now: Duration) -> Vec<Decision> {
        let books = &self.books;
        if self.epoch > books.epoch {
            return vec![Decision::Fence];
        }
        let vacant = books.places.iter().zip(0_u32..).filter(|(place, _)| **place == Place::Vacant);
        let next = books.workers.keys().next_back().map_or(0, |last| last + 1);
        let launches = vacant.zip(next..).map(|((_, place), worker)| Decision::Launch { worker, place });
        let mut decisions: Vec<_> = launches.collect();
        let leases = books.wanting.iter().map(|(&worker, &wanted)| Decision::Lease { worker, wanted });
        decisions.extend(leases);
        if !decisions.is_empty() {
            return decisions;
        }
        if books.living().next().is_none() {
            return vec![Decision::End];
        }
        if let Some(phase) = books.next_phase()
            && books.are_all_ready()
        {
            let is_open = books.phases[phase].plan.load_model().open().is_some();
            let beginning = if is_open || !books.boxes.is_empty() { now + books.contact.lead } else { now };
            return vec![Decision::Begin { phase: phase as u32, beginning }];
        }
        if books.is_under_way() && books.stage == RunStage::Running {
            let ready = books.workers.iter().filter(|(_, of)| of.state == WorkerState::Ready);
            let joins: Vec<_> = ready.map(|(&worker, _)| Decision::Join { worker }).collect();
            if !joins.is_empty() {
                return joins;
            }
        }
        self.extensions()
    }

    /// The leases of slots that reach further now, because their boxes have been heard of.
    fn extensions(&self) -> Vec<Decision> {
        let books = &self.books;
        let Some(ahead) = books.contact.ahead.filter(|_| books.stage == RunStage::Running) else { return Vec::new() };
        if books.phases[books.phase].plan.load_model().open().is_none() || self.begun().is_none() {
            return Vec::new();
        }
        let extend = |(&index, &present): (&u32, &Duration)| {
            let (of, until) = (books.boxes.get(index as usize)?, present.saturating_add(ahead));
            let is_further = until >= of.leased_until.saturating_add(EXTENSION);
            (of.is_there() && is_further).then_some(Decision::Extend { index, until })
        };
        self.present.iter().filter_map(extend).collect()
    }

    /// The boxes that have been absent for too long.
    fn absent(&self, now: Duration) -> Vec<Decision> {
        // Of a box that has left nothing is awaited.
        let is_awaited = |index, of: &BoxBooks| of.is_there() && (!of.leaves() || self.books.works_on(index));
        let there = (0..).zip(&self.books.boxes).filter(|(index, of)| is_awaited(*index, of));
        let seen = |index: u32| self.present.get(&index).copied().unwrap_or_default().max(self.since);
        let absent = there.filter(|(index, _)| now.saturating_sub(seen(*index)) >= ABSENCE);
        absent.map(|(index, _)| Decision::LoseBox { index }).collect()
    }

    /// The decisions that are due because time has passed.
    fn overdue(&self, now: Duration) -> Vec<Decision> {
        let books = &self.books;
        // Whoever was told to end may have done so while this controller could hear nobody.
        let listens = if is_made(Mistake::CountTheOutage) { Duration::ZERO } else { self.since };
        let overdue = |since: Duration, patience| now >= since.max(listens) + patience;
        let late = |state| matches!(state, WorkerState::Dying { since } if overdue(since, LAST_BREATH));
        let undead = books.workers.iter().filter(|(_, of)| late(of.state)).map(|(&worker, _)| worker);
        let undead: Vec<_> = undead.map(|worker| Decision::GiveUp { worker, why: Deafness::Deaf }).collect();
        if !undead.is_empty() {
            return undead;
        }
        let absent = self.absent(now);
        if !absent.is_empty() {
            return absent;
        }
        match books.stage {
            RunStage::Stopping { since } if now >= since + PATIENCE => return vec![Decision::Cut],
            RunStage::Cutting { since, .. } if overdue(since, LAST_PATIENCE) => {
                return books.heard().map(|worker| Decision::GiveUp { worker, why: Deafness::Deaf }).collect();
            }
            RunStage::Running if self.last_call().is_some_and(|last| now >= last) => {
                if books.is_under_way() {
                    return vec![Decision::Cut];
                }
                if !overdue(Duration::ZERO, PATIENCE) {
                    return Vec::new();
                }
                return self.operating().map(|worker| Decision::GiveUp { worker, why: Deafness::Deaf }).collect();
            }
            _ => {}
        }
        if is_made(Mistake::IgnoreSilence) {
            return Vec::new();
        }
        let silence = |worker: u32| now.saturating_sub(books.workers[&worker].heard.max(self.since));
        let patience = patience_with_silence(books.plan());
        let decide = |worker| {
            if silence(worker) >= patience {
                return Some(Decision::GiveUp { worker, why: Deafness::Silent });
            }
            let is_news = silence(worker) >= SILENCE && !books.workers[&worker].missed;
            is_news.then_some(Decision::Miss { worker })
        };
        books.heard().filter_map(decide).collect()
    }

    /// When a phase with a duration is over at the latest: the duration, plus an operation's time-out, plus the
    /// patience of a stop. `None` once all operations have ended, because teardowns have a separate limit.
    fn last_call(&self) -> Option<Duration> {
        self.operating().next()?;
        let phase = &self.books.phases[self.books.phase];
        let (began, duration, timeout) = (phase.began?, phase.plan.extent().duration()?, phase.plan.limits().timeout?);
        Some(began.saturating_add(duration).saturating_add(timeout).saturating_add(PATIENCE))
    }

    /// The workers that take part in the current phase, or are about to.
    fn operating(&self) -> impl Iterator<Item = u32> {
        let is_last = self.books.is_under_way();
        let operates = move |state| match state {
            WorkerState::Running => true,
            WorkerState::Launched | WorkerState::SettingUp | WorkerState::Ready => is_last,
            WorkerState::Leaving | WorkerState::Dying { .. } | WorkerState::Gone => false,
        };
        self.books.workers.iter().filter(move |(_, of)| operates(of.state)).map(|(&worker, _)| worker)
    }

    /// What a request to stop leads to: the first lets the operations in flight end, the second cuts them. A request
    /// after the end of the run tells the command to start no further run.
    fn on_stop(&self) -> Option<Decision> {
        match self.books.stage {
            RunStage::Running | RunStage::Ended { .. } => Some(Decision::Stop),
            RunStage::Stopping { .. } => Some(Decision::Cut),
            RunStage::Cutting { .. } => None,
        }
    }

    /// The current phase, if it has begun.
    fn begun(&self) -> Option<usize> {
        self.books.phases[self.books.phase].began.map(|_| self.books.phase)
    }

    fn beginning(&self) -> Happened {
        if self.books.is_under_way() {
            let plan = self.books.plan();
            Happened::Began { extent: plan.extent(), shape: plan.shape() }
        } else {
            Happened::WarmingUp
        }
    }
}

/// How long a worker may be silent before it is killed.
fn patience_with_silence(plan: &RunPlan) -> Duration {
    let timeout = plan.limits().timeout.unwrap_or(DEFAULT_TIMEOUT);
    SILENCE.saturating_mul(2).saturating_add(timeout)
}

fn event(at: Duration, what: Happened) -> Output {
    Output::Event(RunEvent { at, what })
}

#[cfg(test)]
mod tests;
