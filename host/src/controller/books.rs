//! The books of a run: the fold of its entries.
//!
//! Pure. [`Books::apply`] reads no clock and does no I/O; it iterates ordered maps only, so that equal entries make
//! books of equal bytes. What has to be done because of an entry comes back as [`Effect`]s: a live controller sees to
//! them, one that is rebuilt from entries leaves them. Knows neither how an entry was heard nor why it was decided.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::faults::{Faults, Parting};
use super::job::Job;
use super::mistakes::{Mistake, is_made, wrong_time};
use crate::fault::{Fault, FaultKind};
use crate::hook::Hook;
use crate::journal::{Deafness, Decision, Entry, What};
use crate::metrics::{Cut, Metrics};
use crate::numbers::{Ledger, NumberSet, Shares};
use crate::pace::Slots;
use crate::plan::{LoadModel, Open, RunPlan};
use crate::record::{RunRecord, Startup, TaskFacts, Warmup, WorkerRecord};
use crate::wire::{Delta, Message, PROTOCOL, Phase, Usage};

/// Workers that are replaced in one run; a task that kills more than these is not going to stop.
pub(super) const MAX_REPLACEMENTS: u32 = 3;

/// Everything that is known of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Books {
    task: TaskFacts,
    /// The machine's time when the run was opened.
    opened: SystemTime,
    pub(super) phases: Vec<PhaseBooks>,
    /// The phase that goes on, or that is to begin first.
    pub(super) phase: usize,
    pub(super) stage: Stage,
    pub(super) workers: BTreeMap<u32, WorkerBooks>,
    pub(super) places: Vec<Place>,
    /// Workers that have asked for numbers and have no answer, and how many they want.
    pub(super) wanting: BTreeMap<u32, u64>,
    replaced: u32,
    startup: Startup,
    metrics: Metrics,
    in_flight: Vec<Cut>,
    overtime: Vec<Cut>,
    faults: Faults,
    pub(super) failure: Option<Failure>,
}

/// A phase of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PhaseBooks {
    phase: Phase,
    pub(super) plan: RunPlan,
    pub(super) shares: Shares,
    /// When its first operation could start, since the run was opened.
    pub(super) began: Option<Duration>,
    /// When the phase after it began.
    ended: Option<Duration>,
}

/// How far the end of a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stage {
    /// Nobody wants it to end before its plan's end.
    Running,
    /// Since then operations in flight may end, and no other starts.
    Stopping {
        /// When that was decided.
        since: Duration,
    },
    /// Operations in flight were cut.
    Cutting {
        /// When it was stopped; `None` if it was not, and what was cut ran beyond its time.
        stopped: Option<Duration>,
        /// When they were cut.
        since: Duration,
    },
    /// No worker is left.
    Ended {
        /// When it was stopped, if it was.
        stopped: Option<Duration>,
    },
}

/// A place among the processes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// A worker is to be launched for it.
    Vacant,
    /// This worker has it.
    Taken(u32),
    /// Nothing is left to be done there.
    Closed,
}

/// A worker process, living or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WorkerBooks {
    pub(super) place: u32,
    pub(super) state: State,
    /// How many of its frames were heard.
    frames: u64,
    launched: Duration,
    /// When it was heard last.
    pub(super) heard: Duration,
    /// Whether its silence was said.
    pub(super) missed: bool,
    record: WorkerRecord,
}

/// How far a worker has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// It was launched and has said nothing yet.
    Launched,
    /// It loads the task and makes its instances.
    SettingUp,
    /// It waits for a phase to begin.
    Ready,
    /// It has a part in the phase that goes on.
    Running,
    /// Its part of the last phase is over; it tears its instances down.
    Leaving,
    /// It has ended, or nobody waits for its end.
    Gone,
}

/// Why a run could not be run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// A worker could not begin, and said why.
    Refused(String),
    /// A worker died before the start.
    Died(String),
    /// It was asked to stop before its first operation.
    Stopped,
}

