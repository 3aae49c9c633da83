//! The shell around the machine of a run: clocks, processes, pipes. The shell decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, Sender, bounded, select, tick};

use super::books::{Books, Effect, Failure};
use super::events::{self, Happened, Observer, RunEvent};
use super::job::Job;
use super::machine::{Input, LAST_PATIENCE, Machine, Output};
use super::{RunError, hook};
use crate::clock::{Clocks, STALL, system_monotonic};
use crate::fault::{Standstill, remedy};
use crate::hook::Hook;
use crate::journal::{Entry, What};
use crate::metrics::NetworkCounts;
use crate::record::RunRecord;
use crate::transport::{FromWorker, WorkerProcess};
use crate::wire::{Command, WorkerPlan};

/// How often the machine and the observers get a tick.
const TICK: Duration = Duration::from_millis(100);

/// How many frames may wait for the controller. Workers that send more wait in their pipes.
const FRAMES: usize = 16;

/// What the shell has waited for.
enum Wakeup {
    News(u32, FromWorker),
    Stop,
    Tick,
}

/// A run in progress.
pub(super) struct Shell<'a, 'o> {
    machine: Machine,
    job: &'a Job,
    /// What `prepare` returned.
    prepared: String,
    /// The system's monotonic clock when the run was opened.
    opened: Duration,
    stops: &'a Receiver<()>,
    observers: &'a mut [Observer<'o>],
    frames_in: Sender<(u32, FromWorker)>,
    frames: Receiver<(u32, FromWorker)>,
    crew: BTreeMap<u32, WorkerProcess>,
    /// Workers that have done their part, each with the time by which it has to end.
    leaving: BTreeMap<u32, (WorkerProcess, Instant)>,
    /// Why the last worker could not be launched.
    launch: Option<io::Error>,
}

