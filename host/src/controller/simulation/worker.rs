//! A simulated worker: to its controller it behaves like a real one.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

use crate::controller::Job;
use crate::fault::{Stall, Standstill};
use crate::metrics::{Cut, Health, Outcome, Recorder, Sample, Spans};
use crate::numbers::Shares;
use crate::pace::{Slot, SlotIndex, Slots};
use crate::plan::RunPlan;
use crate::wire::{Command, Delta, Message, PROTOCOL, Phase, Usage};

/// Where the worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SimulatedState {
    Booting,
    Loading,
    SettingUp,
    Waiting,
    Running,
    TearingDown,
    Ended,
}

/// A simulated worker process.
pub(super) struct SimulatedWorker {
    pub(super) state: SimulatedState,
    pub(super) place: u32,
    /// When the worker acts next.
    pub(super) next: Duration,
    /// The worker does nothing until then; `Duration::MAX` means for ever.
    pub(super) hangs_until: Duration,
    /// The worker's operations never end, not even when they are cut.
    pub(super) is_deaf: bool,
    /// Operations that were started since the world last looked: phase and number.
    pub(super) started: Vec<(usize, u64)>,
    phases: Vec<(Phase, RunPlan)>,
    first_slot: SlotIndex,
    phase: usize,
    began: Duration,
    /// Numbers that are leased and not started. In an open run `slots` has the slots to come instead.
    lease: VecDeque<Range<u64>>,
    slots: Option<std::iter::Peekable<Slots>>,
    /// Slots from this index on are not leased.
    leased: SlotIndex,
    /// Whether slots are leased bit by bit, and not all at once.
    is_leased_bit_by_bit: bool,
    waiting: VecDeque<Slot>,
    is_closed: bool,
    has_asked: bool,
    is_stopped: Option<Duration>,
    is_cut: bool,
    running: BTreeMap<u64, Running>,
    counted: Vec<(u64, u64, Running)>,
    delta: Delta,
    said_health: Duration,
    slowness_ms: u64,
}

/// An operation in flight. The key in `running` is the number or slot index by which the books know it.
#[derive(Clone, Copy)]
struct Running {
    number: u64,
    since: Duration,
    until: Duration,
}

impl SimulatedWorker {
    pub(super) fn new(job: &Job, place: u32, now: Duration, chance: &mut Rng) -> Self {
        Self {
            state: SimulatedState::Booting,
            place,
            next: now + Duration::from_millis(chance.u64(1..30)),
            hangs_until: Duration::ZERO,
            is_deaf: false,
            started: Vec::new(),
            phases: job.phases(),
            first_slot: SlotIndex(0),
            phase: 0,
            began: Duration::ZERO,
            lease: VecDeque::new(),
            slots: None,
            leased: SlotIndex(0),
            is_leased_bit_by_bit: job.spread.contact.ahead.is_some(),
            waiting: VecDeque::new(),
            is_closed: false,
            has_asked: false,
            is_stopped: None,
            is_cut: false,
            running: BTreeMap::new(),
            counted: Vec::new(),
            delta: Delta::default(),
            said_health: now,
            slowness_ms: *chance.choice(&[1, 5, 30, 120]).expect("there are some"),
        }
    }

    fn plan(&self) -> &RunPlan {
        &self.phases[self.phase].1
    }

    /// The worker loads the task. `first_slot` is the first slot of its place that it may start.
    pub(super) fn load(&mut self, first_slot: SlotIndex) {
        self.first_slot = first_slot;
        self.state = SimulatedState::Loading;
    }

