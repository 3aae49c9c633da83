//! The books of a run: the fold of its entries.
//!
//! The books are pure. [`Books::apply`] reads no clock and does no I/O, and iterates ordered maps only, so that equal
//! entries make books of equal bytes. It returns what has to be done because of an entry as [`Effect`]s: a live
//! controller executes them, a controller that is rebuilt from entries ignores them. The books do not know how an entry
//! was heard or why it was decided.

mod asked;
mod boxes;
mod crew;
mod ends;

pub(super) use boxes::BoxBooks;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::faults::Faults;
use super::job::{Job, OnLoss};
use super::mistakes::{Mistake, is_made, wrong_time};
use crate::fault::{Fault, Stall};
use crate::hook::Hook;
use crate::journal::{Decision, Entry, What, Writer};
use crate::metrics::{Cut, Metrics};
use crate::numbers::{NumberSet, Shares};
use crate::pace::SlotIndex;
use crate::plan::{LoadModel, RunPlan};
use crate::record::{Environment, FileFacts, Startup, TaskFacts, WorkerRecord};
use crate::wire::{Contact, Phase};

/// How many workers are replaced in one run. A task that kills more than this would go on killing them.
pub(super) const MAX_REPLACEMENTS: u32 = 3;

/// How many stalls are kept.
const MAX_STALLS: usize = 100;

/// Everything that is known about a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Books {
    environment: Environment,
    command: Option<String>,
    task: TaskFacts,
    files: Vec<FileFacts>,
    /// The wall-clock time when the run was opened.
    opened: SystemTime,
    pub(super) phases: Vec<PhaseBooks>,
    /// The current phase; before the first one has begun, the first.
    pub(super) phase: usize,
    pub(super) stage: RunStage,
    pub(super) workers: BTreeMap<u32, WorkerBooks>,
    pub(super) places: Vec<Place>,
    /// The index of the box of each place; 0 if the run takes place on this machine.
    homes: Vec<u32>,
    pub(super) boxes: Vec<BoxBooks>,
    pub(super) contact: Contact,
    on_loss: OnLoss,
    /// The epoch of the controller whose decisions count.
    pub(super) epoch: u32,
    /// When a controller last decided or noted something.
    controlled: Duration,
    /// What the hooks of the whole run returned, or why they failed.
    hooks: BTreeMap<Hook, Result<String, String>>,
    possibly_twice: NumberSet,
    /// How many numbers each worker has asked for and not been answered.
    pub(super) wanting: BTreeMap<u32, u64>,
    replaced: u32,
    startup: Startup,
    metrics: Metrics,
    in_flight: Vec<Cut>,
    overtime: Vec<Cut>,
    stalls: Vec<Stall>,
    faults: Faults,
    /// How long the run went on, if operations of its plan were left that nobody could start.
    cut_short: Option<Duration>,
    pub(super) failure: Option<Failure>,
}

/// A phase of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PhaseBooks {
    phase: Phase,
    pub(super) plan: RunPlan,
    pub(super) shares: Shares,
    /// When its first operation was allowed to start, since the run was opened.
    pub(super) began: Option<Duration>,
    /// When the phase after it began.
    ended: Option<Duration>,
}

/// How near a run is to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum RunStage {
    /// The run goes on to the end of its plan.
    Running,
    /// A stop was requested: operations in flight may end, and no more start.
    Stopping {
        /// When the stop was decided.
        since: Duration,
    },
    /// Operations in flight were cut.
    Cutting {
        /// When the run was stopped. `None` if no stop was requested, and the operations were cut because they ran too
        /// long.
        stopped: Option<Duration>,
        /// When they were cut.
        since: Duration,
    },
    /// No worker is left.
    Ended {
        /// When the run was stopped, if it was.
        stopped: Option<Duration>,
    },
}

/// A place among the processes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// A worker has to be launched for it.
    Vacant,
    /// This worker holds it.
    Taken(u32),
    /// Nothing is left to do there.
    Closed,
}

