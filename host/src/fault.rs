//! What goes wrong in a run besides its operations, and the words for it. A fault is always in the report, and never
//! ends the run by itself.

use std::fmt::Display;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Something that went wrong in a run, besides its operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// What happened, for people.
    pub message: String,
    /// How many times it happened.
    pub times: u64,
    /// The numbers it concerns, as inclusive ranges.
    pub numbers: Vec<(u64, u64)>,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A worker process ended too early.
    WorkerDied,
    /// A box said nothing for too long, and its workers were given up.
    BoxLost,
    /// A box left the run in order.
    BoxLeft,
    /// A box that was wanted was not there when the run began.
    BoxAbsent,
    /// The journal of the run did not go on.
    Journal,
    /// Another controller took over.
    TakenOver,
    /// A worker process was silent for too long.
    Silent,
    /// An instance could not be made, or its `setup` failed. Its thread has ended.
    Setup,
    /// A `teardown` failed.
    Teardown,
    /// The run's `cleanup` failed.
    Cleanup,
    /// Guests printed more than Gorgon passes on.
    Output,
    /// Operations of the plan were never started.
    NotStarted,
    /// A worker's counts do not match its numbers: a bug in Gorgon.
    Miscounted,
    /// Stands for all faults beyond those that are kept one by one.
    Other,
}

/// A time in which a part of Gorgon, or the machine, did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Stall {
    /// What did not go on.
    pub what: Standstill,
    /// The process that noticed it; null if it was the controller.
    pub process: Option<u32>,
    /// When it began, in nanoseconds since the beginning of the run.
    pub at_ns: u64,
    /// How long it lasted. Of a clock: by how much it jumped.
    pub length_ns: u64,
}

/// What did not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Standstill {
    /// The machine was suspended.
    Machine,
    /// The controller got no processor: it was stopped, or its machine was too busy.
    Controller,
    /// A worker got no processor.
    Worker,
    /// Instances of a worker waited for numbers, which the controller leases.
    Numbers,
    /// The wall clock was set forward or back. Durations do not depend on it; times of day do.
    WallClock,
}

/// What an error says, without the path that tempfile adds: that of a temporary file, which the user does not know.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" at path ").map_or(&*text, |(text, _)| text).to_owned()
}

/// What to do about an error of the operating system that may come from a limit on the user's resources.
pub fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => "; raise the limit of open files (ulimit -n), or run fewer processes",
        Some(Errno::EAGAIN) => "; raise the limit of processes and threads (ulimit -u), or run fewer",
        Some(Errno::ENOMEM) => {
            "; raise the limit of address space (ulimit -v), of which an instance takes more than 4 GiB without using \
             it, or run fewer threads"
        }
        _ => "",
    }
}

/// A worker process that ended too early.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// The process's id.
    pub process: u32,
    /// How the process ended.
    pub how: &'a str,
    /// Whether it was ended, because nobody could rely on it.
    pub is_given_up: bool,
    /// Whether the run was still warming up.
    pub in_warmup: bool,
    /// How many operations were leased to the worker.
    pub lost: u64,
    /// What becomes of its place.
    pub then: Parting,
}

/// What becomes of the place of a worker that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Another worker takes the place.
    Replaced,
    /// It stays empty: the run was ending.
    RunEnding,
    /// It stays empty: the run has replaced as many workers as it may.
    TooMany,
    /// It stays empty: its box leaves, and no other has room.
    NoRoom,
    /// It stays empty: there was nothing left to do.
    NothingLeft,
}

/// A box that was lost.
#[derive(Clone, Copy, Debug)]
pub struct BoxLoss<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many workers it had.
    pub workers: u64,
    /// How many operations these held, which are lost.
    pub operations: u64,
    /// What becomes of its work.
    pub then: AfterLoss,
}

/// What becomes of the work of a box that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoss {
    /// Other boxes replace so many of its workers.
    Moved(u64),
    /// The same, and what it held is executed again.
    Again(u64),
    /// The run is stopped.
    Stopped,
}

impl Parting {
    fn words(self) -> &'static str {
        match self {
            Self::Replaced => "another takes its place",
            Self::RunEnding => "the run was ending",
            Self::TooMany => "no more are replaced in this run",
            Self::NoRoom => "no other box has room for another",
            Self::NothingLeft => "nothing was left for another to do",
        }
    }
}

impl Fault {
    fn new(kind: FaultKind, message: String) -> Self {
        Self { kind, message, times: 1, numbers: Vec::new() }
    }

    /// A worker has died; `numbers` of its operations are lost.
    pub fn worker_died(death: Death<'_>, numbers: Vec<(u64, u64)>) -> Self {
        let Death { process, how, is_given_up, in_warmup, lost, then } = death;
        let (when, then) = (if in_warmup { " in the warm-up" } else { "" }, then.words());
        let ended = if is_given_up { "was given up" } else { "died" };
        let message =
            format!("worker process {process} {ended}{when} ({how}); {lost} operations that it held are lost; {then}");
        Self { numbers, ..Self::new(FaultKind::WorkerDied, message) }
    }

    /// A box is lost; `numbers` of its operations are lost.
    pub fn box_lost(loss: BoxLoss<'_>, numbers: Vec<(u64, u64)>) -> Self {
        let BoxLoss { name, workers, operations, then } = loss;
        let held = match then {
            AfterLoss::Again(_) => "the operations that it held are executed again".to_owned(),
            AfterLoss::Moved(_) | AfterLoss::Stopped => format!("{operations} operations that it held are lost"),
        };
        let then = match then {
            AfterLoss::Moved(moved) | AfterLoss::Again(moved) => {
                format!("{moved} of its {workers} workers get replacements on other boxes")
            }
            AfterLoss::Stopped => "the run was stopped, as --on-loss abort says".to_owned(),
        };
        let message = format!("the box {name} was lost, as nothing came from it; {held}; {then}");
        Self { numbers, ..Self::new(FaultKind::BoxLost, message) }
    }

