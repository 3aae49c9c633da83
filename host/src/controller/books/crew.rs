//! What workers say, how they end, and what becomes of the numbers that they hold.

use std::time::Duration;

use super::{Books, Effect, Failure, MAX_REPLACEMENTS, Place, WorkerState};
use crate::controller::faults::MAX_RANGES;
use crate::controller::job::OnLoss;
use crate::controller::mistakes::{Mistake, is_made};
use crate::fault::{Death, Fault, Parting};
use crate::journal::Deafness;
use crate::numbers::NumberSet;
use crate::pace::{SlotIndex, Slots};
use crate::wire::{Delta, Message, PROTOCOL, Phase, Usage};

impl Books {
    /// Books a worker's frame. The frame is void if the worker is gone, or if the frame was heard before.
    pub(super) fn hear(&mut self, worker: u32, frame: u64, message: &Message, at: Duration) -> Vec<Effect> {
        let Some(of) = self.workers.get_mut(&worker) else { return Vec::new() };
        let is_dead = !of.state.is_heard() && !is_made(Mistake::HearTheDead);
        let is_repeat = frame <= of.frames && !is_made(Mistake::HearTwice);
        if is_dead || is_repeat {
            return Vec::new();
        }
        if frame > of.frames + 1 {
            return self.give_up(worker, "some of its frames are missing", at);
        }
        (of.frames, of.heard, of.missed) = (frame, at, false);
        match (of.state, message) {
            (WorkerState::Launched, Message::Hello { protocol, process }) => {
                of.record.process = *process;
                if *protocol != PROTOCOL {
                    let reason =
                        format!("a worker speaks protocol {protocol}, not {PROTOCOL}: run one version of gorgon");
                    return self.refuse(worker, reason);
                }
                of.state = WorkerState::SettingUp;
                self.startup.spawn = self.startup.spawn.max(at.saturating_sub(of.launched));
                let place = of.place;
                let ledger = self.last_mut().shares.of(place);
                let first_slot = SlotIndex(ledger.next_unleased().unwrap_or(u64::MAX));
                let first_slot = if is_made(Mistake::BeginAtZero) { SlotIndex(0) } else { first_slot };
                vec![Effect::Load { worker, place, first_slot }]
            }
            (WorkerState::SettingUp, Message::Loaded { took }) => {
                self.startup.load = self.startup.load.max(*took);
                vec![Effect::SetUp(worker)]
            }
            (WorkerState::SettingUp, Message::Ready { instantiate, setup }) => {
                of.state = WorkerState::Ready;
                self.startup.instantiate = self.startup.instantiate.max(*instantiate);
                self.startup.setup = self.startup.setup.max(*setup);
                Vec::new()
            }
            (WorkerState::SettingUp, Message::Refused(reason)) => self.refuse(worker, reason.clone()),
            (WorkerState::Running, Message::Began { late }) => {
                // A worker that joins later is not late.
                let was_there = self.phases[self.phase].began.is_some_and(|began| of.launched < began);
                if let Some(of) = self.boxes.get_mut(of.on as usize).filter(|_| was_there) {
                    of.begin(*late);
                }
                Vec::new()
            }
            (WorkerState::Running, Message::Need(wanted)) => {
                self.wanting.insert(worker, *wanted);
                Vec::new()
            }
            (WorkerState::Running, Message::Delta(delta)) => self.count(worker, delta),
            (state, message) if !state.is_heard() && is_made(Mistake::HearTheDead) => match message {
                Message::Delta(delta) => self.count(worker, delta),
                _ => Vec::new(),
            },
            (WorkerState::Running, Message::Rested) => self.rest(worker, at),
            (_, Message::Delta(delta)) if is_made(Mistake::HearTwice) => self.count(worker, delta),
            (WorkerState::Leaving, Message::Delta(delta)) => {
                // The bytes that the last teardowns have sent and received.
                self.metrics.network += &delta.metrics.network;
                Vec::new()
            }
            (WorkerState::Leaving, Message::Done(usage)) => {
                self.account(worker, *usage);
                let dismissed = self.dismiss(worker);
                self.hand_on(worker);
                dismissed
            }
            (_, Message::Health(health)) => {
                if of.state == WorkerState::Running && self.phases[self.phase].phase == Phase::Run {
                    of.record.health.note(*health);
                }
                Vec::new()
            }
            (_, Message::Stalled(stall)) => {
                if self.phases[self.phase].phase == Phase::Run {
                    self.stall(*stall);
                }
                Vec::new()
            }
            (_, Message::Fault(fault)) => self.note(fault.clone()),
            // A worker that breaks the protocol cannot be trusted with numbers.
            _ => self.give_up(worker, "it sent a frame that does not fit its state", at),
        }
    }

