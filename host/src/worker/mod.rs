//! A worker process: threads that run a task, and a main thread that passes on what they count.
//!
//! Owns the life of one worker, from the first frame to the last. Knows the controller only as frames on stdin and
//! stdout; the end of stdin ends it, so that no worker outlives its controller.

mod alarm;
mod feed;
mod lease;
mod schedule;
mod thread;

use std::io::{self, BufReader};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded, select, tick, unbounded};
use nix::sys::resource::{UsageWho, getrusage};

use crate::capability::network::{Network, take_counts};
use crate::capability::output::Output;
use crate::capability::run::{Data, Given};
use crate::clock::Clock;
use crate::fault::{Fault, FaultKind, remedy};
use crate::metrics::{Health, NetworkCounts};
use crate::plan::{LoadModel, RunPlan};
use crate::task::{self, Executor, Halt, Purpose, Surroundings, Task};
use crate::wire::{self, Command, Delta, Message, PROTOCOL, Phase, Usage, WorkerPlan};
use lease::Lease;
use schedule::Schedule;
use thread::{Start, Thread};

/// How often the controller hears of what was counted: often enough for a person who watches, and for little to be
/// lost with a worker.
const DELTA_INTERVAL: Duration = Duration::from_millis(100);

/// How often the controller hears how the worker is, in deltas.
const DELTAS_PER_LOOK: u32 = 10;

/// A guest call needs half a MiB of stack at most (wasmtime's own bound), the rest is the host's.
const STACK_SIZE: usize = 2 << 20;

/// What the worker's own threads tell its main thread.
enum Event {
    /// A thread has its instance.
    Ready { instantiate: Duration, setup: Option<Duration> },
    /// A thread could not make its instance before the start.
    Refused(String),
    /// What a thread has counted.
    Delta(Box<Delta>),
    /// The lease runs low.
    Need(u64),
    /// Something went wrong.
    Fault(Fault),
    /// A thread has done its part of a phase.
    Rests,
    /// A thread has ended.
    Ended,
}

/// A worker's part of one phase of the run.
struct Stint {
    phase: Phase,
    plan: RunPlan,
    source: Source,
}

/// Where the operations of a stint come from.
enum Source {
    /// The controller leases their numbers.
    Lease(Lease),
    /// They are dealt by their slots in the schedule.
    Schedule(Box<Schedule>),
}

impl Stint {
    fn new(phase: Phase, plan: RunPlan, worker: &WorkerPlan, events: &Sender<Event>) -> Self {
        let source = match &plan.load_model {
            LoadModel::Closed(_) => Source::Lease(Lease::new(plan.instances_per_process(), events.clone())),
            LoadModel::Open(open) => Source::Schedule(Box::new(Schedule::new(&plan, open, worker.place, worker.joins))),
        };
        Self { phase, plan, source }
    }

    /// What the controller's books know `number` as.
    #[inline]
    fn known_as(&self, number: u64) -> u64 {
        match &self.source {
            Source::Lease(_) => number,
            Source::Schedule(schedule) => schedule.index(number),
        }
    }
}

/// Runs a worker on this process's stdin and stdout, until the controller closes stdin.
pub fn run() -> io::Result<()> {
    // A panic is a bug of ours. What its thread had in hand must count as lost, not as never started, and only the end
    // of the whole process says so.
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
    wire::write(io::stdout(), &Message::Hello { protocol: PROTOCOL })?;
    let commands = listen()?;
    let Ok(Command::Load(plan)) = commands.recv() else { return Ok(()) };
    let refusal = match Worker::load(*plan) {
        Ok((worker, took)) => {
            wire::write(io::stdout(), &Message::Loaded { took })?;
            worker.obey(&commands)?
        }
        Err(reason) => Some(reason),
    };
    if let Some(reason) = refusal {
        wire::write(io::stdout(), &Message::Refused(reason))?;
    }
    Ok(())
}

