//! The workers of one run: launched, told, heard, replaced, ended.

use std::collections::HashMap;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, select, tick, unbounded};

use super::books::{Beginning, shares};
use super::{Books, Observer, RunError, RunEvent};
use crate::capability::resolve::{self, Addresses};
use crate::fault::{Fault, FaultKind, remedy};
use crate::numbers::{Ledger, NumberSet, Shares};
use crate::pace::Slots;
use crate::plan::{LoadModel, Open, RunPlan};
use crate::report::{Warmup, WorkerRecord};
use crate::task::Compiled;
use crate::transport::{Event, Worker, describe};
use crate::wire::{Command, Delta, Message, PROTOCOL, Phase, Usage, WorkerPlan};

/// Workers that are replaced in one run; a task that kills more than these is not going to stop.
const MAX_REPLACEMENTS: u32 = 3;

/// How often observers are told how far the run has come.
const TICK: Duration = Duration::from_millis(100);

/// How long operations in flight may take to end after a stop, before they are cut.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// How long a worker may take to end after it was told to cut; one that has not ended by then, as its guests wait where
/// nothing reaches them, is killed.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// A schedule begins so long after its workers are told, that all of them have heard it by then.
const LEAD: Duration = Duration::from_millis(20);

/// A run that goes on.
pub(super) struct Run<'a, 'o> {
    pub(super) books: Books<'a>,
    pub(super) observe: &'a mut Observer<'o>,
    compiled: &'a Compiled,
    addresses: Addresses,
    prepared: &'a str,
    stops: &'a Receiver<()>,
    events_in: Sender<(u32, Event)>,
    events: Receiver<(u32, Event)>,
    crew: HashMap<u32, Member>,
    launched: u32,
    /// The warm-up that is to come, or that goes on.
    warming: Option<Warming>,
    stop: Option<Stop>,
}

/// The books of a warm-up: just enough to hand out its numbers.
struct Warming {
    plan: RunPlan,
    shares: Shares,
    begun: Option<Instant>,
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
    place: u32,
    launched: Instant,
    /// When it came into a run that was under way, from its beginning.
    joins: Option<Duration>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Running,
}

impl<'a, 'o> Run<'a, 'o> {
    pub(super) fn new(
        books: Books<'a>,
        compiled: &'a Compiled,
        prepared: &'a str,
        stops: &'a Receiver<()>,
        observe: &'a mut Observer<'o>,
    ) -> Self {
        let (events_in, events) = unbounded();
        let addresses = resolve::ask(books.plan.grants.network.names());
        let warming = books.plan.warming().map(|plan| Warming { shares: shares(&plan), plan, begun: None });
        let crew = HashMap::new();
        let (launched, stop) = (0, None);
        Self { books, observe, compiled, addresses, prepared, stops, events_in, events, crew, launched, warming, stop }
    }

