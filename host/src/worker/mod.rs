//! A worker process: threads that run a task, and a main thread that passes on what they count.
//!
//! Owns the life of one worker, from the first frame to the last. Knows the controller only as frames on stdin and
//! stdout. The end of stdin ends the worker, so that no worker outlives its controller.

mod alarm;
mod feed;
mod health;
mod inbox;
mod lease;
mod room;
mod schedule;
mod thread;
mod traces;

use std::io::{self, BufReader, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, select, tick, unbounded};

use crate::capability::guest::Surroundings;
use crate::capability::network::Network;
use crate::capability::output::GuestOutput;
use crate::capability::run::Given;
use crate::clock::Clock;
use crate::fault::{Fault, remedy};
use crate::halt::Halt;
use crate::lane::{Executor, Reactor};
use crate::memory_watch;
use crate::metrics::{Measure, NetworkCounts};
use crate::pace::SlotIndex;
use crate::plan::{LoadModel, RunPlan};
use crate::rows::Rows;
use crate::system;
use crate::task::{self, Purpose, Task};
use crate::terminal;
use crate::timers::Timetable;
use crate::trace::TracedOperation;
use crate::wire::{self, Command, Delta, Message, PROTOCOL, TOO_MUCH_MEMORY, WorkerPlan};
use health::{Pulse, Watch, usage};
use inbox::{Arrival, Inbox};
use lease::Lease;
use room::{Need, Room};
use schedule::Schedule;
use thread::{Start, Thread};

/// How often the main thread looks around at the least.
const LOOK: Duration = Duration::from_millis(100);

/// How many looks there are between two messages about the worker's health: one second's.
const LOOKS_PER_HEALTH: u32 = 10;

/// A phase begins this long after the worker is told of it at the most: the round trip to a box is far shorter.
const MOST_LEAD: Duration = Duration::from_secs(10);

/// A guest call needs at most half a MiB of stack (wasmtime's bound); the host has the rest.
const STACK_SIZE: usize = 2 << 20;

/// What the worker's threads tell its main thread.
enum Event {
    /// A thread has made its instances.
    Ready { instantiate: Duration, setup: Option<Duration> },
    /// A thread could not make its instances before the start.
    Refused(String),
    /// A thread has counted operations.
    Delta(Box<Delta>),
    /// A thread has traced operations.
    Traced(Vec<TracedOperation>),
    /// The lease runs low and asks for this many numbers.
    Need(u64),
    /// Instances have waited for numbers for this long.
    Dry(Duration),
    /// Something went wrong.
    Fault(Fault),
    /// A thread has done its part of a phase.
    Rests,
    /// A thread has ended.
    Ended,
}

/// A worker's part of one phase of the run.
struct Stint {
    plan: RunPlan,
    source: NumberSource,
    /// Whether another phase follows.
    order: Order,
}

/// Where a phase stands in the order of the run's phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Another phase follows, with the same instances.
    Before,
    /// This is the last phase: instances are torn down after it.
    Last,
}

/// Where the operations of a stint come from.
enum NumberSource {
    /// The controller leases their numbers.
    Lease(Lease),
    /// The schedule deals their slots.
    Schedule(Box<Schedule>),
}

impl Stint {
    fn new(plan: RunPlan, order: Order, worker: &WorkerPlan, events: &Sender<Event>) -> Self {
        // A worker that takes the place of another takes part in the last phase only.
        let first_slot = if order == Order::Last { worker.first_slot } else { SlotIndex(0) };
        let source = match plan.load_model() {
            LoadModel::Closed(_) => {
                let lasting = worker.contact.lease;
                NumberSource::Lease(Lease::new(plan.instances_per_process(), lasting, events.clone()))
            }
            LoadModel::Open(open) => {
                let leased = worker.contact.ahead.map_or(SlotIndex(u64::MAX), |_| first_slot);
                NumberSource::Schedule(Box::new(Schedule::new(&plan, open, worker.place, first_slot, leased)))
            }
        };
        Self { plan, source, order }
    }

    /// The number or slot index by which the controller's books know `number`.
    #[inline]
    fn known_as(&self, number: u64) -> u64 {
        match &self.source {
            NumberSource::Lease(_) => number,
            NumberSource::Schedule(schedule) => schedule.index(number).0,
        }
    }
}

/// Runs a worker on this process's stdin and stdout, until the controller closes stdin.
pub fn run() -> io::Result<()> {
    // A panic is a bug in gorgon. The operations that its thread had started must count as lost, not as never started,
    // and only the end of the whole process says so.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    say(&Message::Hello { protocol: PROTOCOL, process: std::process::id() });
    let commands = listen()?;
    let Ok(Command::Load(plan)) = commands.recv() else { return Ok(()) };
    let worker = Worker::load(*plan).unwrap_or_else(|reason| refuse(reason));
    worker.obey(&commands);
    Ok(())
}

