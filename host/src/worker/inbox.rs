//! All that the main thread of a worker waits for, in one place.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvError, select, tick};

use super::health::{Watch, usage};
use super::lease::DROUGHT;
use super::{Event, LOOK, LOOKS_PER_HEALTH, refuse, say};
use crate::clock::{Clock, STALL};
use crate::fault::{Stall, Standstill};
use crate::wire::{Command, Message};

/// What the main thread listens to, and what it remembers meanwhile.
pub(super) struct Inbox<'a> {
    commands: &'a Receiver<Command>,
    pub(super) events: Receiver<Event>,
    printed: &'a Receiver<Vec<u8>>,
    ticks: Receiver<Instant>,
    /// How many intervals have passed.
    intervals: u32,
    /// The clock of the current phase, or of the last one.
    pub(super) clock: Option<Clock>,
    pub(super) worst_lag_ns: u64,
    watch: Watch,
    /// When this worker began with the phase.
    begun_ns: u64,
    /// The processor time of this process at the last tick.
    cpu_ns: u64,
}

/// What the main thread has waited for.
enum Heard {
    Arrival(Arrival),
    Printed(Result<Vec<u8>, RecvError>),
}

/// What the main thread has to handle.
pub(super) enum Arrival {
    Event(Event),
    Command(Command),
    /// An interval has passed.
    Interval,
}

impl<'a> Inbox<'a> {
    pub(super) fn new(
        commands: &'a Receiver<Command>,
        events: Receiver<Event>,
        printed: &'a Receiver<Vec<u8>>,
        watch: Watch,
    ) -> Self {
        let cpu_ns = usage().cpu_ns;
        let ticks = tick(LOOK);
        Self {
            commands,
            events,
            printed,
            ticks,
            intervals: 0,
            cpu_ns,
            watch,
            clock: None,
            begun_ns: 0,
            worst_lag_ns: 0,
        }
    }

    /// A phase begins, which `clock` times.
    pub(super) fn begin(&mut self, clock: Clock) {
        self.begun_ns = clock.elapsed_ns();
        self.clock = Some(clock);
        self.watch.begin();
        self.tell_health();
    }

    /// Waits for the next arrival. Meanwhile sends the controller what guests print, and this worker's health.
    pub(super) fn next(&mut self) -> Arrival {
        loop {
            let since = Instant::now();
            let heard = select! {
                recv(self.events) -> event => match event {
                    Ok(event) => Heard::Arrival(Arrival::Event(event)),
                    Err(_) => refuse("all threads of a worker process have ended too early".into()),
                },
                recv(self.commands) -> command => match command {
                    Ok(command) => Heard::Arrival(Arrival::Command(command)),
                    // The thread that hears commands is about to end the process.
                    Err(_) => std::process::exit(0),
                },
                recv(self.printed) -> line => Heard::Printed(line),
                recv(self.ticks) -> _ => Heard::Arrival(Arrival::Interval),
            };
            self.notice_stall(since.elapsed());
            match heard {
                Heard::Arrival(Arrival::Event(Event::Dry(length))) => self.tell_stall(Standstill::Numbers, length),
                Heard::Arrival(Arrival::Interval) => {
                    self.cpu_ns = usage().cpu_ns;
                    self.intervals += 1;
                    if self.intervals.is_multiple_of(LOOKS_PER_HEALTH) {
                        self.tell_health();
                    }
                    return Arrival::Interval;
                }
                Heard::Arrival(arrival) => return arrival,
                Heard::Printed(line) => line.into_iter().for_each(|line| say(&Message::Output(line))),
            }
        }
    }

    /// Tells the controller if the main thread `waited` for longer than a tick takes, and the process did nothing
    /// meanwhile. If it did something, only this thread had to wait for a processor, which delays no operation.
    fn notice_stall(&self, waited: Duration) {
        if waited >= LOOK + STALL {
            let used_ns = usage().cpu_ns.saturating_sub(self.cpu_ns);
            if u128::from(used_ns) < waited.as_nanos() / 5 {
                self.tell_stall(Standstill::Worker, waited);
            }
        }
    }

    /// Tells the controller if instances had no numbers for this long.
    pub(super) fn tell_dry(&self, length: Duration) {
        if length >= DROUGHT {
            self.tell_stall(Standstill::Numbers, length);
        }
    }

    /// Tells the controller that something stood still until now.
    fn tell_stall(&self, what: Standstill, length: Duration) {
        if let Some(clock) = &self.clock {
            let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
            // What was before this worker began concerns the one before it.
            let now_ns = clock.elapsed_ns();
            let length_ns = length_ns.min(now_ns.saturating_sub(self.begun_ns));
            let at_ns = now_ns - length_ns;
            say(&Message::Stalled(Stall { what, process: Some(std::process::id()), at_ns, length_ns }));
        }
    }

    pub(super) fn tell_health(&mut self) {
        let at_ns = self.clock.as_ref().map_or(0, Clock::elapsed_ns);
        say(&Message::Health(self.watch.look(at_ns, std::mem::take(&mut self.worst_lag_ns))));
    }
}