    /// Runs until no worker is left.
    pub(super) fn work_through(&mut self) -> Result<(), RunError> {
        for place in 0..self.books.plan.shape.processes {
            self.launch(place, None)?;
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
        let extent = self.books.plan.extent;
        // The last slot of a schedule may well lie before its end, and a pause may reach beyond it.
        let idle = match &self.books.plan.load_model {
            LoadModel::Closed(closed) => closed.pause.most,
            LoadModel::Open(_) => Duration::MAX,
        };
        // Where the rate falls to nothing, numbers may be left that nobody was to start.
        let runs_dry = self.books.plan.load_model.open().is_some_and(Open::runs_dry);
        let is_early = extent.duration().is_none_or(|duration| elapsed.saturating_add(idle) < duration);
        let never_started = self.books.shares.sum(Ledger::unleased);
        if never_started > 0 && is_early && !runs_dry && self.stop.is_none() {
            let message = match (extent.operations(), extent.duration()) {
                (None, Some(duration)) => {
                    format!("the run ended after {elapsed:.1?} of its {duration:.1?}: no thread was left to go on")
                }
                _ => format!(
                    "{never_started} operations of the plan were never started: no thread was left to start them"
                ),
            };
            self.fault(FaultKind::NotStarted, message, Vec::new());
        }
        Ok(())
    }

    /// Ends every worker that has not ended, at once.
    pub(super) fn kill_all(&mut self) {
        self.crew.drain().for_each(|(_, member)| drop(member.worker.kill()));
    }

    /// A person, or whoever started us, wants an end.
    fn stop(&mut self) -> Result<(), RunError> {
        if self.books.beginning.is_none() {
            return Err(RunError::Stopped);
        }
        match self.stop {
            None => {
                self.books.stop();
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

    fn tell(&mut self, id: u32, command: &Command) {
        if let Some(member) = self.crew.get_mut(&id) {
            member.worker.tell(command);
        }
    }

    fn launch(&mut self, place: u32, joins: Option<Duration>) -> io::Result<()> {
        let id = self.launched;
        self.launched += 1;
        let worker = Worker::launch(id, self.events_in.clone())?;
        self.books.workers.insert(
            id,
            WorkerRecord {
                process: worker.process(),
                threads: self.books.plan.shape.threads,
                ..WorkerRecord::default()
            },
        );
        self.crew.insert(id, Member { worker, place, launched: Instant::now(), joins, state: State::Starting });
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
            Message::Warm => self.ready(id),
            Message::Refused(reason) if self.books.beginning.is_none() => return Err(RunError::Refused(reason)),
            Message::Refused(reason) => {
                let message = format!("a replaced worker could not begin: {reason}");
                self.fault(FaultKind::WorkerDied, message, Vec::new());
                self.dismiss(id, Usage::default());
            }
            Message::Need(wanted) => self.lease(id, wanted),
            Message::Delta(delta) => self.count(id, &delta),
            Message::Health(health) => {
                if let Some(record) = self.books.workers.get_mut(&id).filter(|_| self.books.beginning.is_some()) {
                    record.health.note(health);
                }
            }
            Message::Output(bytes) => (self.observe)(RunEvent::Output(&bytes)),
            Message::Fault(fault) => self.note(fault),
            Message::Done(usage) => {
                self.ledger_of(id).into_iter().for_each(|ledger| ledger.give_back(id));
                self.dismiss(id, usage);
            }
            Message::HookReturned(_) | Message::HookRefused(_) => {}
        }
        Ok(())
    }

    fn count(&mut self, id: u32, delta: &Delta) {
        let Some(member) = self.crew.get(&id) else { return };
        if let Some(warming) = &mut self.warming {
            let ledger = warming.shares.of(member.place);
            ledger.confirm(id, delta.numbers.iter().cloned());
            return;
        }
        if let Err(mistake) = self.books.count(id, member.place, delta) {
            let message = format!("{mistake}; this is a mistake of gorgon's");
            self.fault(FaultKind::Miscounted, message, Vec::new());
        }
        (self.observe)(RunEvent::Counted(&delta.metrics));
    }

    fn load(&mut self, id: u32) {
        let Some(member) = self.crew.get(&id) else { return };
        self.books.startup.spawn = self.books.startup.spawn.max(member.launched.elapsed());
        let plan = WorkerPlan {
            run: self.books.plan.clone(),
            place: member.place,
            joins: member.joins,
            machine_code: self.compiled.machine_code.clone(),
            addresses: self.addresses.clone(),
        };
        self.tell(id, &Command::Load(Box::new(plan)));
    }

    /// One worker waits for a start. A phase begins when all do; one that replaces another begins at once.
    fn ready(&mut self, id: u32) {
        if let Some(member) = self.crew.get_mut(&id) {
            member.state = State::Ready;
        }
        self.advance();
    }

    fn advance(&mut self) {
        if self.books.beginning.is_none() {
            if self.crew.values().any(|member| member.state != State::Ready) {
                return;
            }
            let lead = if self.books.plan.load_model.open().is_some() { LEAD } else { Duration::ZERO };
            match &mut self.warming {
                Some(warming) if warming.begun.is_none() => {
                    warming.begun = Some(Instant::now());
                    (self.observe)(RunEvent::WarmingUp(&warming.plan));
                    return self.go(Phase::Warmup, Beginning::after(lead).monotonic);
                }
                Some(warming) => {
                    let operations = warming.shares.sum(Ledger::confirmed);
                    self.books.warmup =
                        warming.begun.map(|begun| Warmup { operations, elapsed_ns: begun.elapsed().as_nanos() as u64 });
                    self.warming = None;
                }
                None => {}
            }
            (self.observe)(RunEvent::Began(self.books.plan));
            self.books.beginning = Some(Beginning::after(lead));
        }
        if let Some(beginning) = self.books.beginning {
            self.go(Phase::Run, beginning.monotonic);
        }
    }

    /// Lets those go that wait.
    fn go(&mut self, phase: Phase, beginning: Duration) {
        let waiting = self.crew.iter().filter(|(_, member)| member.state == State::Ready);
        let mut waiting: Vec<u32> = waiting.map(|(&id, _)| id).collect();
        waiting.sort_unstable();
        let is_open = self.books.plan.load_model.open().is_some();
        for &id in &waiting {
            self.tell(id, &Command::Go { phase, beginning });
            if let Some(member) = self.crew.get_mut(&id) {
                member.state = State::Running;
            }
            if is_open {
                self.ledger_of(id).into_iter().for_each(|ledger| ledger.lease_all(id));
            } else {
                self.lease(id, u64::from(self.books.plan.shape.threads));
            }
        }
    }

    /// The books on the numbers of worker `id`, in the phase that is now.
    fn ledger_of(&mut self, id: u32) -> Option<&mut Ledger> {
        let place = self.crew.get(&id)?.place;
        let shares = self.warming.as_mut().map_or(&mut self.books.shares, |warming| &mut warming.shares);
        Some(shares.of(place))
    }

    fn lease(&mut self, id: u32, wanted: u64) {
        let Some(ledger) = self.ledger_of(id) else { return };
        let command = ledger.lease(id, wanted).map_or(Command::NoMore, Command::Lease);
        self.tell(id, &command);
    }

    /// A worker has done its part, or has none.
    fn dismiss(&mut self, id: u32, usage: Usage) {
        if let Some(member) = self.crew.remove(&id) {
            self.account(id, usage);
            // How it ends after its last word changes nothing.
            let _ = member.worker.end();
        }
    }

    /// A worker has died: what it held is lost, and another takes its place.
    fn bury(&mut self, id: u32) -> Result<(), RunError> {
        let warming_up = self.warming.as_ref().is_some_and(|warming| warming.begun.is_some());
        let elapsed = self.books.elapsed();
        let lost = self.lose(id, elapsed);
        let Some(member) = self.crew.remove(&id) else { return Ok(()) };
        let (process, place) = (member.worker.process(), member.place);
        let how = member.worker.kill().map_or_else(|error| error.to_string(), |status: ExitStatus| describe(status));
        if self.books.beginning.is_none() && !warming_up {
            return Err(RunError::Died(how));
        }
        let replacements = self.launched - self.books.plan.shape.processes;
        let over = self.stop.is_some() || self.books.plan.extent.duration().is_some_and(|duration| elapsed >= duration);
        let left = self.books.shares.of(place).unleased();
        let replace = replacements < MAX_REPLACEMENTS && left > 0 && !over;
        let then = match replace {
            true => "another takes its place",
            false if over => "the run was ending",
            false if replacements >= MAX_REPLACEMENTS => "no more are replaced in this run",
            false => "nothing was left for another to do",
        };
        let when = if warming_up { " in the warm-up" } else { "" };
        let held = lost.len();
        let message =
            format!("worker process {process} died{when} ({how}); {held} operations that it held are lost; {then}");
        let numbers = self.numbers(place, &lost);
        self.fault(FaultKind::WorkerDied, message, numbers);
        let joins = self.books.beginning.map(|_| elapsed);
        if replace && let Err(error) = self.launch(place, joins) {
            let message = format!("a worker could not be replaced: {error}{}", remedy(&error));
            self.fault(FaultKind::WorkerDied, message, Vec::new());
        }
        self.advance();
        Ok(())
    }

    /// What dies with worker `id`: all that it held, or in an open run what of it was due by then.
    fn lose(&mut self, id: u32, elapsed: Duration) -> NumberSet {
        let Some(place) = self.crew.get(&id).map(|member| member.place) else { return NumberSet::default() };
        let plan = self.warming.as_ref().map_or(self.books.plan, |warming| &warming.plan);
        let until = match plan.load_model.open() {
            None => u64::MAX,
            Some(open) => {
                let until_ns = elapsed.min(self.books.stopped.unwrap_or(elapsed)).as_nanos();
                let due = Slots::new(plan, open, place).take_while(|slot| u128::from(slot.due_ns) <= until_ns);
                due.count() as u64
            }
        };
        self.ledger_of(id).map(|ledger| ledger.lose(id, until)).unwrap_or_default()
    }

    /// The numbers that the process at `place` knows as `indices`, as inclusive ranges.
    fn numbers(&self, place: u32, indices: &NumberSet) -> Vec<(u64, u64)> {
        let shares = self.warming.as_ref().map_or(&self.books.shares, |warming| &warming.shares);
        let numbers = indices.iter().flat_map(|range| match shares.are_dealt() {
            false => vec![range],
            true => range.map(|index| shares.number(place, index)).map(|number| number..number + 1).collect(),
        });
        NumberSet::from_iter(numbers).iter().map(|range| (range.start, range.end - 1)).collect()
    }

    fn account(&mut self, id: u32, usage: Usage) {
        if let Some(record) = self.books.workers.get_mut(&id) {
            record.cpu_ns = (usage.cpu_ns > 0).then_some(usage.cpu_ns);
            record.peak_rss_bytes = (usage.peak_rss_bytes > 0).then_some(usage.peak_rss_bytes);
        }
    }

    pub(super) fn fault(&mut self, kind: FaultKind, message: String, numbers: Vec<(u64, u64)>) {
        self.note(Fault { kind, message, times: 1, numbers });
    }

    fn note(&mut self, fault: Fault) {
        if self.books.note(&fault) {
            (self.observe)(RunEvent::Fault(&fault));
        }
    }
}
