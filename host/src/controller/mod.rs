//! One run, from the first worker's launch to the last one's end.
//!
//! `machine.rs` makes the decisions, and is pure: its inputs are what workers say and the time, its outputs are what
//! has to be done. What happens and what the machine decides are entries (`journal.rs`); the books (`books.rs`) are the
//! fold of the entries. `shell.rs` surrounds the machine with clocks and processes. Observers follow the run by
//! [`RunEvent`]s; nothing here prints. The result is a [`RunRecord`], from which `report/` derives every figure.

mod books;
mod boxes;
mod checkpoints;
mod chronicle;
mod crew;
mod events;
mod faults;
mod fleet;
mod hook;
mod job;
mod local;
mod machine;
mod mistakes;
pub mod remote;
mod shell;
#[cfg(test)]
mod simulation;

use std::io;

use crossbeam::channel::Receiver;

use crate::clock::system_monotonic;
use crate::cluster::ClusterError;
use crate::fault::{Fault, remedy};
use crate::hook::Hook;
pub use crate::journal::ClockReading;
use crate::record::RunRecord;
use crate::wire::Command;
pub use books::{Books, Effect, Failure};
use boxes::Boxes;
pub use boxes::{compare, faces};
use chronicle::Told;
pub use crew::{Crew, Equipment, not_started};
pub use events::{Happened, Observer, RunEvent};
use fleet::Followed;
pub use fleet::{FilesThere, Fleet, FleetError, Identity, Wanted};
pub use hook::call as call_hook;
pub use job::{Job, OnLoss, Spread};
use local::Local;
pub use machine::{Input, Machine, Output, PATIENCE};
use shell::{Reach, Shell};

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
    /// The server between the boxes cannot be used.
    #[error(transparent)]
    Cluster(ClusterError),
    /// The journal of the run does not go on.
    #[error("the run cannot go on: {0}")]
    Journal(String),
    /// Another controller has taken over the command.
    #[error("another controller has taken over; `gorgon attach {0}` follows it")]
    Fenced(String),
    /// The person who followed the command does so no more.
    #[error("it goes on without you; `gorgon attach {0}` follows it again, `gorgon stop {0}` stops it")]
    LetGo(String),
}

/// Runs `job` on this machine. Each message on `stops` is a request to stop: the first lets the operations in flight
/// end, the second cuts them.
pub fn run(job: &Job, stops: &Receiver<()>, observers: &mut [Observer<'_>]) -> Result<RunRecord, RunError> {
    work(Shell::new(job, |opened| Ok(Local::new(job, opened)), stops, observers)?)
}

/// Runs `job` on the boxes of `fleet`, as [`run`] does on this machine. `files` puts what the boxes need on the
/// server, if the run has not begun.
pub fn run_over(
    fleet: &Fleet,
    job: &Job,
    files: impl FnOnce() -> Result<FilesThere, RunError>,
    stops: &Receiver<()>,
    observers: &mut [Observer<'_>],
) -> Result<RunRecord, RunError> {
    let run = fleet.next_run();
    let told = match fleet.follow(run, stops, observers)? {
        Followed::Over(record) => return Ok(*record),
        Followed::Left(told) => told,
    };
    let Some(Told { opened, machine, orders, .. }) = told.map(|told| *told) else {
        let worked = Boxes::invite(fleet, run, job, files, stops)
            .and_then(|name| work(Shell::new(job, |opened| Boxes::open(fleet, name, job, opened), stops, observers)?));
        return worked.inspect_err(|error| fleet.fail(error));
    };
    let here = fleet.here(opened);
    let reach = Boxes::go_on(fleet, run, job, here, (opened, orders))?;
    let machine = machine.take_over(system_monotonic().saturating_sub(here), fleet.epoch());
    work(Shell::resume(job, machine, here, reach, stops, observers))
}

fn work<R: Reach>(mut shell: Shell<'_, '_, R>) -> Result<RunRecord, RunError> {
    let prepared = match shell.call(Hook::Prepare, Command::Prepare) {
        Err(RunError::Stopped) => return Ok(shell.close(None)),
        prepared => prepared?.unwrap_or_default(),
    };
    let ran = shell.work_through(&prepared);
    if let Err(fenced @ RunError::Fenced(_)) = ran {
        // What is left to do, the other controller does.
        return Err(fenced);
    }
    // `cleanup` follows even if the run failed: workers may already have created what `cleanup` removes.
    let _ = shell.call(Hook::Cleanup, Command::Cleanup(prepared));
    let broken = match &ran {
        Err(RunError::Journal(why)) => Some(why.clone()),
        _ => None,
    };
    let record = shell.close(broken);
    match ran {
        Ok(()) | Err(RunError::Stopped) => Ok(record),
        // What the journal has is known, and is reported.
        Err(RunError::Journal(why)) if record.metrics.completed() > 0 => {
            let faults = record.faults.into_iter().chain([Fault::journal(&why)]).collect();
            Ok(RunRecord { faults, ..record })
        }
        Err(error) => Err(error),
    }
}
