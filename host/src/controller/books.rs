//! The books of a run: the fold of its entries.
//!
//! Pure. [`Books::apply`] reads no clock and does no I/O; it iterates ordered maps only, so that equal entries make
//! books of equal bytes. What has to be done because of an entry comes back as [`Effect`]s: a live controller sees to
//! them, one that is rebuilt from entries leaves them. Knows neither how an entry was heard nor why it was decided.

mod asked;
mod crew;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::job::Job;
use super::mistakes::{Mistake, is_made, wrong_time};
use crate::fault::{Fault, FaultKind};
use crate::hook::Hook;
use crate::journal::{Decision, Entry, What};
use crate::metrics::{Cut, Metrics};
use crate::numbers::{Ledger, Shares};
use crate::plan::{LoadModel, Open, RunPlan};
use crate::record::{Startup, TaskFacts, WorkerRecord};
use crate::wire::Phase;

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
