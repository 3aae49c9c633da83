//! The shell around the machine of a run: clocks, and the way to the workers. The shell decides nothing.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{Receiver, select, tick};

use super::RunError;
use super::books::{Books, Effect, Failure};
use super::events::{self, Happened, Observer, RunEvent};
use super::job::Job;
use super::machine::{Input, Machine, Output};
use crate::clock::{Clocks, STALL, system_monotonic};
use crate::fault::Standstill;
use crate::hook::Hook;
use crate::journal::{Entry, What, Writer};
use crate::metrics::NetworkCounts;
use crate::record::RunRecord;
use crate::wire::Command;

/// How often the machine and the observers get a tick.
const TICK: Duration = Duration::from_millis(100);

/// How long an entry about a hook may take to find its place. Without it the run goes on.
const COMING_BACK: Duration = Duration::from_secs(5);

/// How workers are reached, and where entries get their places.
pub(super) trait Reach {
    /// Something that happened out there.
    type News;

    /// What happened out there, in its order.
    fn news(&self) -> &Receiver<Self::News>;

    /// What the machine has to hear of because of `news`.
    fn understand(&mut self, news: Self::News) -> Vec<Input>;

    /// A run is opened with these books.
    fn open(&mut self, books: &Books);

    /// Gives an entry its place in the order of entries. Returns it if it has its place at once; otherwise it comes
    /// back as news.
    fn record(&mut self, entry: Entry) -> Option<Entry>;

    /// Executes an effect, and returns what the machine has to hear of at once.
    fn execute(&mut self, effect: Effect) -> Option<Input>;

    /// Calls the hook that `command` names, and returns what the hook returned. Destinations that the hook was refused
    /// are added to `refused`; `print` gets what the hook prints.
    fn call(
        &mut self,
        command: Command,
        refused: &mut NetworkCounts,
        stops: &Receiver<()>,
        print: &mut dyn FnMut(Vec<u8>),
    ) -> Result<String, RunError>;

    /// Gets ready for workers. They are given what `prepare` returned.
    fn prepare(&mut self, prepared: &str) -> Result<(), RunError>;

    /// Some time has passed. Returns what the machine has to hear of.
    fn tick(&mut self) -> Option<Input>;

    /// Everything that was understood so far has been booked.
    fn booked(&mut self, books: &Books);

    /// Why entries find no place any more.
    fn trouble(&mut self) -> Option<RunError>;

    /// Why the last worker could not be launched.
    fn take_launch_error(&mut self) -> Option<io::Error>;

    /// No worker is needed any more: ends all that are left.
    fn end(&mut self);

    /// The run is over, with its hooks, at the time `at` after it was opened; or it is `broken`, for this reason.
    fn close(&mut self, machine: Machine, at: Duration, broken: Option<String>);
}

/// What the shell has waited for.
enum Wakeup<N> {
    News(N),
    Stop,
    Tick,
}

/// A run in progress.
pub(super) struct Shell<'a, 'o, R> {
    machine: Machine,
    job: &'a Job,
    reach: R,
    /// The system's monotonic clock when the run was opened.
    opened: Duration,
    stops: &'a Receiver<()>,
    observers: &'a mut [Observer<'o>],
}

