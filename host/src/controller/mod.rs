//! One run, from the first worker's launch to the last one's end.
//!
//! Owns who runs what: it launches the workers, leases the numbers, adds up the deltas, replaces the dead. What goes on
//! meanwhile it says in [`RunEvent`]s to one observer; it never prints. Returns a [`RunRecord`], from which `report/`
//! derives every figure.

mod books;
mod hook;

use std::collections::HashMap;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, select, tick, unbounded};

use crate::capability::resolve::{self, Addresses};
use crate::fault::{Fault, FaultKind, remedy};
use crate::metrics::Metrics;
use crate::numbers::NumberSet;
use crate::plan::RunPlan;
use crate::report::{RunRecord, Startup, TaskFacts, WorkerFacts};
use crate::task::{Compiled, Hook, Task};
use crate::transport::{Event, Worker, describe};
use crate::wire::{Command, Delta, Message, PROTOCOL, Usage, WorkerPlan};
use books::Beginning;
pub use books::Books;

/// Workers that are replaced in one run; a task that kills more than these is not going to stop.
const MAX_REPLACEMENTS: u32 = 3;

/// How often observers are told how far the run has come.
const TICK: Duration = Duration::from_millis(100);

/// How long operations in flight may take to end after a stop, before they are cut.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a worker may take to end after it was told to cut; one that has not ended by then, as its guests wait where
/// nothing reaches them, is killed.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// What happens while a run goes on.
pub enum RunEvent<'a> {
    /// Its first operation may start.
    Began(&'a RunPlan),
    /// Operations were counted.
    Counted(&'a Metrics),
    /// A guest printed this.
    Output(&'a [u8]),
    /// Something went wrong, and the run goes on.
    Fault(&'a Fault),
    /// A moment has passed.
    Tick {
        /// What is known by now.
        books: &'a Books<'a>,
        /// Workers that live.
        workers: usize,
    },
    /// It was asked to stop, and waits for the operations in flight.
    Stopping,
    /// It waits no longer: operations in flight are cut.
    Cutting,
    /// Its last worker has ended.
    Ended,
}

/// Who is told of a run's events.
pub type Observer<'a> = dyn FnMut(RunEvent<'_>) + 'a;

/// Why a run could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A worker process could not be started.
    #[error("cannot start a worker process: {0}{remedy}", remedy = remedy(.0))]
    Launch(io::Error),
    /// A worker could not begin, and said why.
    #[error("{0}")]
    Refused(String),
    /// A worker died before the start.
    #[error("a worker process ended before the run began: {0}")]
    Died(String),
    /// It was asked to stop.
    #[error("it was stopped")]
    Stopped,
}

// Not thiserror's, which would make it a source as well, to be printed a second time.
impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Launch(error)
    }
}

/// Runs `plan`. Each message on `stops` is a request to stop: the first lets the operations in flight end, the second
/// cuts them.
pub fn run(
    task: &Task,
    compiled: &Compiled,
    plan: &RunPlan,
    stops: &Receiver<()>,
    observe: &mut Observer<'_>,
) -> Result<RunRecord, RunError> {
    let facts = TaskFacts {
        path: compiled.path.display().to_string(),
        sha256: compiled.sha256.clone(),
        bytes: compiled.bytes,
        operation: plan.operation.clone(),
        lane: task.lane(),
    };
    let startup = Startup { compile: compiled.took, cached: compiled.cached, ..Startup::default() };
    let mut books = Books::open(facts, plan, startup);
    let prepared = match task.has(Hook::Prepare) {
        true => match hook::call(compiled, plan, Command::Prepare, stops, observe) {
            Err(RunError::Stopped) => {
                books.stopped = true;
                return Ok(books.record());
            }
            prepared => prepared?,
        },
        false => String::new(),
    };
    let mut run = Run::new(books, compiled, &prepared, stops, observe);
    let ran = run.work_through();
    // Where it could not be run, some may still be setting up what `cleanup` is to remove.
    run.crew.drain().for_each(|(_, member)| drop(member.worker.kill()));
    (run.observe)(RunEvent::Ended);
    // Requests that came too late for the run are not for the cleanup; they are for the runs that would follow.
    run.books.stopped |= stops.try_iter().count() > 0;
    // What `prepare` has made is removed whether or not the run could be run.
    if task.has(Hook::Cleanup)
        && let Err(error) = hook::call(compiled, plan, Command::Cleanup(prepared.clone()), stops, run.observe)
    {
        run.books.stopped |= matches!(error, RunError::Stopped);
        run.fault(FaultKind::Cleanup, format!("the task's `cleanup` was not done: {error}"), &NumberSet::default());
    }
    match ran {
        Err(RunError::Stopped) => run.books.stopped = true,
        ran => ran?,
    }
    Ok(run.books.record())
}

