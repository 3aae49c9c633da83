//! The worker processes of one machine: starts them, hands them their commands, and ends them.
//!
//! Executes the effects that the books ask for, and decides nothing. A local run has one crew; over boxes, each box has
//! one.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use super::books::Effect;
use super::job::Job;
use super::machine::LAST_PATIENCE;
use crate::fault::remedy;
use crate::pace::SlotIndex;
use crate::plan::RunPlan;
use crate::resolve::Addresses;
use crate::rows;
use crate::transport::{FromWorker, WorkerProcess};
use crate::wire::{Command, Contact, Phase, WorkerPlan};

/// How many frames may wait for the controller. Workers that send more wait in their pipes.
const FRAMES: usize = 16;

/// What all workers of a machine load.
#[derive(Clone, Debug)]
pub struct Equipment {
    /// The phases of the run, in order.
    pub phases: Vec<(Phase, RunPlan)>,
    /// The file with the task's machine code.
    pub machine_code: PathBuf,
    /// Whether its instances may have a heap of objects.
    pub has_objects: bool,
    /// The addresses of host names, for the whole run.
    pub addresses: Addresses,
    /// Where the rows of the data file are.
    pub rows: Option<rows::Facts>,
    /// How workers and the controller keep in touch.
    pub contact: Contact,
}

impl Equipment {
    /// What the workers of `job` load.
    pub(super) fn of(job: &Job) -> Self {
        let (addresses, rows) = (job.addresses.clone(), job.rows.clone());
        let machine_code = job.machine_code.clone();
        let (has_objects, contact) = (job.has_objects, job.spread.contact);
        Self { phases: job.phases(), machine_code, has_objects, addresses, rows, contact }
    }

    /// The plan of the worker at `place`.
    pub(super) fn plan(&self, place: u32, first_slot: SlotIndex) -> WorkerPlan {
        let Self { phases, machine_code, has_objects, addresses, rows, contact } = self.clone();
        WorkerPlan { phases, place, first_slot, machine_code, has_objects, addresses, rows, contact }
    }
}

/// The worker processes of one machine. Dropping this ends them.
pub struct Crew {
    equipment: Equipment,
    /// What `prepare` returned.
    prepared: String,
    /// The system's monotonic clock of this machine when the run was opened.
    opened: Duration,
    frames_in: Sender<(u32, FromWorker)>,
    frames: Receiver<(u32, FromWorker)>,
    crew: BTreeMap<u32, WorkerProcess>,
    /// Workers that have done their part, each with the time by which it has to end.
    leaving: BTreeMap<u32, (WorkerProcess, Instant)>,
}

impl Crew {
    /// A crew without workers, for a run that was opened at `opened` by the system's monotonic clock.
    pub fn new(equipment: Equipment, opened: Duration) -> Self {
        let (frames_in, frames) = bounded(FRAMES);
        let (crew, leaving, prepared) = (BTreeMap::new(), BTreeMap::new(), String::new());
        Self { equipment, prepared, opened, frames_in, frames, crew, leaving }
    }

    /// What the workers say.
    pub fn frames(&self) -> &Receiver<(u32, FromWorker)> {
        &self.frames
    }

    /// What `prepare` returned, for all workers that are set up from now on.
    pub fn prepare(&mut self, prepared: &str) {
        prepared.clone_into(&mut self.prepared);
    }

    /// Executes an effect; an error if a worker could not be launched.
    pub fn execute(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Launch { worker, .. } => {
                self.crew.insert(worker, WorkerProcess::launch(worker, self.frames_in.clone())?);
            }
            Effect::Load { worker, place, first_slot } => {
                self.say(worker, Command::Load(Box::new(self.equipment.plan(place, first_slot))));
            }
            Effect::SetUp(worker) => self.say(worker, Command::SetUp { prepared: self.prepared.clone() }),
            Effect::Go { worker, phase, beginning } => {
                // The time comes from elsewhere, and need not make sense.
                let beginning = self.opened.saturating_add(beginning);
                self.say(worker, Command::Go { phase, beginning });
            }
            Effect::Lease(worker, numbers) => {
                self.say(worker, numbers.map_or(Command::NoMore, Command::Lease));
            }
            Effect::Stop(worker) => self.say(worker, Command::Stop),
            Effect::Cut(worker) => self.say(worker, Command::Cut),
            Effect::Dismiss(worker) => {
                if let Some(mut leaver) = self.crew.remove(&worker) {
                    leaver.close();
                    self.leaving.insert(worker, (leaver, Instant::now() + LAST_PATIENCE));
                }
            }
            Effect::Kill(worker) => {
                if let Some(worker) = self.crew.remove(&worker) {
                    worker.kill();
                }
            }
            // The machine has already put out an event for it.
            Effect::Noted(_) => {}
        }
        Ok(())
    }

    fn say(&self, worker: u32, command: Command) {
        if let Some(worker) = self.crew.get(&worker) {
            worker.tell(command);
        }
    }

    /// A worker's pipe is closed: its process has ended, or is killed now. Returns how it ended, for people; `None` if
    /// that does not matter, because the worker had done its part.
    pub fn on_end(&mut self, worker: u32) -> Option<String> {
        if let Some((leaver, _)) = self.leaving.remove(&worker) {
            leaver.kill();
            return None;
        }
        // A worker that is in neither list was killed.
        Some(self.crew.remove(&worker).map_or_else(|| "it was killed".to_owned(), WorkerProcess::kill))
    }

    /// How many workers there are that have not done their part.
    pub fn size(&self) -> u32 {
        self.crew.len() as u32
    }

    /// Tells all workers to start no more operations.
    pub fn stop_all(&self) {
        self.crew.values().for_each(|worker| worker.tell(Command::Stop));
    }

    /// Kills all workers that have not done their part, and returns them.
    pub fn kill_all(&mut self) -> Vec<u32> {
        let killed = std::mem::take(&mut self.crew).into_iter().map(|(worker, process)| {
            process.kill();
            worker
        });
        killed.collect()
    }

    /// Kills dismissed workers that did not end in time.
    pub fn end_late_leavers(&mut self) {
        let now = Instant::now();
        for (_, (leaver, _)) in self.leaving.extract_if(.., |_, (_, until)| *until <= now) {
            leaver.kill();
        }
    }

    /// Ends every worker: dismissed workers get their time to end, the others are killed.
    pub fn end_all(&mut self) {
        for (_, worker) in std::mem::take(&mut self.crew) {
            worker.kill();
        }
        while let Some(until) = self.leaving.values().map(|(_, until)| *until).min() {
            match self.frames.recv_deadline(until) {
                Ok((worker, FromWorker::Gone)) => {
                    if let Some((leaver, _)) = self.leaving.remove(&worker) {
                        leaver.kill();
                    }
                }
                Ok(_) => {}
                Err(_) => self.end_late_leavers(),
            }
        }
    }
}

/// Why a worker process could not be started, for people.
pub fn not_started(error: &io::Error) -> String {
    format!("it could not be started: {error}{}", remedy(error))
}