/// What is to be done because of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start a worker process.
    Launch(u32),
    /// Tell a worker to load the task.
    Load {
        /// Which worker.
        worker: u32,
        /// Its place among the processes of the run.
        place: u32,
        /// In an open run: the first slot that is its own.
        first_slot: u64,
    },
    /// Tell a worker to make its instances.
    SetUp(u32),
    /// Tell a worker to start operations.
    Go {
        /// Which worker.
        worker: u32,
        /// Which phase.
        phase: u32,
        /// When it begins, since the run was opened.
        beginning: Duration,
    },
    /// Give a worker numbers; `None` if there are no more.
    Lease(u32, Option<Range<u64>>),
    /// Tell a worker to start no more operations.
    Stop(u32),
    /// Tell a worker to end its operations in flight.
    Cut(u32),
    /// A worker has done its part: let it end.
    Dismiss(u32),
    /// End a worker by force.
    Kill(u32),
    /// Something went wrong, for the first time.
    Noted(Fault),
}

impl State {
    pub(super) fn lives(self) -> bool {
        self != Self::Gone
    }
}

/// How the processes of a run share its numbers: from a common store that each draws from as it goes, or dealt to them
/// beforehand with the slots of the schedule.
fn shares(plan: &RunPlan) -> Shares {
    match plan.load_model() {
        LoadModel::Closed(_) => Shares::common(plan.numbers(), plan.shape().processes),
        LoadModel::Open(_) => Shares::dealt(plan.numbers(), plan.shape().processes),
    }
}

impl Books {
    /// The books of a run of which nothing has happened yet; `opened` is the machine's time now.
    pub fn open(job: &Job, opened: SystemTime) -> Self {
        let phases = job.phases().into_iter().map(|(phase, plan)| {
            let shares = shares(&plan);
            PhaseBooks { phase, plan, shares, began: None, ended: None }
        });
        Self {
            task: job.task.clone(),
            opened,
            phases: phases.collect(),
            phase: 0,
            stage: Stage::Running,
            workers: BTreeMap::new(),
            places: vec![Place::Vacant; job.plan.shape().processes as usize],
            wanting: BTreeMap::new(),
            replaced: 0,
            startup: job.startup,
            metrics: Metrics::default(),
            in_flight: Vec::new(),
            overtime: Vec::new(),
            faults: Faults::default(),
            failure: None,
        }
    }

    /// Books an entry; what is to be done because of it. An entry whose condition does not hold is void: it changes
    /// nothing, and nothing is to be done.
    pub fn apply(&mut self, entry: &Entry) -> Vec<Effect> {
        match &entry.what {
            What::Heard { worker, frame, message } => self.hear(*worker, *frame, message, entry.at),
            What::Gone { worker, how } => self.bury(*worker, how, entry.at),
            What::Hooked { hook, refused, failed } => {
                self.metrics.network += refused.as_ref();
                let failed = failed.as_ref().filter(|_| *hook == Hook::Cleanup);
                let note = |error| {
                    let message = format!("the task's `cleanup` was not done: {error}");
                    self.note(Fault { kind: FaultKind::Cleanup, message, times: 1, numbers: Vec::new() })
                };
                failed.map(note).unwrap_or_default()
            }
            What::Decided(decision) => self.decide(*decision, entry.at),
        }
    }

    fn decide(&mut self, decision: Decision, at: Duration) -> Vec<Effect> {
        match decision {
            Decision::Launch { worker, place } => self.launch(worker, place, at),
            Decision::Begin { phase, beginning } => self.begin(phase, beginning, at),
            Decision::Join { worker } => self.join(worker),
            Decision::Lease { worker, wanted } => self.lease(worker, wanted).into_iter().collect(),
            Decision::Miss { worker } => self.miss(worker, at),
            Decision::GiveUp { worker, why } => {
                let how = self.why_given_up(worker, why, at);
                self.give_up(worker, &how, at)
            }
            Decision::Stop => self.stop(at),
            Decision::Cut => self.cut(at),
            Decision::End => self.end(at),
        }
    }

