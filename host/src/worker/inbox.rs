//! All that the main thread of a worker waits for, in one place.

use std::time::Instant;

use crossbeam::channel::{Receiver, select, tick};

use super::health::look;
use super::{DELTA_INTERVAL, Event, INTERVALS_PER_LOOK, refuse, say};
use crate::clock::Clock;
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
    ) -> Self {
        Self { commands, events, printed, ticks: tick(DELTA_INTERVAL), intervals: 0, clock: None, worst_lag_ns: 0 }
    }

    /// Waits for the next arrival. Meanwhile sends the controller what guests print, and this worker's health.
    pub(super) fn next(&mut self) -> Arrival {
        loop {
            select! {
                recv(self.events) -> event => match event {
                    Ok(event) => return Arrival::Event(event),
                    Err(_) => refuse("all threads of a worker process have ended too early".into()),
                },
                recv(self.commands) -> command => match command {
                    Ok(command) => return Arrival::Command(command),
                    // The thread that hears commands is about to end the process.
                    Err(_) => std::process::exit(0),
                },
                recv(self.printed) -> line => if let Ok(line) = line {
                    say(&Message::Output(line));
                },
                recv(self.ticks) -> _ => {
                    self.intervals += 1;
                    if self.intervals.is_multiple_of(INTERVALS_PER_LOOK) {
                        self.tell_health();
                    }
                    return Arrival::Interval;
                }
            }
        }
    }

    pub(super) fn tell_health(&mut self) {
        let at_ns = self.clock.as_ref().map_or(0, Clock::elapsed_ns);
        say(&Message::Health(look(at_ns, std::mem::take(&mut self.worst_lag_ns))));
    }
}