    /// The worker hears `command`; an error if the command does not fit its state.
    pub(super) fn hear(&mut self, command: &Command, now: Duration) -> Result<(), String> {
        match command {
            Command::SetUp { .. } if self.state == SimulatedState::Loading => self.state = SimulatedState::SettingUp,
            Command::Go { phase, beginning } if self.state == SimulatedState::Waiting => {
                self.state = SimulatedState::Running;
                (self.phase, self.began) = (*phase as usize, *beginning);
                (self.is_closed, self.has_asked) = (false, true);
                self.lease.clear();
                if let Some(open) = self.plan().load_model().open() {
                    let first = if self.phase + 1 == self.phases.len() { self.first_slot } else { SlotIndex(0) };
                    let mut slots = Slots::new(self.plan(), open, self.place).peekable();
                    while slots.next_if(|slot| slot.index < first).is_some() {}
                    self.leased = if self.is_leased_bit_by_bit { first } else { SlotIndex(u64::MAX) };
                    self.slots = Some(slots);
                }
            }
            Command::Lease(range) => {
                if self.slots.is_some() {
                    self.leased = self.leased.max(SlotIndex(range.end));
                } else if self.state == SimulatedState::Running {
                    self.lease.push_back(range.clone());
                }
                self.has_asked = false;
            }
            Command::NoMore => {
                self.is_closed = true;
                self.leased = SlotIndex(u64::MAX);
            }
            Command::Stop => self.is_stopped = self.is_stopped.or(Some(now)),
            Command::Cut => self.is_cut = true,
            other => return Err(format!("a worker that is {:?} is told {other:?}", self.state)),
        }
        Ok(())
    }

    /// The worker acts, and returns what it says.
    pub(super) fn act(&mut self, now: Duration, chance: &mut Rng) -> Vec<Message> {
        self.next = now + Duration::from_millis(chance.u64(5..40));
        let mut said = Vec::new();
        match self.state {
            SimulatedState::Booting => {
                // The worker says nothing more until it is told to load, which happens at once.
                said.push(Message::Hello { protocol: PROTOCOL, process: 7 });
                self.next = Duration::MAX;
            }
            SimulatedState::Loading => {
                said.push(Message::Loaded { took: Duration::from_millis(1) });
                self.next = Duration::MAX;
            }
            SimulatedState::SettingUp => {
                said.push(Message::Ready { instantiate: Duration::from_millis(1), setup: None });
                self.state = SimulatedState::Waiting;
            }
            SimulatedState::Running => self.operate(now, chance, &mut said),
            SimulatedState::TearingDown => {
                if chance.u8(0..4) == 0 {
                    said.push(Message::Done(Usage::default()));
                    self.state = SimulatedState::Ended;
                }
            }
            SimulatedState::Waiting | SimulatedState::Ended => {}
        }
        if now >= self.said_health + Duration::from_secs(1)
            && !matches!(self.state, SimulatedState::Booting | SimulatedState::Ended)
        {
            self.said_health = now;
            let at_ns = now.as_nanos() as u64;
            said.push(Message::Health(Health { at_ns, ..Health::default() }));
            if chance.u8(0..50) == 0 {
                let stall = Stall { what: Standstill::Worker, process: Some(7), at_ns, length_ns: at_ns / 2 };
                said.push(Message::Stalled(stall));
            }
        }
        said
    }

    fn operate(&mut self, now: Duration, chance: &mut Rng, said: &mut Vec<Message>) {
        let over = self.plan().extent().duration().map(|duration| self.began + duration);
        let is_over = over.is_some_and(|over| now >= over) || self.is_stopped.is_some() || self.is_cut;
        self.finish(now);
        if self.is_cut && !self.is_deaf {
            for (_, cut) in std::mem::take(&mut self.running) {
                let age_ns = now.saturating_sub(cut.since).as_nanos() as u64;
                self.delta.in_flight.push(Cut { number: cut.number, age_ns, started_ns: None });
            }
        }
        if !is_over {
            self.start(now, chance, said);
        }
        let is_idle = self.running.is_empty();
        let has_more = !is_over && (!self.lease.is_empty() || self.has_slots() || !self.is_dry());
        if is_idle && !has_more {
            self.close(over, now);
            self.flush(said);
            said.push(Message::Rested);
            self.lease.clear();
            let is_last = self.phase + 1 == self.phases.len();
            self.state = if is_last { SimulatedState::TearingDown } else { SimulatedState::Waiting };
        } else if chance.u8(0..3) == 0 {
            self.flush(said);
        }
    }

    /// Whether no more numbers will come.
    fn is_dry(&self) -> bool {
        self.is_closed || self.slots.is_some()
    }

    fn has_slots(&mut self) -> bool {
        !self.waiting.is_empty() || self.slots.as_mut().is_some_and(|slots| slots.peek().is_some())
    }