    /// A worker cannot set up. Before the run begins, this fails the run; later it is a fault.
    fn refuse(&mut self, worker: u32, reason: String) -> Vec<Effect> {
        if !self.is_under_way() {
            self.failure = Some(Failure::Refused(reason));
            return Vec::new();
        }
        let noted = self.note(Fault::worker_refused(&reason));
        noted.into_iter().chain(self.dismiss(worker)).collect()
    }

    /// Books what a worker has counted: metrics and the numbers that they cover.
    fn count(&mut self, worker: u32, delta: &Delta) -> Vec<Effect> {
        let Some(of) = self.workers.get_mut(&worker) else { return Vec::new() };
        of.counted = of.heard;
        let phase = &mut self.phases[self.phase];
        let ledger = phase.shares.of(of.place);
        let mut held = ledger.confirm(worker, delta.numbers.iter().cloned());
        held &= ledger.drop(worker, delta.dropped.iter().map(|range| range.start.0..range.end.0));
        for cut in delta.in_flight.iter().filter(|_| !is_made(Mistake::ForgetTheCut)) {
            let index = phase.shares.index(cut.number);
            held &= phase.shares.of(of.place).cut(worker, index);
        }
        let numbers: u64 = delta.numbers.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let counted = delta.metrics.completed();
        if phase.phase == Phase::Run || is_made(Mistake::CountTheWarmup) {
            of.record.operations += counted;
            let ids = self.metrics.add(&delta.metrics);
            if let Some(its) = self.boxes.get_mut(of.on as usize).and_then(|home| home.timeline.as_mut()) {
                its.merge(delta.metrics.timeline(), &ids);
            }
            self.in_flight.extend(&delta.in_flight);
            self.overtime.extend(&delta.overtime);
        }
        if numbers != counted {
            return self.note(Fault::miscounted(worker, counted, numbers));
        }
        if !held {
            return self.note(Fault::not_held(worker));
        }
        Vec::new()
    }

    /// A worker has finished its part of the phase. It never started the numbers that it still holds, so they can be
    /// leased again.
    fn rest(&mut self, worker: u32, at: Duration) -> Vec<Effect> {
        let is_last = self.phase + 1 == self.phases.len();
        if let Some(of) = self.workers.get_mut(&worker) {
            of.state = if is_last { WorkerState::Leaving } else { WorkerState::Ready };
            of.counted = at;
            if !is_made(Mistake::RestWithLease) {
                self.phases[self.phase].shares.of(of.place).give_back(worker);
            }
        }
        self.wanting.remove(&worker);
        Vec::new()
    }

    /// The run no longer waits for a worker: it has done its part, or has none.
    pub(super) fn dismiss(&mut self, worker: u32) -> Vec<Effect> {
        self.part_with(worker);
        vec![Effect::Dismiss(worker)]
    }

    /// Takes a worker out of the run, and returns its place.
    pub(super) fn part_with(&mut self, worker: u32) -> Option<u32> {
        let of = self.workers.get_mut(&worker)?;
        of.state = WorkerState::Gone;
        self.wanting.remove(&worker);
        self.places[of.place as usize] = Place::Closed;
        Some(of.place)
    }

    /// Ends a worker by force: its frames are void from now on. The numbers that it holds are lost when its process is
    /// gone, because it may start operations until then. A second time the run stops waiting for that.
    pub(super) fn give_up(&mut self, worker: u32, how: &str, at: Duration) -> Vec<Effect> {
        let Some(of) = self.workers.get_mut(&worker) else { return Vec::new() };
        if !of.state.is_heard() {
            return self.bury(worker, how, at);
        }
        of.state = WorkerState::Dying { since: at };
        of.given_up = Some(how.to_owned());
        self.wanting.remove(&worker);
        let mut effects = vec![Effect::Kill(worker)];
        if is_made(Mistake::ReplaceAtOnce) {
            effects.extend(self.bury(worker, how, at));
        }
        effects
    }