    fn launch(&mut self, worker: u32, place: u32, at: Duration) -> Vec<Effect> {
        let is_new = self.workers.keys().next_back().is_none_or(|&last| last < worker);
        let is_wanted = self.places.get(place as usize) == Some(&Place::Vacant);
        if !is_new || !is_wanted || self.stage != Stage::Running || self.failure.is_some() {
            return Vec::new();
        }
        self.places[place as usize] = Place::Taken(worker);
        let threads = self.plan().shape().threads;
        let record = WorkerRecord { threads, ..WorkerRecord::default() };
        let state = State::Launched;
        self.workers
            .insert(worker, WorkerBooks { place, state, frames: 0, launched: at, heard: at, missed: false, record });
        vec![Effect::Launch(worker)]
    }

    /// Begins a phase with those that are ready; its condition is that all that live are.
    fn begin(&mut self, phase: u32, beginning: Duration, at: Duration) -> Vec<Effect> {
        if self.next_phase() != Some(phase as usize) || !self.are_all_ready() {
            return Vec::new();
        }
        if let Some(before) = self.phases.get_mut(self.phase).filter(|before| before.began.is_some()) {
            before.ended = Some(at);
        }
        self.phase = phase as usize;
        self.phases[self.phase].began = Some(beginning);
        if is_made(Mistake::FoldWithAClock) {
            self.opened = wrong_time();
        }
        let all: Vec<u32> = self.living().collect();
        all.into_iter().flat_map(|worker| self.go(worker)).collect()
    }

    fn join(&mut self, worker: u32) -> Vec<Effect> {
        let is_ready = self.workers.get(&worker).is_some_and(|of| of.state == State::Ready);
        if is_ready && self.is_under_way() && self.stage == Stage::Running { self.go(worker) } else { Vec::new() }
    }

    /// Lets a worker that is ready into the phase that goes on.
    fn go(&mut self, worker: u32) -> Vec<Effect> {
        let phase = &mut self.phases[self.phase];
        let (Some(of), Some(beginning)) = (self.workers.get_mut(&worker), phase.began) else { return Vec::new() };
        of.state = State::Running;
        let go = Effect::Go { worker, phase: self.phase as u32, beginning };
        if phase.plan.load_model().open().is_some() {
            phase.shares.of(of.place).lease_all(worker);
            return vec![go];
        }
        let wanted = u64::from(phase.plan.shape().threads);
        self.wanting.insert(worker, wanted);
        [go].into_iter().chain(self.lease(worker, wanted)).collect()
    }

    fn lease(&mut self, worker: u32, wanted: u64) -> Option<Effect> {
        self.wanting.remove(&worker)?;
        let of = self.workers.get(&worker).filter(|of| of.state == State::Running)?;
        let range = match self.stage {
            Stage::Running => self.phases[self.phase].shares.of(of.place).lease(worker, wanted),
            _ => None,
        };
        if is_made(Mistake::LeaseTwice) && wanted > 1 {
            let place = of.place;
            self.phases[self.phase].shares.of(place).give_back(worker);
        }
        Some(Effect::Lease(worker, range))
    }

    fn miss(&mut self, worker: u32, at: Duration) -> Vec<Effect> {
        let Some(of) = self.workers.get_mut(&worker).filter(|of| of.state.lives() && !of.missed) else {
            return Vec::new();
        };
        of.missed = true;
        let (process, silent) = (of.record.process, at.saturating_sub(of.heard));
        self.note(super::faults::missed(process, silent))
    }

    fn stop(&mut self, at: Duration) -> Vec<Effect> {
        if self.stage == (Stage::Ended { stopped: None }) {
            // It came too late for this run, and is for those that would follow.
            self.stage = Stage::Ended { stopped: Some(at) };
        }
        if self.stage != Stage::Running || self.failure.is_some() {
            return Vec::new();
        }
        if !self.is_under_way() {
            self.failure = Some(Failure::Stopped);
            return Vec::new();
        }
        self.stage = Stage::Stopping { since: at };
        let mut effects = self.dismiss_idle();
        effects.extend(self.living().map(Effect::Stop));
        effects
    }