/// A worker process, alive or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct WorkerBooks {
    pub(super) place: u32,
    /// The index of its box; 0 if the run takes place on this machine.
    pub(super) on: u32,
    pub(super) state: WorkerState,
    /// How many of its frames were booked.
    frames: u64,
    launched: Duration,
    /// When its last frame was heard.
    pub(super) heard: Duration,
    /// Until when its operations are in the books, since the run was opened.
    counted: Duration,
    /// Whether its silence has been reported.
    pub(super) missed: bool,
    /// Why it was given up, for people.
    given_up: Option<String>,
    record: WorkerRecord,
}

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WorkerState {
    /// It was launched and has said nothing yet.
    Launched,
    /// It loads the task and makes its instances.
    SettingUp,
    /// It waits for a phase to begin.
    Ready,
    /// It takes part in the current phase.
    Running,
    /// It has finished its part of the last phase, and tears its instances down.
    Leaving,
    /// It was given up, and is being killed. It may start operations until its process is gone.
    Dying {
        /// When it was given up.
        since: Duration,
    },
    /// It has ended, or the run no longer waits for its end.
    Gone,
}

/// Why a run did not take place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// A worker could not set up; the text is its reason.
    Refused(String),
    /// A worker died before the run began.
    Died(String),
    /// A stop was requested before the first operation.
    Stopped,
    /// A box was lost, or left, before the run began; the text says which. Without it the run can begin.
    BoxGone(String),
}

/// What has to be done because of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Start a worker process.
    Launch {
        /// Which worker.
        worker: u32,
        /// The index of its box; 0 if the run takes place on this machine.
        on: u32,
    },
    /// Tell a worker to load the task.
    Load {
        /// Which worker.
        worker: u32,
        /// Its place among the processes of the run.
        place: u32,
        /// In an open run: the first slot that the worker may start.
        first_slot: SlotIndex,
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
    /// Give a worker numbers, or in an open run the indices of slots; `None` if there are no more.
    Lease(u32, Option<Range<u64>>),
    /// Tell a worker to start no more operations.
    Stop(u32),
    /// Tell a worker to end its operations in flight.
    Cut(u32),
    /// A worker has done its part: let its process end.
    Dismiss(u32),
    /// End a worker by force.
    Kill(u32),
    /// Something went wrong, for the first time.
    Noted(Fault),
}

impl Effect {
    /// The worker that it concerns.
    pub fn worker(&self) -> Option<u32> {
        match self {
            Self::Launch { worker, .. }
            | Self::Load { worker, .. }
            | Self::SetUp(worker)
            | Self::Go { worker, .. }
            | Self::Lease(worker, _)
            | Self::Stop(worker)
            | Self::Cut(worker)
            | Self::Dismiss(worker)
            | Self::Kill(worker) => Some(*worker),
            Self::Noted(_) => None,
        }
    }
}

impl WorkerState {
    pub(super) fn lives(self) -> bool {
        self != Self::Gone
    }