/// Says why this worker cannot go on, and ends the process with all its threads.
fn refuse(reason: String) -> ! {
    say(&Message::Refused(reason));
    std::process::exit(0);
}

/// Sends `message` to the controller. If that fails, the worker ends at once with all its threads, so that the
/// controller sees it gone and does not wait for it.
fn say(message: &Message) {
    if let Err(error) = wire::write(io::stdout(), message) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            let _ = writeln!(terminal::stderr(), "gorgon: a worker process cannot go on: {error}");
        }
        std::process::exit(1);
    }
}

/// Starts the thread that hears the controller's commands. The end of stdin means that the controller has died or needs
/// this worker no more. It ends the process at once, because a guest may be in a call that never returns.
fn listen() -> io::Result<Receiver<Command>> {
    let (heard, commands) = unbounded();
    std::thread::Builder::new().name("commands".into()).spawn(move || {
        let mut stdin = BufReader::new(io::stdin());
        while let Ok(Some(command)) = wire::read(&mut stdin) {
            if heard.send(command).is_err() {
                break;
            }
        }
        std::process::exit(0);
    })?;
    Ok(commands)
}

/// A worker that has loaded its task.
struct Worker {
    plan: WorkerPlan,
    task: Task,
    clock: Clock,
    output: GuestOutput,
    printed: Receiver<Vec<u8>>,
}

/// Does `work` on another thread, while this one keeps sending the controller this worker's health.
fn meanwhile<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    let (done, result) = bounded(1);
    let looks = tick(LOOK * LOOKS_PER_HEALTH);
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("preparing".into()).stack_size(STACK_SIZE);
        let spawned = worker.spawn_scoped(scope, move || done.send(work()));
        spawned.map_err(|error| format!("cannot start a thread: {error}{}", remedy(&error)))?;
        loop {
            select! {
                // `work` cannot have panicked: that would have ended the process.
                recv(result) -> result => return result.map_err(|_| "a thread ended too early".to_owned()),
                recv(looks) -> _ => say(&Message::Health(Watch::default().look(0, 0))),
            }
        }
    })
}

impl Worker {
    fn load(plan: WorkerPlan) -> Result<Self, String> {
        let begin = Instant::now();
        if let Some(most) = plan.run().limits().max_worker_memory {
            let end = |_| std::process::exit(TOO_MUCH_MEMORY);
            memory_watch::start(most, end)
                .map_err(|error| format!("cannot start a thread: {error}{}", remedy(&error)))?;
        }
        let purpose = Purpose::of(plan.run());
        let engine = task::engine(purpose).map_err(|error| error.to_string())?;
        let load = || Task::load(&engine, &plan.machine_code, plan.run());
        let task = meanwhile(load)?.map_err(|error| error.to_string())?;
        if let Some(why) = Need::of(&task, &plan, purpose).exceeds(&Room::here()) {
            return Err(why);
        }
        task::start_ticking(&engine, task::tick(plan.run().limits().timeout)).map_err(|error| error.to_string())?;
        let (lines, printed) = unbounded();
        let worker = Self { plan, task, clock: Clock::new(), output: GuestOutput::new(lines), printed };
        say(&Message::Loaded { took: begin.elapsed() });
        Ok(worker)
    }

    /// Obeys the controller until stdin ends.
    fn obey(self, commands: &Receiver<Command>) {
        match commands.recv() {
            Ok(Command::Prepare) => self.hook(commands, None),
            Ok(Command::Cleanup(prepared)) => self.hook(commands, Some(prepared)),
            Ok(Command::SetUp { prepared }) => {
                let surroundings = meanwhile(|| self.surroundings(prepared)).and_then(|surroundings| surroundings);
                self.work(commands, &surroundings.unwrap_or_else(|reason| refuse(reason)));
            }
            _ => {}
        }
    }

    fn surroundings(&self, prepared: String) -> Result<Surroundings, String> {
        let run = self.plan.run();
        let found = self.plan.rows.clone().map(Rows::found).transpose();
        let data = found.map_err(|error| format!("cannot read the data file: {error}{}", remedy(&error)))?;
        let given = Arc::new(Given { prepared, data: data.unwrap_or_default() });
        let network = Network::new(run.grants().network.clone(), run.http().clone(), self.plan.addresses.clone());
        let halt = Halt::default();
        let (clock, reactor) = (self.clock.clone(), Reactor::new(self.clock.clone()));
        let timetable = Timetable::new(self.clock.clone());
        Ok(Surroundings { clock, output: self.output.clone(), given, network, halt, reactor, timetable })
    }