    /// A box left the run in order.
    pub fn box_left(name: &str) -> Self {
        Self::new(FaultKind::BoxLeft, format!("the box {name} left the run: its agent was told to end"))
    }

    /// The run began without boxes that are wanted; `words` say which.
    pub fn box_absent(words: &str) -> Self {
        Self::new(FaultKind::BoxAbsent, format!("the run had {words}"))
    }

    /// The journal of the run did not go on.
    pub fn journal(why: &str) -> Self {
        Self::new(FaultKind::Journal, format!("the run could not go on: {why}"))
    }

    /// Another controller took over, after nothing had been decided for `gap`.
    pub fn taken_over(gap: Duration) -> Self {
        let message = format!("another controller took over: the run had none for at most {:.1} s", gap.as_secs_f64());
        Self::new(FaultKind::TakenOver, message)
    }

    /// A worker that was to replace one that died could not begin.
    pub fn worker_refused(reason: &str) -> Self {
        Self::new(FaultKind::WorkerDied, format!("a replaced worker could not begin: {reason}"))
    }

    /// A worker has been silent for too long.
    pub fn silent(process: u32, silent: Duration) -> Self {
        let seconds = silent.as_secs();
        let message =
            format!("worker process {process} said nothing for {seconds} s: it was stopped, or its machine was");
        Self::new(FaultKind::Silent, message)
    }

    /// A thread of a worker has no timer, and its instances ended.
    pub fn thread_has_no_timer(error: &io::Error) -> Self {
        Self::new(FaultKind::Setup, format!("a thread ended, as it has no timer: {error}{}", remedy(error)))
    }

    /// An instance could not be replaced by a new one.
    pub fn instance_not_renewed(error: &impl Display) -> Self {
        Self::new(FaultKind::Setup, format!("an instance ended, as {error}"))
    }

    /// An instance ended because its thread has no timer.
    pub fn instance_has_no_timer(error: &io::Error) -> Self {
        Self::new(FaultKind::Setup, format!("an instance ended, as its thread has no timer: {error}"))
    }

    /// A `teardown` failed.
    pub fn teardown(error: &impl Display) -> Self {
        Self::new(FaultKind::Teardown, error.to_string())
    }

    /// The run's `cleanup` failed.
    pub fn cleanup(error: &impl Display) -> Self {
        let why = error.to_string();
        let is_told = why.contains("`cleanup`");
        Self::new(FaultKind::Cleanup, if is_told { why } else { format!("the task's `cleanup` was not done: {why}") })
    }

    /// Guests printed `bytes` more than Gorgon passes on.
    pub fn output(bytes: u64) -> Self {
        let size = bytesize::ByteSize(bytes);
        Self::new(FaultKind::Output, format!("the task printed too much: {size} of it are not shown"))
    }

    /// No thread was left before the end of the run's duration.
    pub fn ended_early(elapsed: Duration, duration: Duration) -> Self {
        let message = format!("the run ended after {elapsed:.1?} of its {duration:.1?}: no thread was left to go on");
        Self::new(FaultKind::NotStarted, message)
    }

    /// Nobody was left to start so many slots of a schedule that lasts for `duration`.
    pub fn slots_left(slots: u64, worked: Duration, duration: Duration) -> Self {
        let message = format!(
            "the run ended after {worked:.1?} of its {duration:.1?}: {slots} slots of its schedule were never started, \
             as no thread was left to start them"
        );
        Self::new(FaultKind::NotStarted, message)
    }

    /// No thread was left to start `operations` of the plan.
    pub fn never_started(operations: u64) -> Self {
        let message =
            format!("{operations} operations of the plan were never started: no thread was left to start them");
        Self::new(FaultKind::NotStarted, message)
    }

    /// A worker's count of operations differs from its count of numbers.
    pub fn miscounted(worker: u32, counted: u64, numbers: u64) -> Self {
        Self::bug(&format!("worker {worker} counted {counted} operations with {numbers} numbers"))
    }

    /// A worker ran numbers that were not leased to it.
    pub fn not_held(worker: u32) -> Self {
        Self::bug(&format!("worker {worker} ran numbers that it did not hold"))
    }

    fn bug(what: &str) -> Self {
        Self::new(FaultKind::Miscounted, format!("{what}: this is a bug in gorgon, please report it"))
    }

    /// Stands for the faults beyond those that are kept one by one.
    pub fn others(times: u64) -> Self {
        Self { times, ..Self::new(FaultKind::Other, format!("{times} more faults of other kinds")) }
    }

    /// Whether it ended the run before the end of its plan.
    pub fn is_end(&self) -> bool {
        matches!(self.kind, FaultKind::Journal | FaultKind::NotStarted)
    }

    /// Whether operations or workers of the plan are missing because of this fault.
    pub fn is_incomplete(&self) -> bool {
        match self.kind {
            FaultKind::WorkerDied
            | FaultKind::BoxLost
            | FaultKind::Journal
            | FaultKind::NotStarted
            | FaultKind::Miscounted => true,
            FaultKind::Silent
            | FaultKind::BoxLeft
            | FaultKind::BoxAbsent
            | FaultKind::TakenOver
            | FaultKind::Setup
            | FaultKind::Teardown
            | FaultKind::Cleanup
            | FaultKind::Output
            | FaultKind::Other => false,
        }
    }
}