    fn cut(&mut self, at: Duration) -> Vec<Effect> {
        let stopped = match self.stage {
            Stage::Running => None,
            Stage::Stopping { since } => Some(since),
            Stage::Cutting { .. } | Stage::Ended { .. } => return Vec::new(),
        };
        if !self.is_under_way() || self.failure.is_some() {
            return Vec::new();
        }
        self.stage = Stage::Cutting { stopped, since: at };
        let mut effects = self.dismiss_idle();
        effects.extend(self.living().flat_map(|worker| [Effect::Stop(worker), Effect::Cut(worker)]));
        effects
    }

    fn end(&mut self, at: Duration) -> Vec<Effect> {
        let is_over = self.living().next().is_none() && !self.places.contains(&Place::Vacant);
        if !is_over || matches!(self.stage, Stage::Ended { .. }) || self.failure.is_some() {
            return Vec::new();
        }
        let unstarted = self.unstarted(at).map(|fault| self.note(fault)).unwrap_or_default();
        self.stage = Stage::Ended { stopped: self.stopped() };
        unstarted
    }

    /// That operations of the plan were never started, if they should have been.
    fn unstarted(&self, at: Duration) -> Option<Fault> {
        let (plan, elapsed) = (self.plan(), self.elapsed(at));
        // The last slot of a schedule may well lie before its end, and a pause may reach beyond it.
        let idle = match plan.load_model() {
            LoadModel::Closed(closed) => closed.pause.most,
            LoadModel::Open(_) => Duration::MAX,
        };
        // If the rate falls to nothing, numbers may be left that nobody was to start.
        let runs_dry = plan.load_model().open().is_some_and(Open::runs_dry);
        let extent = plan.extent();
        let is_early = extent.duration().is_none_or(|duration| elapsed.saturating_add(idle) < duration);
        let never_started = self.last().shares.sum(Ledger::unleased);
        if never_started == 0 || !is_early || runs_dry || self.stage != Stage::Running {
            return None;
        }
        let message = match (extent.operations(), extent.duration()) {
            (None, Some(duration)) => {
                format!("the run ended after {elapsed:.1?} of its {duration:.1?}: no thread was left to go on")
            }
            _ => format!("{never_started} operations of the plan were never started: no thread was left to start them"),
        };
        Some(Fault { kind: FaultKind::NotStarted, message, times: 1, numbers: Vec::new() })
    }

