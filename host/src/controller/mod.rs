//! One run, from the first worker's launch to the last one's end.
//!
//! Owns who runs what: it launches the workers, leases the numbers, adds up the deltas, replaces the dead. What goes on
//! meanwhile it says in [`RunEvent`]s to one observer; it never prints. Returns a [`RunRecord`], from which `report/`
//! derives every figure.

mod hook;

use std::collections::HashMap;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, Sender, unbounded};

use crate::clock::system_monotonic;
use crate::fault::{Fault, FaultKind};
use crate::metrics::Metrics;
use crate::numbers::{Ledger, NumberSet};
use crate::plan::RunPlan;
use crate::report::{RunRecord, Startup, TaskFacts, WorkerFacts};
use crate::task::{Compiled, Hook, Task};
use crate::transport::{Event, Worker, describe};
use crate::wire::{Command, Message, PROTOCOL, Usage, WorkerPlan};

/// Workers that are replaced in one run; a task that kills more than these is not going to stop.
const MAX_REPLACEMENTS: u32 = 3;

/// What happens while a run goes on.
#[derive(Debug)]
pub enum RunEvent<'a> {
    /// A guest printed this.
    Output(&'a [u8]),
    /// Something went wrong, and the run goes on.
    Fault(&'a Fault),
}

/// Who is told of a run's events.
pub type Observer<'a> = dyn FnMut(RunEvent<'_>) + 'a;

/// Why a run could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A worker process could not be started.
    #[error("cannot start a worker process: {0}; fewer processes or threads may help")]
    Launch(#[from] io::Error),
    /// A worker could not begin, and said why.
    #[error("{0}")]
    Refused(String),
    /// A worker died before the start.
    #[error("a worker process ended before the run began: {0}")]
    Died(String),
}

/// Runs `plan`.
pub fn run(
    task: &Task,
    compiled: &Compiled,
    plan: &RunPlan,
    observe: &mut Observer<'_>,
) -> Result<RunRecord, RunError> {
    let prepared = match task.has(Hook::Prepare) {
        true => hook::call(compiled, plan, Command::Prepare, observe)?,
        false => String::new(),
    };
    let mut run = Run::new(compiled, plan, &prepared, observe);
    let ran = run.work_through();
    // What `prepare` has made is removed whether or not the run could be run.
    if task.has(Hook::Cleanup)
        && let Err(error) = hook::call(compiled, plan, Command::Cleanup(prepared.clone()), run.observe)
    {
        run.fault(FaultKind::Cleanup, error.to_string(), &NumberSet::default());
    }
    ran?;
    Ok(run.record(task))
}

/// A run that goes on.
struct Run<'a, 'o> {
    compiled: &'a Compiled,
    plan: &'a RunPlan,
    prepared: &'a str,
    observe: &'a mut Observer<'o>,
    events_in: Sender<(u32, Event)>,
    events: Receiver<(u32, Event)>,
    crew: HashMap<u32, Member>,
    launched: u32,
    beginning: Option<Beginning>,
    ledger: Ledger,
    metrics: Metrics,
    startup: Startup,
    faults: Vec<Fault>,
    workers: Vec<WorkerFacts>,
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

#[derive(Clone, Copy)]
struct Beginning {
    monotonic: Duration,
    wall: SystemTime,
}

impl<'a, 'o> Run<'a, 'o> {
    fn new(compiled: &'a Compiled, plan: &'a RunPlan, prepared: &'a str, observe: &'a mut Observer<'o>) -> Self {
        let (events_in, events) = unbounded();
        Self {
            compiled,
            plan,
            prepared,
            observe,
            events_in,
            events,
            crew: HashMap::new(),
            launched: 0,
            beginning: None,
            ledger: Ledger::new(plan.numbers(), plan.shape.processes),
            metrics: Metrics::default(),
            startup: Startup { compile: compiled.took, cached: compiled.cached, ..Startup::default() },
            faults: Vec::new(),
            workers: Vec::new(),
        }
    }