    /// Whether the frames of the worker count.
    pub(super) fn is_heard(self) -> bool {
        !matches!(self, Self::Gone | Self::Dying { .. })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How the processes of a run share its numbers: each process draws from a common store, or each is dealt its numbers
/// beforehand, with the slots of the schedule.
fn shares(plan: &RunPlan) -> Shares {
    match plan.load_model() {
        LoadModel::Closed(_) => Shares::common(plan.numbers(), plan.shape().workers()),
        LoadModel::Open(_) => Shares::dealt(plan.numbers(), plan.shape().workers()),
    }
}

impl Books {
    /// The books of a run in which nothing has happened yet; `opened` is the current wall-clock time.
    pub fn open(job: &Job, opened: SystemTime) -> Self {
        let phases = job.phases().into_iter().map(|(phase, plan)| {
            let shares = shares(&plan);
            PhaseBooks { phase, plan, shares, began: None, ended: None }
        });
        let shape = job.plan.shape();
        let mut faults = Faults::default();
        if let Some(fault) = job.spread.absent.as_deref().map(Fault::box_absent) {
            faults.note(&fault);
        }
        Self {
            environment: job.environment.clone(),
            command: job.command.clone(),
            task: job.task.clone(),
            files: job.files.clone(),
            opened,
            phases: phases.collect(),
            phase: 0,
            stage: RunStage::Running,
            workers: BTreeMap::new(),
            places: vec![Place::Vacant; shape.workers() as usize],
            homes: (0..shape.workers()).map(|place| place / shape.processes).collect(),
            boxes: job.spread.boxes.iter().map(|of| BoxBooks::new(of.clone(), &job.spread)).collect(),
            contact: job.spread.contact,
            on_loss: job.spread.on_loss,
            epoch: job.spread.epoch,
            controlled: Duration::ZERO,
            hooks: BTreeMap::new(),
            possibly_twice: NumberSet::default(),
            wanting: BTreeMap::new(),
            replaced: 0,
            startup: job.startup,
            metrics: Metrics::default(),
            in_flight: Vec::new(),
            overtime: Vec::new(),
            stalls: Vec::new(),
            faults,
            cut_short: None,
            failure: None,
        }
    }

    /// What a hook of the whole run returned, or why it failed; `None` if it has not been called.
    pub(super) fn hooked(&self, hook: Hook) -> Option<&Result<String, String>> {
        self.hooks.get(&hook)
    }

    /// Books an entry, and returns what has to be done because of it. An entry whose condition does not hold is void:
    /// it changes nothing and has no effect.
    pub fn apply(&mut self, entry: &Entry) -> Vec<Effect> {
        if !self.admit(entry) {
            return Vec::new();
        }
        let effects = self.book(entry);
        if let Writer::Controller { .. } = entry.by {
            self.controlled = self.controlled.max(entry.at);
        }
        effects
    }

    fn book(&mut self, entry: &Entry) -> Vec<Effect> {
        match &entry.what {
            What::Heard { worker, frame, message } => self.hear(*worker, *frame, message, entry.at),
            What::Gone { worker, how } => self.bury(*worker, how, entry.at),
            What::Hooked { hook, refused, returned } => {
                self.metrics.network += refused.as_ref();
                self.hooks.insert(*hook, returned.clone());
                let failed = returned.as_ref().err().filter(|_| *hook == Hook::Cleanup);
                let note = |error| self.note(Fault::cleanup(error));
                failed.map(note).unwrap_or_default()
            }
            What::Stalled { what, length } => {
                if self.is_under_way() && !matches!(self.stage, RunStage::Ended { .. }) {
                    let at_ns = nanos(self.elapsed(entry.at.saturating_sub(*length)));
                    self.stall(Stall { what: *what, process: None, at_ns, length_ns: nanos(*length) });
                }
                Vec::new()
            }
            What::Leaving => self.let_leave(entry.by),
            What::Clock { index, reading } => {
                if let Some(of) = self.boxes.get_mut(*index as usize) {
                    of.compare(*reading);
                }
                Vec::new()
            }
            What::Decided(decision) => self.decide(*decision, entry.at),
        }
    }

    /// Notes a stall. A stall that goes on is told of again and again, and is one. Only the longest are kept.
    fn stall(&mut self, stall: Stall) {
        let end_ns = |of: &Stall| of.at_ns.saturating_add(of.length_ns);
        let is_it = |of: &&mut Stall| (of.what, of.process) == (stall.what, stall.process) && stall.at_ns <= end_ns(of);
        if let Some(known) = self.stalls.iter_mut().rev().find(is_it).filter(|known| end_ns(&stall) >= known.at_ns) {
            let (from_ns, to_ns) = (known.at_ns.min(stall.at_ns), end_ns(known).max(end_ns(&stall)));
            (known.at_ns, known.length_ns) = (from_ns, to_ns - from_ns);
            return;
        }
        self.stalls.push(stall);
        if self.stalls.len() > MAX_STALLS {
            let shortest = (0..self.stalls.len()).min_by_key(|&i| self.stalls[i].length_ns);
            shortest.map(|shortest| self.stalls.remove(shortest));
        }
    }

    fn decide(&mut self, decision: Decision, at: Duration) -> Vec<Effect> {
        match decision {
            Decision::Launch { worker, place } => self.launch(worker, place, at),
            Decision::Begin { phase, beginning } => self.begin(phase, beginning, at),
            Decision::Join { worker } => self.join(worker, at),
            Decision::Lease { worker, wanted } => self.lease(worker, wanted).into_iter().collect(),
            Decision::Miss { worker } => self.miss(worker, at),
            Decision::GiveUp { worker, why } => {
                let how = self.why_given_up(worker, why, at);
                self.give_up(worker, &how, at)
            }
            Decision::LoseBox { index } => self.lose_box(index, at),
            Decision::Extend { index, until } => self.extend(index, until),
            Decision::Fence => {
                // `admit` has noted the epoch.
                let taken_over = Fault::taken_over(at.saturating_sub(self.controlled));
                self.note(taken_over)
            }
            Decision::Stop => self.stop(at),
            Decision::Cut => self.cut(at),
            Decision::End => self.end(at),
        }
    }

    fn launch(&mut self, worker: u32, place: u32, at: Duration) -> Vec<Effect> {
        let is_new = self.workers.keys().next_back().is_none_or(|&last| last < worker);
        let is_wanted = self.places.get(place as usize) == Some(&Place::Vacant);
        if !is_new || !is_wanted || self.stage != RunStage::Running || self.failure.is_some() {
            return Vec::new();
        }
        self.places[place as usize] = Place::Taken(worker);
        let threads = self.plan().shape().threads;
        let on = self.homes[place as usize];
        let record = WorkerRecord { threads, on, ..WorkerRecord::default() };
        let state = WorkerState::Launched;
        self.workers.insert(
            worker,
            WorkerBooks {
                place,
                on,
                state,
                frames: 0,
                launched: at,
                heard: at,
                counted: at,
                missed: false,
                given_up: None,
                record,
            },
        );
        vec![Effect::Launch { worker, on }]
    }

    /// Begins a phase with all living workers, on condition that all of them are ready.
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
        all.into_iter().flat_map(|worker| self.go(worker, at)).collect()
    }

    fn join(&mut self, worker: u32, at: Duration) -> Vec<Effect> {
        let is_ready = self.workers.get(&worker).is_some_and(|of| of.state == WorkerState::Ready);
        if is_ready && self.is_under_way() && self.stage == RunStage::Running {
            self.go(worker, at)
        } else {
            Vec::new()
        }
    }

    /// Lets a worker that is ready into the current phase.
    fn go(&mut self, worker: u32, at: Duration) -> Vec<Effect> {
        let phase = &mut self.phases[self.phase];
        let (Some(of), Some(beginning)) = (self.workers.get_mut(&worker), phase.began) else { return Vec::new() };
        of.state = WorkerState::Running;
        let go = Effect::Go { worker, phase: self.phase as u32, beginning };
        if phase.plan.load_model().open().is_some() {
            let Some(ahead) = self.contact.ahead else {
                phase.shares.of(of.place).lease_all(worker);
                return vec![go];
            };
            let slots = self.lease_slots(worker, at.saturating_add(ahead));
            return [go].into_iter().chain(slots).collect();
        }
        // One number for each instance; the worker says how fast they go.
        let wanted = phase.plan.instances_per_process();
        self.wanting.insert(worker, wanted);
        [go].into_iter().chain(self.lease(worker, wanted)).collect()
    }

    fn lease(&mut self, worker: u32, wanted: u64) -> Option<Effect> {
        self.wanting.remove(&worker)?;
        let of = self.workers.get(&worker).filter(|of| of.state == WorkerState::Running)?;
        let range = match self.stage {
            RunStage::Running => self.phases[self.phase].shares.of(of.place).lease(worker, wanted),
            _ => None,
        };
        if is_made(Mistake::LeaseTwice) && wanted > 1 {
            let place = of.place;
            self.phases[self.phase].shares.of(place).give_back(worker);
        }
        Some(Effect::Lease(worker, range))
    }

    fn miss(&mut self, worker: u32, at: Duration) -> Vec<Effect> {
        let Some(of) = self.workers.get_mut(&worker).filter(|of| of.state.is_heard() && !of.missed) else {
            return Vec::new();
        };
        of.missed = true;
        let (process, silent) = (of.record.process, at.saturating_sub(of.heard));
        self.note(Fault::silent(process, silent))
    }
}