/// What the controller says. When stdin ends it needs nothing more of this worker: it may have died, and a guest may be
/// in a call that never returns; so that ends the process, whatever it is doing.
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
    output: Output,
    printed: Receiver<Vec<u8>>,
}

impl Worker {
    fn load(plan: WorkerPlan) -> Result<(Self, Duration), String> {
        let begin = Instant::now();
        let engine = task::engine(Purpose::Multiply).map_err(|error| error.to_string())?;
        let task = Task::load(&engine, &plan.machine_code, &plan.run).map_err(|error| error.to_string())?;
        task::start_ticking(&engine, task::tick(plan.run.limits.timeout)).map_err(|error| error.to_string())?;
        let (lines, printed) = unbounded();
        let worker = Self { plan, task, clock: Clock::new(), output: Output::new(lines), printed };
        Ok((worker, begin.elapsed()))
    }

    /// Does what it is told until stdin ends; a reason where it cannot.
    fn obey(self, commands: &Receiver<Command>) -> io::Result<Option<String>> {
        let prepared = match commands.recv() {
            Ok(Command::Prepare) => return self.hook(commands, None),
            Ok(Command::Cleanup(prepared)) => return self.hook(commands, Some(prepared)),
            Ok(Command::SetUp { prepared }) => prepared,
            _ => return Ok(None),
        };
        match self.surroundings(prepared) {
            Ok(surroundings) => self.work(commands, &surroundings),
            Err(reason) => Ok(Some(reason)),
        }
    }

    fn surroundings(&self, prepared: String) -> Result<Surroundings, String> {
        let data = self.plan.run.data.as_deref().map(Data::read).transpose().map_err(|error| error.to_string())?;
        let given = Arc::new(Given { prepared, data: data.unwrap_or_default() });
        let run = &self.plan.run;
        let network = Network::new(run.grants.network.clone(), run.http.clone(), self.plan.addresses.clone());
        let halt = Halt::default();
        Ok(Surroundings { clock: self.clock.clone(), output: self.output.clone(), given, network, halt })
    }

    /// Calls `prepare`, or `cleanup` with what `prepare` returned, in an instance of its own.
    fn hook(self, commands: &Receiver<Command>, prepared: Option<String>) -> io::Result<Option<String>> {
        let called = self.surroundings(prepared.clone().unwrap_or_default()).and_then(|surroundings| {
            let executor = Executor::new(self.task.lane()).map_err(|error| error.to_string())?;
            let called = executor.run(async {
                let mut instance = self.task.instantiate_bare(&surroundings).await?;
                match prepared {
                    None => instance.prepare(&self.task).await,
                    Some(prepared) => instance.cleanup(&self.task, prepared).await.map(|()| String::new()),
                }
            });
            called.map_err(|error| error.to_string())
        });
        for line in self.printed.try_iter() {
            wire::write(io::stdout(), &Message::Output(line))?;
        }
        // What it sent and received is not the run's; what it was refused is for its user to know.
        let refused = NetworkCounts { refused: take_counts().refused, ..NetworkCounts::default() };
        if !refused.is_empty() {
            wire::write(io::stdout(), &Message::HookRefused(Box::new(refused)))?;
        }
        match called {
            Ok(returned) => {
                wire::write(io::stdout(), &Message::HookReturned(returned))?;
                // Until stdin ends, and the process with it.
                while commands.recv().is_ok() {}
                Ok(None)
            }
            Err(reason) => Ok(Some(reason)),
        }
    }