    /// A frame of a worker: void if the worker is gone, or if the frame was heard before.
    fn hear(&mut self, worker: u32, frame: u64, message: &Message, at: Duration) -> Vec<Effect> {
        let Some(of) = self.workers.get_mut(&worker) else { return Vec::new() };
        let is_dead = !of.state.lives() && !is_made(Mistake::HearTheDead);
        let is_repeat = frame <= of.frames && !is_made(Mistake::HearTwice);
        if is_dead || is_repeat {
            return Vec::new();
        }
        if frame > of.frames + 1 {
            return self.give_up(worker, "frames of it are missing", at);
        }
        (of.frames, of.heard, of.missed) = (frame, at, false);
        match (of.state, message) {
            (State::Launched, Message::Hello { protocol, process }) => {
                of.record.process = *process;
                if *protocol != PROTOCOL {
                    let reason =
                        format!("a worker speaks protocol {protocol}, not {PROTOCOL}: run one version of gorgon");
                    return self.refuse(worker, reason);
                }
                of.state = State::SettingUp;
                self.startup.spawn = self.startup.spawn.max(at.saturating_sub(of.launched));
                let place = of.place;
                let ledger = self.last_mut().shares.of(place);
                let first_slot = ledger.next_unleased().unwrap_or(u64::MAX);
                let first_slot = if is_made(Mistake::BeginAtZero) { 0 } else { first_slot };
                vec![Effect::Load { worker, place, first_slot }]
            }
            (State::SettingUp, Message::Loaded { took }) => {
                self.startup.load = self.startup.load.max(*took);
                vec![Effect::SetUp(worker)]
            }
            (State::SettingUp, Message::Ready { instantiate, setup }) => {
                of.state = State::Ready;
                self.startup.instantiate = self.startup.instantiate.max(*instantiate);
                self.startup.setup = self.startup.setup.max(*setup);
                Vec::new()
            }
            (State::SettingUp, Message::Refused(reason)) => self.refuse(worker, reason.clone()),
            (State::Running, Message::Need(wanted)) => {
                self.wanting.insert(worker, *wanted);
                Vec::new()
            }
            (State::Running, Message::Delta(delta)) => self.count(worker, delta),
            (State::Gone, Message::Delta(delta)) if is_made(Mistake::HearTheDead) => self.count(worker, delta),
            (State::Gone, _) if is_made(Mistake::HearTheDead) => Vec::new(),
            (State::Running, Message::Rested) => self.rest(worker),
            (_, Message::Delta(delta)) if is_made(Mistake::HearTwice) => self.count(worker, delta),
            (State::Leaving, Message::Delta(delta)) => {
                // What the last teardowns have sent and received.
                self.metrics.network += &delta.metrics.network;
                Vec::new()
            }
            (State::Leaving, Message::Done(usage)) => {
                self.account(worker, *usage);
                self.dismiss(worker)
            }
            (_, Message::Health(health)) => {
                if of.state == State::Running && self.phases[self.phase].phase == Phase::Run {
                    of.record.health.note(*health);
                }
                Vec::new()
            }
            (_, Message::Fault(fault)) => self.note(fault.clone()),
            // A worker that says what has no place here does not know what it is doing.
            _ => self.give_up(worker, "it said what has no place there", at),
        }
    }

    /// A worker cannot begin. Before the run that is the run's failure; later it is a fault.
    fn refuse(&mut self, worker: u32, reason: String) -> Vec<Effect> {
        if !self.is_under_way() {
            self.failure = Some(Failure::Refused(reason));
            return Vec::new();
        }
        let message = format!("a replaced worker could not begin: {reason}");
        let noted = self.note(Fault { kind: FaultKind::WorkerDied, message, times: 1, numbers: Vec::new() });
        noted.into_iter().chain(self.dismiss(worker)).collect()
    }

    /// Books what a worker has counted: metrics, and the numbers that they cover.
    fn count(&mut self, worker: u32, delta: &Delta) -> Vec<Effect> {
        let Some(of) = self.workers.get_mut(&worker) else { return Vec::new() };
        let phase = &mut self.phases[self.phase];
        let ledger = phase.shares.of(of.place);
        let mut held = ledger.confirm(worker, delta.numbers.iter().cloned());
        held &= ledger.drop(worker, delta.dropped.iter().cloned());
        for cut in delta.in_flight.iter().filter(|_| !is_made(Mistake::ForgetTheCut)) {
            let index = phase.shares.index(cut.number);
            held &= phase.shares.of(of.place).cut(worker, index);
        }
        let numbers: u64 = delta.numbers.iter().map(|range| range.end.saturating_sub(range.start)).sum();
        let counted = delta.metrics.completed();
        if phase.phase == Phase::Run || is_made(Mistake::CountTheWarmup) {
            of.record.operations += counted;
            self.metrics += &delta.metrics;
            self.in_flight.extend(&delta.in_flight);
            self.overtime.extend(&delta.overtime);
        }
        if numbers != counted {
            return self.note(super::faults::miscounted(worker, counted, numbers));
        }
        if !held {
            return self.note(super::faults::not_held(worker));
        }
        Vec::new()
    }