impl<'a, 'o> Shell<'a, 'o> {
    pub(super) fn new(job: &'a Job, stops: &'a Receiver<()>, observers: &'a mut [Observer<'o>]) -> Self {
        let (frames_in, frames) = bounded(FRAMES);
        let machine = Machine::new(Books::open(job, SystemTime::now()), Duration::ZERO);
        let (crew, leaving) = (BTreeMap::new(), BTreeMap::new());
        let (opened, prepared) = (system_monotonic(), String::new());
        Self { machine, job, prepared, opened, stops, observers, frames_in, frames, crew, leaving, launch: None }
    }

    /// Calls a hook of the whole run, if the task exports it, and books the outcome. A stop during the hook stops the
    /// run.
    pub(super) fn call(&mut self, hook: Hook, command: Command) -> Result<Option<String>, RunError> {
        if !self.job.has(hook) {
            return Ok(None);
        }
        // A stop that came too late for the run must not stop the hook; it keeps the command from starting another run.
        if self.stops.try_iter().count() > 0 {
            self.feed(Input::Stop);
        }
        let mut refused = NetworkCounts::default();
        let (job, stops) = (self.job, self.stops);
        let returned = hook::call(job, command, &mut refused, stops, &mut |bytes| {
            self.tell_observers(Happened::Output(bytes));
        });
        let failed = returned.as_ref().err().map(ToString::to_string);
        let what = What::Hooked { hook, refused: Box::new(refused), failed };
        self.feed(Input::Recorded(Entry { at: self.now(), what }));
        if matches!(returned, Err(RunError::Stopped)) {
            self.feed(Input::Stop);
        }
        returned.map(Some)
    }

    /// Runs until no worker is left. `prepared` is the result of `prepare`.
    pub(super) fn work_through(&mut self, prepared: &str) -> Result<(), RunError> {
        prepared.clone_into(&mut self.prepared);
        let ticks = tick(TICK);
        let stops = self.stops;
        let mut clocks = Clocks::now();
        self.feed(Input::Tick);
        let ended = loop {
            if let Some(ended) = self.machine.ended() {
                break ended;
            }
            let since = Instant::now();
            let wakeup = select! {
                recv(self.frames) -> heard => match heard {
                    Ok((worker, news)) => Wakeup::News(worker, news),
                    Err(_) => unreachable!("this has a sender itself"),
                },
                recv(stops) -> _ => Wakeup::Stop,
                recv(ticks) -> _ => Wakeup::Tick,
            };
            // A tick is due within its interval, whatever else happens.
            if since.elapsed() >= TICK + STALL {
                self.feed(Input::Stalled { what: Standstill::Controller, length: since.elapsed() });
            }
            match wakeup {
                Wakeup::News(worker, FromWorker::Frame(frame, message)) => {
                    self.feed(Input::Heard { worker, frame, message });
                }
                Wakeup::News(worker, FromWorker::Gone) => self.on_end(worker),
                Wakeup::Stop => self.feed(Input::Stop),
                Wakeup::Tick => {
                    let (suspended, set) = clocks.moved();
                    let moved = [(Standstill::Machine, suspended), (Standstill::WallClock, set)];
                    for (what, length) in moved.into_iter().filter(|(_, length)| *length >= STALL) {
                        self.feed(Input::Stalled { what, length });
                    }
                    self.end_late_leavers();
                    self.feed(Input::Tick);
                }
            }
        };
        self.end_all();
        ended.map_err(|failure| match (failure, self.launch.take()) {
            (Failure::Died(_), Some(error)) => RunError::Launch(error),
            (Failure::Died(how), None) => RunError::Died(how),
            (Failure::Refused(reason), _) => RunError::Refused(reason),
            (Failure::Stopped, _) => RunError::Stopped,
        })
    }

    /// The record of the run, as it stands now.
    pub(super) fn record(&self) -> RunRecord {
        self.machine.books().record(self.now())
    }

    /// Tells the observers `what` happened.
    fn tell_observers(&mut self, what: Happened) {
        let event = RunEvent { at: self.now(), what };
        events::tell(self.observers, &event, self.machine.books());
    }

    fn now(&self) -> Duration {
        system_monotonic().saturating_sub(self.opened)
    }

    /// Gives the machine an input, and executes its outputs until there are no more. In a local run an entry has its
    /// place as soon as the machine puts it out.
    fn feed(&mut self, input: Input) {
        let mut outputs = VecDeque::from(self.machine.step(input, self.now()));
        while let Some(output) = outputs.pop_front() {
            match output {
                Output::Record(entry) => {
                    let now = self.now();
                    outputs.extend(self.machine.step(Input::Recorded(entry), now));
                }
                Output::Do(effect) => {
                    if let Some(gone) = self.execute(effect) {
                        let now = self.now();
                        outputs.extend(self.machine.step(gone, now));
                    }
                }
                Output::Event(event) => events::tell(self.observers, &event, self.machine.books()),
            }
        }
    }

    /// Executes an effect, and returns what the machine has to hear of at once.
    fn execute(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Launch(worker) => match WorkerProcess::launch(worker, self.frames_in.clone()) {
                Ok(launched) => {
                    self.crew.insert(worker, launched);
                }
                Err(error) => {
                    let how = format!("it could not be started: {error}{}", remedy(&error));
                    self.launch = Some(error);
                    return Some(Input::Gone { worker, how });
                }
            },
            Effect::Load { worker, place, first_slot } => {
                let plan = WorkerPlan {
                    phases: self.job.phases(),
                    place,
                    first_slot,
                    machine_code: self.job.machine_code.clone(),
                    addresses: self.job.addresses.clone(),
                    rows: self.job.rows.clone(),
                };
                self.say(worker, Command::Load(Box::new(plan)));
            }
            Effect::SetUp(worker) => self.say(worker, Command::SetUp { prepared: self.prepared.clone() }),
            Effect::Go { worker, phase, beginning } => {
                self.say(worker, Command::Go { phase, beginning: self.opened + beginning });
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
        None
    }

    fn say(&mut self, worker: u32, command: Command) {
        if let Some(worker) = self.crew.get(&worker) {
            worker.tell(command);
        }
    }

    /// A worker's pipe is closed: its process has ended, or is killed now.
    fn on_end(&mut self, worker: u32) {
        if let Some((leaver, _)) = self.leaving.remove(&worker) {
            // It had done its part, so how it ended does not matter.
            leaver.kill();
            return;
        }
        // A worker that is in neither list was killed.
        let how = self.crew.remove(&worker).map_or_else(|| "it was killed".to_owned(), WorkerProcess::kill);
        self.feed(Input::Gone { worker, how });
    }

    /// Kills dismissed workers that did not end in time.
    fn end_late_leavers(&mut self) {
        let now = Instant::now();
        let late: Vec<u32> =
            self.leaving.iter().filter(|(_, (_, until))| *until <= now).map(|(&worker, _)| worker).collect();
        for worker in late {
            if let Some((leaver, _)) = self.leaving.remove(&worker) {
                leaver.kill();
            }
        }
    }

    /// Ends every worker: dismissed workers get their time to end, the others are killed.
    fn end_all(&mut self) {
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