    /// Calls `prepare`, or `cleanup` with what `prepare` returned, in a fresh instance.
    fn hook(self, commands: &Receiver<Command>, prepared: Option<String>) {
        let surroundings = self.surroundings(prepared.clone().unwrap_or_default());
        let surroundings = surroundings.unwrap_or_else(|reason| refuse(reason));
        let called = Executor::new(self.task.lane()).map_err(|error| error.to_string()).and_then(|executor| {
            let called = executor.run(async {
                let mut instance = self.task.instantiate_bare(&surroundings).await?;
                match prepared {
                    None => instance.prepare().await,
                    Some(prepared) => instance.cleanup(prepared).await.map(|()| String::new()),
                }
            });
            called.map_err(|error| error.to_string())
        });
        for line in self.printed.try_iter() {
            say(&Message::Output(line));
        }
        // What a hook sent and received does not belong to the run. The user has to know what it was refused.
        let refused = NetworkCounts { refused: surroundings.network.take_counts().refused, ..NetworkCounts::default() };
        if !refused.is_empty() {
            say(&Message::HookRefused(Box::new(refused)));
        }
        say(&Message::HookReturned(called.unwrap_or_else(|reason| refuse(reason))));
        // Wait for the end of stdin, which ends the process.
        while commands.recv().is_ok() {}
    }

    /// Runs the threads, from making their instances to their ends.
    fn work(&self, commands: &Receiver<Command>, surroundings: &Surroundings) {
        let (events_in, events) = unbounded();
        let last = self.plan.phases.len() - 1;
        let phases = self.plan.phases.iter().enumerate().map(|(i, (_, plan))| {
            let order = if i == last { Order::Last } else { Order::Before };
            Stint::new(plan.clone(), order, &self.plan, &events_in)
        });
        let stints: Vec<_> = phases.collect();
        let shape = self.plan.run().shape();
        let threads = shape.threads;
        let all_threads = u64::from(shape.workers()) * u64::from(threads);
        // The channel has no buffer: a thread takes the start only while the main thread sends it.
        let (start, starts) = bounded(0);
        let pulses: Vec<_> = (0..threads).map(|_| Arc::new(Pulse::default())).collect();
        let mut inbox = Inbox::new(commands, events, &self.printed, Watch::new(pulses.clone(), all_threads));
        std::thread::scope(|scope| {
            for (i, pulse) in pulses.into_iter().enumerate() {
                let thread = Thread {
                    task: &self.task,
                    run: self.plan.run(),
                    process: self.plan.place,
                    place: i as u64,
                    pulse,
                    surroundings: surroundings.for_another_thread(),
                    events: events_in.clone(),
                    starts: starts.clone(),
                };
                let spawned = std::thread::Builder::new()
                    .name(format!("thread {i}"))
                    .stack_size(STACK_SIZE)
                    .spawn_scoped(scope, move || thread.run());
                if let Err(error) = spawned {
                    refuse(format!("cannot start thread {i}: {error}{}", remedy(&error)));
                }
            }
            drop((events_in, starts));
            self.await_instances(&mut inbox);
            loop {
                // Any other command is an answer that came too late for the previous phase.
                let Arrival::Command(Command::Go { phase, beginning }) = inbox.next() else { continue };
                let Some(stint) = stints.get(phase as usize) else { continue };
                let clock = self.clock.since(beginning);
                system::name_thread(c"gorgon running");
                if let NumberSource::Lease(_) = stint.source {
                    // In an open run each thread waits for its first slot. No command comes before the beginning,
                    // except for numbers and a stop, which can wait until then.
                    std::thread::sleep(Duration::from_nanos(clock.left_ns(0)).min(MOST_LEAD));
                }
                for _ in 0..threads {
                    // If a thread is gone, the send fails, and the thread has said why.
                    let _ = start.send(Start { stint, clock: clock.clone() });
                }
                say(&Message::Began { late: Duration::from_nanos(clock.elapsed_ns()) });
                inbox.begin(clock.clone());
                let left = self.supervise(stint, &clock, &mut inbox, &surroundings.halt);
                say(&Message::Rested);
                if stint.order == Order::Last {
                    self.see_off(left, &mut inbox, &surroundings.halt);
                    return;
                }
            }
        });
    }

    /// Waits until every thread has its instances.
    fn await_instances(&self, inbox: &mut Inbox<'_>) {
        let mut slowest = (Duration::ZERO, None);
        let mut ready = 0;
        while ready < self.plan.run().shape().threads {
            match inbox.next() {
                Arrival::Event(Event::Ready { instantiate, setup }) => {
                    slowest = (slowest.0.max(instantiate), slowest.1.max(setup));
                    ready += 1;
                }
                Arrival::Event(Event::Refused(reason)) => {
                    self.pass_on_output();
                    refuse(reason);
                }
                _ => {}
            }
        }
        let (instantiate, setup) = slowest;
        say(&Message::Ready { instantiate, setup });
    }