/// A run that goes on.
struct Run<'a, 'o> {
    books: Books<'a>,
    compiled: &'a Compiled,
    addresses: Addresses,
    prepared: &'a str,
    stops: &'a Receiver<()>,
    observe: &'a mut Observer<'o>,
    events_in: Sender<(u32, Event)>,
    events: Receiver<(u32, Event)>,
    crew: HashMap<u32, Member>,
    launched: u32,
    stop: Option<Stop>,
}

/// A stop that was asked for, and how far it has come.
#[derive(Clone, Copy)]
enum Stop {
    /// Operations in flight may end until then.
    Waiting(Instant),
    /// They were cut; workers may end until then.
    Cutting(Instant),
}

/// A worker process that has not ended.
struct Member {
    worker: Worker,
    launched: Instant,
    state: State,
    operations: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Running,
}

impl<'a, 'o> Run<'a, 'o> {
    fn new(
        books: Books<'a>,
        compiled: &'a Compiled,
        prepared: &'a str,
        stops: &'a Receiver<()>,
        observe: &'a mut Observer<'o>,
    ) -> Self {
        let (events_in, events) = unbounded();
        let crew = HashMap::new();
        let addresses = resolve::ask(books.plan.grants.network.names());
        Self { books, compiled, addresses, prepared, stops, observe, events_in, events, crew, launched: 0, stop: None }
    }

    /// Runs until no worker is left.
    fn work_through(&mut self) -> Result<(), RunError> {
        for _ in 0..self.books.plan.shape.processes {
            self.launch()?;
        }
        let ticks = tick(TICK);
        let stops = self.stops;
        while !self.crew.is_empty() {
            select! {
                recv(self.events) -> event => match event {
                    Ok((id, Event::Message(message))) if self.crew.contains_key(&id) => self.hear(id, message)?,
                    Ok((id, Event::Gone)) => self.bury(id)?,
                    // A last word of one that was dismissed.
                    _ => {}
                },
                recv(stops) -> _ => self.stop()?,
                recv(ticks) -> _ => self.tick()?,
            }
        }
        let elapsed = self.books.elapsed();
        let is_early = self.books.plan.extent.duration().is_none_or(|duration| elapsed < duration);
        let never_started = self.books.ledger.unleased();
        if never_started > 0 && is_early && self.stop.is_none() {
            let message = match (self.books.plan.extent.operations(), self.books.plan.extent.duration()) {
                (None, Some(duration)) => {
                    format!("the run ended after {elapsed:.1?} of its {duration:.1?}: no thread was left to go on")
                }
                _ => format!(
                    "{never_started} operations of the plan were never started: no thread was left to start them"
                ),
            };
            self.fault(FaultKind::NotStarted, message, &NumberSet::default());
        }
        Ok(())
    }