    /// A worker's part of the phase is over. What it holds was never started, and can be leased again.
    fn rest(&mut self, worker: u32) -> Vec<Effect> {
        let is_last = self.phase + 1 == self.phases.len();
        if let Some(of) = self.workers.get_mut(&worker) {
            of.state = if is_last { State::Leaving } else { State::Ready };
            if !is_made(Mistake::RestWithLease) {
                self.phases[self.phase].shares.of(of.place).give_back(worker);
            }
        }
        self.wanting.remove(&worker);
        Vec::new()
    }

    /// A worker is waited for no more: it has done its part, or has none.
    fn dismiss(&mut self, worker: u32) -> Vec<Effect> {
        self.part_with(worker);
        vec![Effect::Dismiss(worker)]
    }

    /// Takes a worker out of the crew; its place.
    fn part_with(&mut self, worker: u32) -> Option<u32> {
        let of = self.workers.get_mut(&worker)?;
        of.state = State::Gone;
        self.wanting.remove(&worker);
        self.places[of.place as usize] = Place::Closed;
        Some(of.place)
    }

    /// A worker is ended by force, and counts as dead from now on.
    fn give_up(&mut self, worker: u32, how: &str, at: Duration) -> Vec<Effect> {
        if !self.workers.get(&worker).is_some_and(|of| of.state.lives()) {
            return Vec::new();
        }
        let mut effects = self.bury(worker, how, at);
        effects.push(Effect::Kill(worker));
        effects
    }

    /// A worker has died: what it held is lost, and another takes its place.
    fn bury(&mut self, worker: u32, how: &str, at: Duration) -> Vec<Effect> {
        if !self.workers.get(&worker).is_some_and(|of| of.state.lives()) {
            return Vec::new();
        }
        let process = self.workers[&worker].record.process;
        let lost = self.lose(worker, at);
        let Some(place) = self.part_with(worker) else { return Vec::new() };
        if self.phases[0].began.is_none() {
            self.failure.get_or_insert(Failure::Died(how.to_owned()));
            return Vec::new();
        }
        let duration = self.plan().extent().duration();
        let is_over = self.stage != Stage::Running || duration.is_some_and(|duration| self.elapsed(at) >= duration);
        let left = self.last_mut().shares.of(place).unleased();
        let then = if is_over {
            Parting::RunEnding
        } else if self.replaced >= MAX_REPLACEMENTS {
            Parting::TooMany
        } else if left == 0 {
            Parting::NothingLeft
        } else {
            self.replaced += 1;
            self.places[place as usize] = Place::Vacant;
            Parting::Replaced
        };
        let in_warmup = self.phases[self.phase].phase == Phase::Warmup;
        let numbers = self.numbers(place, &lost);
        self.note(super::faults::died(process, how, in_warmup, lost.len(), then, numbers))
    }

    /// What dies with a worker: all that it held, or in an open run what of it was due by then.
    fn lose(&mut self, worker: u32, at: Duration) -> NumberSet {
        let stopped = self.stopped();
        let phase = &mut self.phases[self.phase];
        let (Some(of), Some(began)) = (self.workers.get(&worker), phase.began) else { return NumberSet::default() };
        let until = match phase.plan.load_model().open() {
            None => u64::MAX,
            Some(open) => {
                let until_ns = at.min(stopped.unwrap_or(at)).saturating_sub(began).as_nanos();
                Slots::new(&phase.plan, open, of.place).due_by(u64::try_from(until_ns).unwrap_or(u64::MAX))
            }
        };
        if is_made(Mistake::LoseNothing) {
            return NumberSet::default();
        }
        let until = if is_made(Mistake::LoseTheFuture) { u64::MAX } else { until };
        let until = if is_made(Mistake::LeaseTheLost) { 0 } else { until };
        phase.shares.of(of.place).lose(worker, until)
    }