    fn finish(&mut self, now: Duration) {
        let ended: Vec<u64> = self.running.iter().filter(|(_, of)| of.until <= now).map(|(&key, _)| key).collect();
        for key in ended {
            if let Some(of) = self.running.remove(&key) {
                self.counted.push((key, of.number, of));
            }
        }
    }

    fn start(&mut self, now: Duration, chance: &mut Rng, said: &mut Vec<Message>) {
        let threads = self.plan().shape().threads as usize;
        let elapsed_ns = now.saturating_sub(self.began).as_nanos() as u64;
        let (processes, first) = (u64::from(self.plan().shape().workers()), self.plan().first());
        if let Some(slots) = &mut self.slots {
            let is_due = |slot: &Slot| slot.due_ns <= elapsed_ns && slot.index < self.leased;
            while let Some(slot) = slots.next_if(|slot| now >= self.began && is_due(slot)) {
                self.waiting.push_back(slot);
            }
            while self.running.len() < threads
                && let Some(slot) = self.waiting.pop_front()
            {
                let number = first + slot.index.0 * processes + u64::from(self.place);
                // Now and then a slot is dropped instead, as a limit on operations in flight would do.
                if chance.u8(0..12) == 0 {
                    self.drop(slot);
                } else {
                    self.run(slot.index.0, number, now, chance);
                }
            }
            return;
        }
        while self.running.len() < threads
            && let Some(range) = self.lease.front_mut()
        {
            let number = range.start;
            range.start += 1;
            if range.is_empty() {
                self.lease.pop_front();
            }
            self.run(number, number, now, chance);
        }
        if self.lease.is_empty() && !self.has_asked && !self.is_closed {
            self.has_asked = true;
            said.push(Message::Need(chance.u64(1..40)));
        }
    }

    fn run(&mut self, key: u64, number: u64, now: Duration, chance: &mut Rng) {
        self.started.push((self.phase, number));
        let takes = Duration::from_millis(chance.u64(0..=self.slowness_ms * 2));
        let until = if self.is_deaf { Duration::MAX } else { now + takes };
        self.running.insert(key, Running { number, since: now, until });
    }

    fn drop(&mut self, slot: Slot) {
        self.delta.dropped.push(slot.index..slot.index.plus(1));
        self.delta.metrics.drop_slots(slot.due_ns, 1);
    }

    /// Drops the slots that were due and were not started.
    fn close(&mut self, over: Option<Duration>, now: Duration) {
        let end = self.is_stopped.unwrap_or(now).min(over.unwrap_or(now)).saturating_sub(self.began);
        while let Some(slot) = self.waiting.pop_front() {
            self.drop(slot);
        }
        if let Some(mut slots) = self.slots.take() {
            let leased = self.leased;
            let is_due = |slot: &Slot| u128::from(slot.due_ns) <= end.as_nanos() && slot.index < leased;
            while let Some(slot) = slots.next_if(is_due) {
                self.drop(slot);
            }
        }
    }

    fn flush(&mut self, said: &mut Vec<Message>) {
        let mut recorder = Recorder::default();
        let spans = Spans::default();
        let is_open = self.plan().load_model().open().is_some();
        for (key, number, of) in std::mem::take(&mut self.counted) {
            let start_ns = of.since.saturating_sub(self.began).as_nanos() as u64;
            let end_ns = start_ns + of.until.saturating_sub(of.since).as_nanos() as u64;
            self.delta.numbers.push(key..key + 1);
            recorder.record(&Sample {
                number,
                due_ns: is_open.then_some(start_ns),
                start_ns,
                end_ns,
                outcome: Outcome::Ok,
                result: "ok",
                reason: None,
                spans: &spans,
                split: None,
            });
        }
        self.delta.metrics += &recorder.take();
        if !self.delta.is_empty() {
            said.push(Message::Delta(Box::new(std::mem::take(&mut self.delta))));
        }
    }
}

/// How the numbers of `plan` are shared; the account uses it to look up indices.
pub(super) fn shares(plan: &RunPlan) -> Shares {
    if plan.load_model().open().is_some() {
        Shares::dealt(plan.numbers(), plan.shape().workers())
    } else {
        Shares::common(plan.numbers(), plan.shape().workers())
    }
}