    /// Runs the threads from their instances to their ends.
    fn work(&self, commands: &Receiver<Command>, surroundings: &Surroundings) -> io::Result<Option<String>> {
        let (events_in, events) = unbounded();
        let warming = self.plan.run.warming().map(|plan| (Phase::Warmup, plan));
        let phases = warming.into_iter().chain([(Phase::Run, self.plan.run.clone())]);
        let stints: Vec<_> = phases.map(|(phase, plan)| Stint::new(phase, plan, &self.plan, &events_in)).collect();
        let threads = self.plan.run.shape.threads;
        // Without room for a message, a send is a meeting: nobody starts before the main thread says so.
        let (start, starts) = bounded(0);
        std::thread::scope(|scope| {
            for i in 0..threads {
                let thread = Thread {
                    task: &self.task,
                    run: &self.plan.run,
                    process: self.plan.place,
                    place: u64::from(i),
                    surroundings,
                    events: events_in.clone(),
                    starts: starts.clone(),
                };
                let spawned = std::thread::Builder::new()
                    .name(format!("thread {i}"))
                    .stack_size(STACK_SIZE)
                    .spawn_scoped(scope, move || thread.run());
                if let Err(error) = spawned {
                    return Ok(Some(format!("cannot start thread {i}: {error}{}", remedy(&error))));
                }
            }
            drop((events_in, starts));
            if let Some(reason) = self.await_instances(&events)? {
                return Ok(Some(reason));
            }
            loop {
                let (phase, beginning) = match commands.recv() {
                    Ok(Command::Go { phase, beginning }) => (phase, beginning),
                    // An answer that came too late for the phase before.
                    Ok(Command::Lease(_) | Command::NoMore) => continue,
                    // The threads wait for a start that will not come.
                    _ => std::process::exit(0),
                };
                let Some(stint) = stints.iter().find(|stint| stint.phase == phase) else { continue };
                let clock = self.clock.since(beginning);
                // For whoever looks at the list of processes.
                let _ = nix::sys::prctl::set_name(c"gorgon running");
                for _ in 0..threads {
                    // A thread that is gone has said why.
                    let _ = start.send(Start { stint, clock: clock.clone() });
                }
                self.supervise(stint, &clock, commands, &events, &surroundings.halt)?;
                if phase == Phase::Run {
                    break;
                }
                wire::write(io::stdout(), &Message::Warm)?;
            }
            drop(start);
            let mut ended = 0;
            while ended < threads {
                match events.recv() {
                    Ok(Event::Fault(fault)) => wire::write(io::stdout(), &Message::Fault(fault))?,
                    Ok(Event::Ended) => ended += 1,
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
            self.say_last()?;
            Ok(None)
        })
    }

    /// Waits until every thread has its instance; the reason, where one has none.
    fn await_instances(&self, events: &Receiver<Event>) -> io::Result<Option<String>> {
        let mut slowest = (Duration::ZERO, None);
        for _ in 0..self.plan.run.shape.threads {
            match events.recv() {
                Ok(Event::Ready { instantiate, setup }) => {
                    slowest = (slowest.0.max(instantiate), slowest.1.max(setup));
                }
                Ok(Event::Refused(reason)) => {
                    self.pass_on_output()?;
                    wire::write(io::stdout(), &Message::Refused(reason))?;
                    // The other threads still wait for a start that will not come.
                    std::process::exit(0);
                }
                _ => return Ok(Some("a thread ended before the start".into())),
            }
        }
        let (instantiate, setup) = slowest;
        wire::write(io::stdout(), &Message::Ready { instantiate, setup })?;
        Ok(None)
    }

    /// Passes on what the threads say, and to them what the controller says, until the last of them rests.
    fn supervise(
        &self,
        stint: &Stint,
        clock: &Clock,
        commands: &Receiver<Command>,
        events: &Receiver<Event>,
        halt: &Halt,
    ) -> io::Result<()> {
        let ticks = tick(DELTA_INTERVAL);
        let mut running = self.plan.run.shape.threads;
        let mut delta = Delta::default();
        let (mut deltas, mut worst_lag_ns) = (0, 0);
        while running > 0 {
            select! {
                recv(events) -> event => match event {
                    Ok(Event::Delta(part)) => {
                        worst_lag_ns = part.metrics.scheduled.lag.max().max(Some(worst_lag_ns)).unwrap_or_default();
                        delta += *part;
                    }
                    Ok(Event::Need(numbers)) => wire::write(io::stdout(), &Message::Need(numbers))?,
                    Ok(Event::Fault(fault)) => wire::write(io::stdout(), &Message::Fault(fault))?,
                    Ok(Event::Rests) => running -= 1,
                    Ok(Event::Ready { .. } | Event::Refused(_) | Event::Ended) => {}
                    Err(_) => break,
                },
                recv(commands) -> command => if let Ok(command) = command {
                    stint.obey(command, clock, halt);
                },
                recv(self.printed) -> line => if let Ok(line) = line {
                    wire::write(io::stdout(), &Message::Output(line))?;
                },
                recv(ticks) -> _ => {
                    stint.tell(&mut delta);
                    send_delta(&mut delta)?;
                    deltas += 1;
                    if deltas % DELTAS_PER_LOOK == 0 {
                        let health = look(clock.elapsed_ns(), std::mem::take(&mut worst_lag_ns));
                        wire::write(io::stdout(), &Message::Health(health))?;
                    }
                }
            }
        }
        if let Source::Schedule(schedule) = &stint.source {
            schedule.close(clock.elapsed_ns());
        }
        stint.tell(&mut delta);
        send_delta(&mut delta)?;
        wire::write(io::stdout(), &Message::Health(look(clock.elapsed_ns(), worst_lag_ns)))
    }

    fn say_last(&self) -> io::Result<()> {
        self.pass_on_output()?;
        if self.output.dropped() > 0 {
            let message =
                format!("the task printed too much: {} of it are not shown", bytesize::ByteSize(self.output.dropped()));
            let fault = Fault { kind: FaultKind::Output, message, times: 1, numbers: Vec::new() };
            wire::write(io::stdout(), &Message::Fault(fault))?;
        }
        wire::write(io::stdout(), &Message::Done(usage()))
    }

    fn pass_on_output(&self) -> io::Result<()> {
        self.printed.try_iter().try_for_each(|line| wire::write(io::stdout(), &Message::Output(line)))
    }
}

fn send_delta(delta: &mut Delta) -> io::Result<()> {
    if delta.is_empty() {
        return Ok(());
    }
    wire::write(io::stdout(), &Message::Delta(Box::new(std::mem::take(delta))))
}

impl Stint {
    /// Takes leases, and the stop, as they come.
    fn obey(&self, command: Command, clock: &Clock, halt: &Halt) {
        match (command, &self.source) {
            (Command::Lease(numbers), Source::Lease(lease)) => lease.add(numbers),
            (Command::NoMore, Source::Lease(lease)) => lease.close(),
            (Command::Stop, source) => {
                halt.stop();
                match source {
                    Source::Lease(lease) => lease.stop(),
                    Source::Schedule(schedule) => schedule.stop(clock.elapsed_ns()),
                }
            }
            (Command::Cut, _) => halt.cut(),
            _ => {}
        }
    }

    /// Adds what there is to tell of slots to `delta`.
    fn tell(&self, delta: &mut Delta) {
        if let Source::Schedule(schedule) = &self.source {
            *delta += schedule.tell();
        }
    }
}

/// How this process is.
fn look(at_ns: u64, worst_lag_ns: u64) -> Health {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    let rss_bytes = resident.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_default() * 1_024;
    Health { at_ns, cpu_ns: usage().cpu_ns, rss_bytes, worst_lag_ns }
}

fn usage() -> Usage {
    getrusage(UsageWho::RUSAGE_SELF).map_or_else(
        |_| Usage::default(),
        |usage| {
            let micros = |time: nix::sys::time::TimeVal| (time.tv_sec() * 1_000_000 + time.tv_usec()) as u64;
            Usage {
                cpu_ns: (micros(usage.user_time()) + micros(usage.system_time())) * 1_000,
                // Linux counts it in KiB.
                peak_rss_bytes: usage.max_rss() as u64 * 1_024,
            }
        },
    )
}