impl<'a, 'o, R: Reach> Shell<'a, 'o, R> {
    /// A run that is opened now; `reach` gets the system's monotonic clock.
    pub(super) fn new(
        job: &'a Job,
        reach: impl FnOnce(Duration) -> Result<R, RunError>,
        stops: &'a Receiver<()>,
        observers: &'a mut [Observer<'o>],
    ) -> Result<Self, RunError> {
        let machine = Machine::new(Books::open(job, SystemTime::now()), Duration::ZERO);
        let opened = system_monotonic();
        let mut reach = reach(opened)?;
        reach.open(machine.books());
        Ok(Self { machine, job, reach, opened, stops, observers })
    }

    /// A run that another controller has opened, when the system's monotonic clock showed `opened`.
    pub(super) fn resume(
        job: &'a Job,
        machine: Machine,
        opened: Duration,
        reach: R,
        stops: &'a Receiver<()>,
        observers: &'a mut [Observer<'o>],
    ) -> Self {
        Self { machine, job, reach, opened, stops, observers }
    }

    /// Calls a hook of the whole run, if the task exports it, and books the outcome, unless that has been done. A stop
    /// during the hook stops the run.
    pub(super) fn call(&mut self, hook: Hook, command: Command) -> Result<Option<String>, RunError> {
        if !self.job.has(hook) {
            return Ok(None);
        }
        if let Some(returned) = self.machine.books().hooked(hook) {
            return returned.clone().map(Some).map_err(RunError::Refused);
        }
        // A stop that came too late for the run must not stop the hook; it keeps the command from starting another run.
        if self.stops.try_iter().count() > 0 {
            self.feed(Input::Stop);
        }
        let mut refused = NetworkCounts::default();
        let Self { machine, reach, opened, stops, observers, .. } = self;
        let mut tell = |what| {
            let event = RunEvent { at: since(*opened), what };
            events::tell(observers, &event, machine.books());
        };
        tell(Happened::HookBegan(hook));
        let returned = reach.call(command, &mut refused, stops, &mut |bytes| tell(Happened::Output(bytes)));
        tell(Happened::HookEnded);
        if matches!(returned, Err(RunError::Fenced(_))) {
            return returned.map(Some);
        }
        let booked = returned.as_ref().map(Clone::clone).map_err(ToString::to_string);
        self.record_now(What::Hooked { hook, refused: Box::new(refused), returned: booked });
        if matches!(returned, Err(RunError::Stopped)) {
            self.feed(Input::Stop);
        }
        returned.map(Some)
    }

    /// Runs until no worker is left. `prepared` is the result of `prepare`.
    pub(super) fn work_through(&mut self, prepared: &str) -> Result<(), RunError> {
        self.reach.prepare(prepared)?;
        let ticks = tick(TICK);
        let stops = self.stops;
        let mut clocks = Clocks::now();
        self.feed(Input::Tick);
        let ended = loop {
            if let Some(ended) = self.machine.ended() {
                break ended;
            }
            if let Some(trouble) = self.reach.trouble() {
                self.reach.end();
                self.machine.abandon();
                return Err(trouble);
            }
            let since = Instant::now();
            let wakeup = select! {
                recv(self.reach.news()) -> news => match news {
                    Ok(news) => Wakeup::News(news),
                    Err(_) => unreachable!("`reach` has a sender itself"),
                },
                recv(stops) -> _ => Wakeup::Stop,
                recv(ticks) -> _ => Wakeup::Tick,
            };
            // A tick is due within its interval, whatever else happens.
            if since.elapsed() >= TICK + STALL {
                self.feed(Input::Stalled { what: Standstill::Controller, length: since.elapsed() });
            }
            match wakeup {
                Wakeup::News(news) => {
                    for input in self.reach.understand(news) {
                        self.feed(input);
                    }
                    self.reach.booked(self.machine.books());
                }
                Wakeup::Stop => self.feed(Input::Stop),
                Wakeup::Tick => {
                    let (suspended, set) = clocks.moved();
                    let moved = [(Standstill::Machine, suspended), (Standstill::WallClock, set)];
                    for (what, length) in moved.into_iter().filter(|(_, length)| *length >= STALL) {
                        self.feed(Input::Stalled { what, length });
                    }
                    if let Some(input) = self.reach.tick() {
                        self.feed(input);
                    }
                    self.feed(Input::Tick);
                }
            }
        };
        self.reach.end();
        ended.map_err(|failure| match (failure, self.reach.take_launch_error()) {
            (Failure::Died(_), Some(error)) => RunError::Launch(error),
            (Failure::Died(how), None) => RunError::Died(how),
            (Failure::Refused(reason), _) => RunError::Refused(reason),
            (Failure::Stopped, _) => RunError::Stopped,
            (Failure::BoxGone(why), _) => RunError::BoxGone(why),
        })
    }

    /// Whether operations were allowed to start.
    pub(super) fn has_begun(&self) -> bool {
        self.machine.books().is_under_way()
    }

    /// The run is over, or could not go on, for the reason `broken`.
    pub(super) fn close(mut self, broken: Option<String>) -> RunRecord {
        let at = since(self.opened);
        let record = self.machine.books().record(at);
        self.reach.close(self.machine, at, broken);
        record
    }

    fn record_now(&mut self, what: What) {
        let entry = Entry { at: since(self.opened), by: Writer::Controller { epoch: self.machine.epoch() }, what };
        if let Some(entry) = self.reach.record(entry) {
            return self.feed(Input::Recorded(entry));
        }
        // It comes back before anything else happens in the run, except for what comes from boxes.
        let until = Instant::now() + COMING_BACK;
        while let Ok(news) = self.reach.news().recv_deadline(until) {
            for input in self.reach.understand(news) {
                let is_it = matches!(&input, Input::Recorded(Entry { what: What::Hooked { .. }, .. }));
                self.feed(input);
                if is_it {
                    return;
                }
            }
        }
    }

    /// Gives the machine an input, and carries out its outputs until there are no more.
    fn feed(&mut self, input: Input) {
        let mut outputs = VecDeque::from(self.machine.step(input, since(self.opened)));
        while let Some(output) = outputs.pop_front() {
            let input = match output {
                Output::Record(entry) => self.reach.record(entry).map(Input::Recorded),
                Output::Do(effect) => self.reach.execute(effect),
                Output::Event(event) => {
                    events::tell(self.observers, &event, self.machine.books());
                    None
                }
            };
            outputs.extend(input.into_iter().flat_map(|input| self.machine.step(input, since(self.opened))));
        }
    }
}

/// The time since the run was opened, at `opened` by the system's monotonic clock.
fn since(opened: Duration) -> Duration {
    system_monotonic().saturating_sub(opened)
}