    /// A worker has died: the numbers that it held are lost, and another worker takes its place.
    pub(super) fn bury(&mut self, worker: u32, how: &str, at: Duration) -> Vec<Effect> {
        if !self.workers.get(&worker).is_some_and(|of| of.state.lives()) {
            return Vec::new();
        }
        let of = &self.workers[&worker];
        let (process, is_given_up) = (of.record.process, of.given_up.is_some());
        let how = of.given_up.clone().unwrap_or_else(|| how.to_owned());
        let lost = self.lose(worker, Some(at));
        let Some(place) = self.part_with(worker) else { return Vec::new() };
        if self.phases[0].began.is_none() {
            self.failure.get_or_insert(if self.is_left(place) { Failure::BoxGone(how) } else { Failure::Died(how) });
            return Vec::new();
        }
        let left = self.last_mut().shares.of(place).unleased();
        let then = if self.is_over(at) {
            Parting::RunEnding
        } else if self.replaced >= MAX_REPLACEMENTS * self.plan().shape().boxes {
            Parting::TooMany
        } else if left == 0 {
            Parting::NothingLeft
        } else if self.is_left(place) {
            if self.move_place(place) { Parting::Replaced } else { Parting::NoRoom }
        } else {
            self.replaced += 1;
            self.places[place as usize] = Place::Vacant;
            Parting::Replaced
        };
        let in_warmup = self.phases[self.phase].phase == Phase::Warmup;
        let numbers = self.numbers(place, &lost);
        let death = Death { process, how: &how, is_given_up, in_warmup, lost: lost.len(), then };
        self.note(Fault::worker_died(death, numbers))
    }

    /// The numbers that are lost with a worker: all that it held, or in an open run those that were due by `at`, when
    /// its process had ended. If nobody knows when it ends, `at` is `None`.
    pub(super) fn lose(&mut self, worker: u32, at: Option<Duration>) -> NumberSet {
        let stopped = self.stopped();
        let again = at.is_none() && self.on_loss == OnLoss::Rerun;
        let phase = &mut self.phases[self.phase];
        let (Some(of), Some(began)) = (self.workers.get(&worker), phase.began) else { return NumberSet::default() };
        let until = match (phase.plan.load_model().open(), at) {
            (None, _) | (_, None) => u64::MAX,
            (Some(open), Some(at)) => {
                let until_ns = at.min(stopped.unwrap_or(at)).saturating_sub(began).as_nanos();
                Slots::new(&phase.plan, open, of.place).due_by(u64::try_from(until_ns).unwrap_or(u64::MAX)).0
            }
        };
        if is_made(Mistake::LoseNothing) {
            return NumberSet::default();
        }
        let until = if is_made(Mistake::LoseTheFuture) { u64::MAX } else { until };
        let until = if is_made(Mistake::LeaseTheLost) { 0 } else { until };
        let ledger = phase.shares.of(of.place);
        if !again {
            return ledger.lose(worker, until);
        }
        self.possibly_twice.extend(&ledger.give_back(worker));
        NumberSet::default()
    }

    /// The numbers of the slots that the process at `place` knows by `indices`, as inclusive ranges.
    pub(super) fn numbers(&self, place: u32, indices: &NumberSet) -> Vec<(u64, u64)> {
        let shares = &self.phases[self.phase].shares;
        let mut ranges = Vec::new();
        for range in indices.iter() {
            if shares.are_dealt() {
                let room = MAX_RANGES.saturating_sub(ranges.len());
                let numbers = range.take(room).map(|index| shares.number(place, index));
                ranges.extend(numbers.map(|number| number..number + 1));
            } else {
                ranges.push(range);
            }
        }
        NumberSet::from_iter(ranges).iter().map(|range| (range.start, range.end - 1)).collect()
    }

    fn account(&mut self, worker: u32, usage: Usage) {
        if let Some(of) = self.workers.get_mut(&worker) {
            of.record.cpu_ns = (usage.cpu_ns > 0).then_some(usage.cpu_ns);
            of.record.peak_rss_bytes = (usage.peak_rss_bytes > 0).then_some(usage.peak_rss_bytes);
        }
    }

    pub(super) fn note(&mut self, fault: Fault) -> Vec<Effect> {
        if self.faults.note(&fault) { vec![Effect::Noted(fault)] } else { Vec::new() }
    }

    pub(super) fn why_given_up(&self, worker: u32, why: Deafness, at: Duration) -> String {
        let silent = self.workers.get(&worker).map_or(Duration::ZERO, |of| at.saturating_sub(of.heard));
        match why {
            Deafness::Silent => format!("it was killed, as it had said nothing for {} s", silent.as_secs()),
            Deafness::Deaf => "it was killed, as it did not end when it was told to".into(),
        }
    }
}
