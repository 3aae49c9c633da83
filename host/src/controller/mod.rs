//! One run, from the first worker's launch to the last one's end.
//!
//! `machine.rs` decides, and is pure: it hears what workers say and what time it is, and says what is to be done. What
//! happens and what it decides are entries (`journal.rs`); the books (`books.rs`) are their fold. `shell.rs` surrounds
//! the machine with clocks and processes. What goes on meanwhile is said in [`RunEvent`]s to observers; nothing here
//! prints. Returns a [`RunRecord`], from which `report/` derives every figure.

mod books;
mod events;
mod faults;
mod hook;
mod job;
mod machine;
mod mistakes;
mod shell;
#[cfg(test)]
mod simulation;

use std::io;

use crossbeam::channel::Receiver;

use crate::fault::remedy;
use crate::hook::Hook;
use crate::record::RunRecord;
use crate::wire::Command;
pub use books::{Books, Effect, Failure};
pub use events::{Happened, Observer, RunEvent};
pub use job::Job;
pub use machine::{Input, Machine, Output, PATIENCE};
use shell::Shell;

/// Why a run could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A worker process could not be started.
    // No source: it would be printed a second time.
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

/// Runs `job`. Each message on `stops` is a request to stop: the first lets the operations in flight end, the second
/// cuts them.
pub fn run(job: &Job, stops: &Receiver<()>, observers: &mut [Observer<'_>]) -> Result<RunRecord, RunError> {
    let mut shell = Shell::new(job, stops, observers);
    let prepared = match shell.call(Hook::Prepare, Command::Prepare) {
        Err(RunError::Stopped) => return Ok(shell.books().record()),
        prepared => prepared?.unwrap_or_default(),
    };
    let ran = shell.work_through(&prepared);
    // What `prepare` has made is removed whether or not the run could be run: if not, some workers may have set up what
    // `cleanup` is to remove.
    let _ = shell.call(Hook::Cleanup, Command::Cleanup(prepared));
    match ran {
        Ok(()) | Err(RunError::Stopped) => Ok(shell.books().record()),
        Err(error) => Err(error),
    }
}