    /// Runs until no worker is left.
    fn work_through(&mut self) -> Result<(), RunError> {
        for _ in 0..self.plan.shape.processes {
            self.launch()?;
        }
        while !self.crew.is_empty() {
            // Cannot fail: `self` holds a sender.
            let Ok((id, event)) = self.events.recv() else { break };
            let Some(member) = self.crew.get_mut(&id) else { continue };
            match event {
                Event::Message(message) => {
                    if let Message::Delta(delta) = &message {
                        member.operations += delta.metrics.completed();
                    }
                    self.hear(id, message)?;
                }
                Event::Gone => self.bury(id)?,
            }
        }
        let never_started = self.ledger.unleased();
        if never_started > 0 && self.plan.extent.duration().is_none() {
            let message = format!("{never_started} operations of the plan were never started: no worker was left");
            self.fault(FaultKind::NotStarted, message, &NumberSet::default());
        }
        Ok(())
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
                self.startup.load = self.startup.load.max(took);
                self.tell(id, &Command::SetUp { prepared: self.prepared.to_owned() });
            }
            Message::Ready { instantiate, setup } => {
                self.startup.instantiate = self.startup.instantiate.max(instantiate);
                self.startup.setup = self.startup.setup.max(setup);
                self.ready(id);
            }
            Message::Refused(reason) if self.beginning.is_none() => return Err(RunError::Refused(reason)),
            Message::Refused(reason) => {
                let message = format!("a replaced worker could not begin: {reason}");
                self.fault(FaultKind::WorkerDied, message, &NumberSet::default());
                self.dismiss(id, Usage::default());
            }
            Message::Need(wanted) => self.lease(id, wanted),
            Message::Delta(delta) => {
                let held = self.ledger.confirm(id, delta.numbers);
                assert!(held, "worker {id} ran numbers that it did not hold");
                self.metrics += &delta.metrics;
            }
            Message::Output(bytes) => (self.observe)(RunEvent::Output(&bytes)),
            Message::Fault(fault) => self.note(fault),
            Message::Done(usage) => {
                self.ledger.give_back(id);
                self.dismiss(id, usage);
            }
            Message::HookReturned(_) => {}
        }
        Ok(())
    }

    fn load(&mut self, id: u32) {
        let Some(member) = self.crew.get(&id) else { return };
        self.startup.spawn = self.startup.spawn.max(member.launched.elapsed());
        let first_thread = u64::from(id) * u64::from(self.plan.shape.threads);
        let plan =
            WorkerPlan { run: self.plan.clone(), first_thread, machine_code: self.compiled.machine_code.clone() };
        self.tell(id, &Command::Load(Box::new(plan)));
    }

    /// One worker is ready; the run begins when all are. One that replaces another begins at once.
    fn ready(&mut self, id: u32) {
        if let Some(member) = self.crew.get_mut(&id) {
            member.state = State::Ready;
        }
        let all_ready = self.crew.values().all(|member| member.state != State::Starting);
        if self.beginning.is_none() && !all_ready {
            return;
        }
        let beginning =
            *self.beginning.get_or_insert_with(|| Beginning { monotonic: system_monotonic(), wall: SystemTime::now() });
        let mut ready: Vec<_> =
            self.crew.iter().filter(|(_, member)| member.state == State::Ready).map(|(&id, _)| id).collect();
        ready.sort_unstable();
        for &id in &ready {
            self.lease(id, u64::from(self.plan.shape.threads));
        }
        for id in ready {
            self.tell(id, &Command::Go { beginning: beginning.monotonic });
            if let Some(member) = self.crew.get_mut(&id) {
                member.state = State::Running;
            }
        }
    }

    fn lease(&mut self, id: u32, wanted: u64) {
        let command = self.ledger.lease(id, wanted).map_or(Command::NoMore, Command::Lease);
        self.tell(id, &command);
    }

    fn tell(&mut self, id: u32, command: &Command) {
        if let Some(member) = self.crew.get_mut(&id) {
            member.worker.tell(command);
        }
    }

    /// A worker has done its part.
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
        if self.beginning.is_none() {
            return Err(RunError::Died(how));
        }
        let lost = self.ledger.lose(id);
        let replacements = self.launched - self.plan.shape.processes;
        let over =
            self.plan.extent.duration().zip(self.beginning).is_some_and(|(duration, beginning)| {
                system_monotonic().saturating_sub(beginning.monotonic) >= duration
            });
        let replace = replacements < MAX_REPLACEMENTS && self.ledger.unleased() > 0 && !over;
        let then = match replace {
            true => "another takes its place",
            false if replacements >= MAX_REPLACEMENTS => "no more are replaced in this run",
            false => "nothing was left for another to do",
        };
        let message =
            format!("worker process {process} died ({how}); {} operations that it held are lost; {then}", lost.len());
        self.fault(FaultKind::WorkerDied, message, &lost);
        if replace && let Err(error) = self.launch() {
            let message = format!("a worker could not be replaced: {error}");
            self.fault(FaultKind::WorkerDied, message, &NumberSet::default());
        }
        Ok(())
    }

    fn account(&mut self, member: &Member, usage: Usage) {
        let Usage { cpu_ns, peak_rss_bytes } = usage;
        self.workers.push(WorkerFacts {
            process: member.worker.process(),
            threads: self.plan.shape.threads,
            operations: member.operations,
            cpu_ns: (cpu_ns > 0).then_some(cpu_ns),
            peak_rss_bytes: (peak_rss_bytes > 0).then_some(peak_rss_bytes),
        });
    }

    fn fault(&mut self, kind: FaultKind, message: String, numbers: &NumberSet) {
        let numbers = numbers.iter().map(|range| (range.start, range.end - 1)).collect();
        self.note(Fault { kind, message, numbers });
    }

    fn note(&mut self, fault: Fault) {
        (self.observe)(RunEvent::Fault(&fault));
        self.faults.push(fault);
    }

    fn record(self, task: &Task) -> RunRecord {
        RunRecord {
            task: TaskFacts {
                path: self.compiled.path.display().to_string(),
                sha256: self.compiled.sha256.clone(),
                bytes: self.compiled.bytes,
                operation: self.plan.operation.clone(),
                lane: task.lane(),
            },
            plan: self.plan.clone(),
            started_at: self.beginning.map_or_else(SystemTime::now, |beginning| beginning.wall),
            startup: self.startup,
            metrics: self.metrics,
            lost: self.ledger.lost().len(),
            workers: self.workers,
            faults: self.faults,
        }
    }
}
