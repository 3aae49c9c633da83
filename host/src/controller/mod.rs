//! One run, from the first worker's launch to the last one's end.
//!
//! `machine.rs` makes the decisions, and is pure: its inputs are what workers say and the time, its outputs are what
//! has to be done. What happens and what the machine decides are entries (`journal.rs`); the books (`books.rs`) are the
//! fold of the entries. `shell.rs` surrounds the machine with clocks and processes. Observers follow the run by
//! [`RunEvent`]s; nothing here prints. The result is a [`RunRecord`], from which `report/` derives every figure.

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

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A worker process could not be started.
    // The error is in the message. As a source it would be printed a second time.
    #[error("cannot start a worker process: {0}{remedy}", remedy = remedy(.0))]
    Launch(io::Error),
    /// A worker could not set up; the text is its reason.
    #[error("{0}")]
    Refused(String),
    /// A worker died before the run began.
    #[error("a worker process ended before the run began: {0}")]
    Died(String),
    /// A stop was requested before the run began.
    #[error("it was stopped")]
    Stopped,
}

/// Runs `job`. Each message on `stops` is a request to stop: the first lets the operations in flight end, the second
/// cuts them.
pub fn run(job: &Job, stops: &Receiver<()>, observers: &mut [Observer<'_>]) -> Result<RunRecord, RunError> {
    let mut shell = Shell::new(job, stops, observers);
    let prepared = match shell.call(Hook::Prepare, Command::Prepare) {
        Err(RunError::Stopped) => return Ok(shell.record()),
        prepared => prepared?.unwrap_or_default(),
    };
    let ran = shell.work_through(&prepared);
    // `cleanup` follows even if the run failed: workers may already have created what `cleanup` removes.
    let _ = shell.call(Hook::Cleanup, Command::Cleanup(prepared));
    match ran {
        Ok(()) | Err(RunError::Stopped) => Ok(shell.record()),
        Err(error) => Err(error),
    }
}