    /// A person, or whoever started us, wants an end.
    fn stop(&mut self) -> Result<(), RunError> {
        if self.books.beginning.is_none() {
            return Err(RunError::Stopped);
        }
        match self.stop {
            None => {
                self.books.stopped = true;
                self.stop = Some(Stop::Waiting(Instant::now() + PATIENCE));
                (self.observe)(RunEvent::Stopping);
                // One that has not begun, in place of one that died, never will.
                let idle = self.crew.iter().filter(|(_, member)| member.state != State::Running);
                let idle: Vec<u32> = idle.map(|(&id, _)| id).collect();
                idle.into_iter().for_each(|id| self.dismiss(id, Usage::default()));
                self.tell_all(&Command::Stop);
            }
            Some(Stop::Waiting(_)) => self.cut(),
            Some(Stop::Cutting(_)) => {}
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.stop = Some(Stop::Cutting(Instant::now() + LAST_PATIENCE));
        self.tell_all(&Command::Cut);
        (self.observe)(RunEvent::Cutting);
    }

    fn tick(&mut self) -> Result<(), RunError> {
        let now = Instant::now();
        match self.stop {
            Some(Stop::Waiting(until)) if now >= until => self.cut(),
            Some(Stop::Cutting(until)) if now >= until => {
                let deaf: Vec<u32> = self.crew.keys().copied().collect();
                deaf.into_iter().try_for_each(|id| self.bury(id))?;
            }
            _ => {}
        }
        (self.observe)(RunEvent::Tick { books: &self.books, workers: self.crew.len() });
        Ok(())
    }

    fn tell_all(&mut self, command: &Command) {
        self.crew.values_mut().for_each(|member| member.worker.tell(command));
    }

    fn launch(&mut self) -> io::Result<()> {
        let id = self.launched;
        self.launched += 1;
        let worker = Worker::launch(id, self.events_in.clone())?;
        self.crew.insert(id, Member { worker, launched: Instant::now(), state: State::Starting, operations: 0 });
        Ok(())
    }

    fn hear(&mut self, id: u32, message: Message) -> Result<(), RunError> {
        match message {
            Message::Hello { protocol } if protocol == PROTOCOL => self.load(id),
            Message::Hello { protocol } => {
                let reason = format!("a worker speaks protocol {protocol}, not {PROTOCOL}: run one version of gorgon");
                return Err(RunError::Refused(reason));
            }
            Message::Loaded { took } => {
                self.books.startup.load = self.books.startup.load.max(took);
                self.tell(id, &Command::SetUp { prepared: self.prepared.to_owned() });
            }
            Message::Ready { instantiate, setup } => {
                self.books.startup.instantiate = self.books.startup.instantiate.max(instantiate);
                self.books.startup.setup = self.books.startup.setup.max(setup);
                self.ready(id);
            }
            Message::Refused(reason) if self.books.beginning.is_none() => return Err(RunError::Refused(reason)),
            Message::Refused(reason) => {
                let message = format!("a replaced worker could not begin: {reason}");
                self.fault(FaultKind::WorkerDied, message, &NumberSet::default());
                self.dismiss(id, Usage::default());
            }
            Message::Need(wanted) => self.lease(id, wanted),
            Message::Delta(delta) => self.count(id, &delta),
            Message::Output(bytes) => (self.observe)(RunEvent::Output(&bytes)),
            Message::Fault(fault) => self.note(fault),
            Message::Done(usage) => {
                self.books.ledger.give_back(id);
                self.dismiss(id, usage);
            }
            Message::HookReturned(_) => {}
        }
        Ok(())
    }

    fn count(&mut self, id: u32, delta: &Delta) {
        if let Err(mistake) = self.books.count(id, delta) {
            self.fault(
                FaultKind::Miscounted,
                format!("{mistake}; this is a mistake of gorgon's"),
                &NumberSet::default(),
            );
        }
        if let Some(member) = self.crew.get_mut(&id) {
            member.operations += delta.metrics.completed();
        }
        (self.observe)(RunEvent::Counted(&delta.metrics));
    }

    fn load(&mut self, id: u32) {
        let Some(member) = self.crew.get(&id) else { return };
        self.books.startup.spawn = self.books.startup.spawn.max(member.launched.elapsed());
        let first_thread = u64::from(id) * u64::from(self.books.plan.shape.threads);
        let plan = WorkerPlan {
            run: self.books.plan.clone(),
            first_thread,
            machine_code: self.compiled.machine_code.clone(),
            addresses: self.addresses.clone(),
        };
        self.tell(id, &Command::Load(Box::new(plan)));
    }

    /// One worker is ready; the run begins when all are. One that replaces another begins at once.
    fn ready(&mut self, id: u32) {
        if let Some(member) = self.crew.get_mut(&id) {
            member.state = State::Ready;
        }
        let all_ready = self.crew.values().all(|member| member.state != State::Starting);
        if self.books.beginning.is_none() && !all_ready {
            return;
        }
        if self.books.beginning.is_none() {
            (self.observe)(RunEvent::Began(self.books.plan));
        }
        let beginning = *self.books.beginning.get_or_insert_with(Beginning::now);
        let mut ready: Vec<_> =
            self.crew.iter().filter(|(_, member)| member.state == State::Ready).map(|(&id, _)| id).collect();
        ready.sort_unstable();
        for &id in &ready {
            self.lease(id, u64::from(self.books.plan.shape.threads));
        }
        for id in ready {
            self.tell(id, &Command::Go { beginning: beginning.monotonic });
            if let Some(member) = self.crew.get_mut(&id) {
                member.state = State::Running;
            }
        }
    }

    fn lease(&mut self, id: u32, wanted: u64) {
        let command = self.books.ledger.lease(id, wanted).map_or(Command::NoMore, Command::Lease);
        self.tell(id, &command);
    }

    fn tell(&mut self, id: u32, command: &Command) {
        if let Some(member) = self.crew.get_mut(&id) {
            member.worker.tell(command);
        }
    }

    /// A worker has done its part, or has none.
    fn dismiss(&mut self, id: u32, usage: Usage) {
        if let Some(member) = self.crew.remove(&id) {
            self.account(&member, usage);
            // How it ends after its last word changes nothing.
            let _ = member.worker.end();
        }
    }

    /// A worker has died: what it held is lost, and another takes its place.
    fn bury(&mut self, id: u32) -> Result<(), RunError> {
        let Some(member) = self.crew.remove(&id) else { return Ok(()) };
        let process = member.worker.process();
        self.account(&member, Usage::default());
        let how = member.worker.kill().map_or_else(|error| error.to_string(), |status: ExitStatus| describe(status));
        if self.books.beginning.is_none() {
            return Err(RunError::Died(how));
        }
        let lost = self.books.ledger.lose(id);
        let replacements = self.launched - self.books.plan.shape.processes;
        let over = self.stop.is_some()
            || self.books.plan.extent.duration().is_some_and(|duration| self.books.elapsed() >= duration);
        let replace = replacements < MAX_REPLACEMENTS && self.books.ledger.unleased() > 0 && !over;
        let then = match replace {
            true => "another takes its place",
            false if over => "the run was ending",
            false if replacements >= MAX_REPLACEMENTS => "no more are replaced in this run",
            false => "nothing was left for another to do",
        };
        let message =
            format!("worker process {process} died ({how}); {} operations that it held are lost; {then}", lost.len());
        self.fault(FaultKind::WorkerDied, message, &lost);
        if replace && let Err(error) = self.launch() {
            let message = format!("a worker could not be replaced: {error}{}", remedy(&error));
            self.fault(FaultKind::WorkerDied, message, &NumberSet::default());
        }
        Ok(())
    }

    fn account(&mut self, member: &Member, usage: Usage) {
        let Usage { cpu_ns, peak_rss_bytes } = usage;
        self.books.workers.push(WorkerFacts {
            process: member.worker.process(),
            threads: self.books.plan.shape.threads,
            operations: member.operations,
            cpu_ns: (cpu_ns > 0).then_some(cpu_ns),
            peak_rss_bytes: (peak_rss_bytes > 0).then_some(peak_rss_bytes),
        });
    }

    fn fault(&mut self, kind: FaultKind, message: String, numbers: &NumberSet) {
        let numbers = numbers.iter().map(|range| (range.start, range.end - 1)).collect();
        self.note(Fault { kind, message, times: 1, numbers });
    }

    fn note(&mut self, fault: Fault) {
        if self.books.note(&fault) {
            (self.observe)(RunEvent::Fault(&fault));
        }
    }
}