    /// Passes messages between the threads and the controller until the last thread has done its part of the phase.
    /// Returns how many threads have not ended by then.
    fn supervise(&self, stint: &Stint, clock: &Clock, inbox: &mut Inbox<'_>, halt: &Halt) -> u32 {
        let threads = stint.plan.shape().threads;
        let (mut running, mut left) = (threads, threads);
        let mut delta = Delta::default();
        let mut told = Instant::now();
        while running > 0 {
            match inbox.next() {
                Arrival::Event(Event::Delta(part)) => {
                    let worst_lag_ns = part.metrics.measured(Measure::Lag).max().unwrap_or_default();
                    inbox.worst_lag_ns = inbox.worst_lag_ns.max(worst_lag_ns);
                    delta += *part;
                }
                Arrival::Event(Event::Traced(traced)) => say(&Message::Traced(traced)),
                Arrival::Event(Event::Need(numbers)) => say(&Message::Need(numbers)),
                Arrival::Event(Event::Fault(fault)) => say(&Message::Fault(fault)),
                Arrival::Event(Event::Rests) => running -= 1,
                // The thread's teardown is over while other threads still operate.
                Arrival::Event(Event::Ended) => left -= 1,
                Arrival::Event(Event::Ready { .. } | Event::Refused(_) | Event::Dry(_)) => {}
                Arrival::Command(command) => stint.obey(command, clock, halt),
                Arrival::Interval => {
                    stint.tell(&mut delta);
                    if told.elapsed() + LOOK / 2 >= self.plan.contact.interval {
                        told = Instant::now();
                        send_delta(&mut delta);
                    }
                    if let NumberSource::Schedule(schedule) = &stint.source {
                        inbox.tell_dry(Duration::from_nanos(schedule.take_dry_ns()));
                    }
                }
            }
        }
        if let NumberSource::Schedule(schedule) = &stint.source {
            schedule.close(clock.elapsed_ns());
        }
        stint.tell(&mut delta);
        send_delta(&mut delta);
        inbox.tell_health();
        left
    }

    /// Waits until the `left` threads that are still alive have torn down their instances and ended; then sends the
    /// last message.
    fn see_off(&self, mut left: u32, inbox: &mut Inbox<'_>, halt: &Halt) {
        while left > 0 {
            match inbox.next() {
                Arrival::Event(Event::Delta(mut delta)) => send_delta(&mut delta),
                Arrival::Event(Event::Traced(traced)) => say(&Message::Traced(traced)),
                Arrival::Event(Event::Fault(fault)) => say(&Message::Fault(fault)),
                Arrival::Event(Event::Ended) => left -= 1,
                Arrival::Command(Command::Cut) => halt.cut(),
                Arrival::Event(_) | Arrival::Command(_) | Arrival::Interval => {}
            }
        }
        // Faults and counts that arrived with the last `Ended`.
        for event in inbox.events.try_iter() {
            match event {
                Event::Delta(mut delta) => send_delta(&mut delta),
                Event::Traced(traced) => say(&Message::Traced(traced)),
                Event::Fault(fault) => say(&Message::Fault(fault)),
                _ => {}
            }
        }
        self.pass_on_output();
        if self.output.dropped() > 0 {
            say(&Message::Fault(Fault::output(self.output.dropped())));
        }
        say(&Message::Done(usage()));
    }

    fn pass_on_output(&self) {
        self.printed.try_iter().for_each(|line| say(&Message::Output(line)));
    }
}

fn send_delta(delta: &mut Delta) {
    if !delta.is_empty() {
        say(&Message::Delta(Box::new(std::mem::take(delta))));
    }
}

impl Stint {
    /// Executes a command of the controller.
    fn obey(&self, command: Command, clock: &Clock, halt: &Halt) {
        match (command, &self.source) {
            (Command::Lease(numbers), NumberSource::Lease(lease)) => lease.add(numbers),
            (Command::NoMore, NumberSource::Lease(lease)) => lease.close(),
            (Command::Lease(slots), NumberSource::Schedule(schedule)) => {
                schedule.lease(SlotIndex(slots.end), clock.elapsed_ns());
            }
            (Command::NoMore, NumberSource::Schedule(schedule)) => {
                schedule.lease(SlotIndex(u64::MAX), clock.elapsed_ns());
            }
            (Command::Stop, source) => {
                halt.stop();
                match source {
                    NumberSource::Lease(lease) => lease.stop(),
                    NumberSource::Schedule(schedule) => schedule.stop(clock.elapsed_ns()),
                }
            }
            (Command::Cut, _) => halt.cut(),
            _ => {}
        }
    }

    /// Adds to `delta` what became of slots.
    fn tell(&self, delta: &mut Delta) {
        if let NumberSource::Schedule(schedule) = &self.source {
            *delta += schedule.tell();
        }
    }
}