    /// The numbers that the process at `place` knows as `indices`, as inclusive ranges.
    fn numbers(&self, place: u32, indices: &NumberSet) -> Vec<(u64, u64)> {
        let shares = &self.phases[self.phase].shares;
        let mut ranges = Vec::new();
        for range in indices.iter() {
            if shares.are_dealt() {
                let room = super::faults::MAX_RANGES.saturating_sub(ranges.len());
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

    fn note(&mut self, fault: Fault) -> Vec<Effect> {
        if self.faults.note(&fault) { vec![Effect::Noted(fault)] } else { Vec::new() }
    }

    fn why_given_up(&self, worker: u32, why: Deafness, at: Duration) -> String {
        let silent = self.workers.get(&worker).map_or(Duration::ZERO, |of| at.saturating_sub(of.heard));
        match why {
            Deafness::Silent => format!("it was killed, as it had said nothing for {} s", silent.as_secs()),
            Deafness::Deaf => "it was killed, as it did not end when it was told to".into(),
        }
    }

    /// Nobody is launched any more, and workers that have not begun, in place of ones that died, never will.
    fn dismiss_idle(&mut self) -> Vec<Effect> {
        for place in &mut self.places {
            if *place == Place::Vacant {
                *place = Place::Closed;
            }
        }
        let has_begun = |state| matches!(state, State::Running | State::Leaving) || is_made(Mistake::KeepTheIdle);
        let idle: Vec<u32> = self.living().filter(|worker| !has_begun(self.workers[worker].state)).collect();
        idle.into_iter().flat_map(|worker| self.dismiss(worker)).collect()
    }
}

/// What can be asked of the books.
impl Books {
    /// What was planned: the last phase, which is the one that is counted.
    pub fn plan(&self) -> &RunPlan {
        &self.last().plan
    }

    fn last(&self) -> &PhaseBooks {
        &self.phases[self.phases.len() - 1]
    }

    fn last_mut(&mut self) -> &mut PhaseBooks {
        let last = self.phases.len() - 1;
        &mut self.phases[last]
    }

    /// The workers that have not ended, by their identifiers.
    pub fn living(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().filter(|(_, of)| of.state.lives()).map(|(&worker, _)| worker)
    }

    /// Whether the run itself, and not only its warm-up, has begun.
    pub(super) fn is_under_way(&self) -> bool {
        self.last().began.is_some()
    }

    /// The phase that could begin next, when all are ready.
    pub(super) fn next_phase(&self) -> Option<usize> {
        let next = if self.phases[self.phase].began.is_some() { self.phase + 1 } else { self.phase };
        let may_begin = self.stage == Stage::Running && self.failure.is_none();
        (next < self.phases.len() && may_begin).then_some(next)
    }

    /// Whether every worker is ready, and there is one in each place that is not closed.
    pub(super) fn are_all_ready(&self) -> bool {
        let mut living = self.living().peekable();
        living.peek().is_some()
            && !self.places.contains(&Place::Vacant)
            && living.all(|worker| self.workers[&worker].state == State::Ready || is_made(Mistake::BeginEarly))
    }

    /// When the run was stopped, from when it was opened.
    fn stopped(&self) -> Option<Duration> {
        match self.stage {
            Stage::Running => None,
            Stage::Stopping { since } => Some(since),
            Stage::Cutting { stopped, .. } | Stage::Ended { stopped } => stopped,
        }
    }

    /// How long the run had been going on `at` so long after it was opened; nothing before its beginning.
    pub fn elapsed(&self, at: Duration) -> Duration {
        self.last().began.map_or(Duration::ZERO, |began| at.saturating_sub(began))
    }

    /// How many operations have ended, as far as is known.
    pub fn completed(&self) -> u64 {
        self.last().shares.sum(Ledger::confirmed)
    }

    /// All of it.
    pub fn record(&self) -> RunRecord {
        let last = self.last();
        let warmup = self.phases.iter().find(|phase| phase.phase == Phase::Warmup);
        RunRecord {
            task: self.task.clone(),
            plan: last.plan.clone(),
            started_at: self.opened + last.began.unwrap_or_default(),
            stopped: self.stopped().is_some() || self.failure == Some(Failure::Stopped),
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
            faults: self.faults.all(),
        }
    }
}
