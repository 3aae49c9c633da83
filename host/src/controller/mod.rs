//! One run, from the first worker's launch to the last one's end.
//!
//! `machine.rs` makes the decisions, and is pure: its inputs are what workers say and the time, its outputs are what
//! has to be done. What happens and what the machine decides are entries (`journal.rs`); the books (`books.rs`) are the
//! fold of the entries. `shell.rs` surrounds the machine with clocks and processes. Observers follow the run by
//! [`RunEvent`]s; nothing here prints. The result is a [`RunRecord`], from which `report/` derives every figure.

mod asking;
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
pub use asking::{compare, faces};
pub use books::{Books, Effect, Failure};
use boxes::Boxes;
use chronicle::Told;
pub use crew::{Crew, Equipment, not_started};
pub use events::{Awaited, Happened, Observer, RunEvent};
use fleet::Followed;
pub use fleet::{FilesThere, Fleet, FleetError, Identity, Wanted};
pub use hook::call as call_hook;
pub use job::{Job, OnLoss, Spread};
use local::Local;
pub use machine::{Input, Machine, Output, PATIENCE};
use shell::{Reach, Shell};

/// How many times a run begins again, because a box was gone before the first operation.
const ATTEMPTS: u32 = 5;

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
    /// A box was gone before the run began.
    #[error("{0}")]
    BoxGone(String),
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

/// What a controller answers to whoever asks for a stop again: operations in flight are cut.
pub const CUTS: &[u8] = b"cutting";

/// A run over boxes.
pub struct Over<'a> {
    /// The boxes.
    pub fleet: &'a Fleet,
    /// Makes the job, once it is known which boxes take part.
    pub job: &'a dyn Fn() -> Result<Job, RunError>,
    /// Puts what the boxes need on the server.
    pub files: &'a dyn Fn() -> Result<FilesThere, RunError>,
    /// Tells people that the boxes have changed.
    pub say: &'a dyn Fn(&str),
}

/// Runs a job over boxes, as [`run`] does on this machine. If a box is gone before the first operation, the run begins
/// again without it.
pub fn run_over(over: &Over<'_>, stops: &Receiver<()>, observers: &mut [Observer<'_>]) -> Result<RunRecord, RunError> {
    let mut files = None;
    let mut attempts = 0;
    loop {
        let run = over.fleet.next_run();
        let worked = match over.fleet.follow(run, stops, observers, over.say)? {
            Followed::Over(Some(record)) => return Ok(*record),
            Followed::Over(None) => continue,
            Followed::Left(Some(told)) => go_on(over, run, *told, stops, observers),
            Followed::Left(None) => begin(over, run, &mut files, stops, observers),
        };
        match worked {
            Err(RunError::BoxGone(why)) if attempts < ATTEMPTS => {
                (over.say)(&format!("{why}; the run begins again"));
                attempts += 1;
            }
            worked => return worked.inspect_err(|error| over.fleet.fail(error)),
        }
    }
}

/// Begins a run on the boxes that are there.
fn begin(
    over: &Over<'_>,
    run: u32,
    files: &mut Option<FilesThere>,
    stops: &Receiver<()>,
    observers: &mut [Observer<'_>],
) -> Result<RunRecord, RunError> {
    let fleet = over.fleet;
    if let Some(changed) = fleet.muster(stops, over.say)? {
        (over.say)(&changed);
    }
    let job = (over.job)()?;
    let files = match files {
        Some(files) => files,
        None => files.insert((over.files)()?),
    };
    let name = Boxes::invite(fleet, run, &job, files, stops)?;
    work(Shell::new(&job, |opened| Boxes::open(fleet, name, &job, opened), stops, observers)?)
}

/// Goes on with a run that another controller has left.
fn go_on(
    over: &Over<'_>,
    run: u32,
    told: Told,
    stops: &Receiver<()>,
    observers: &mut [Observer<'_>],
) -> Result<RunRecord, RunError> {
    let (fleet, job) = (over.fleet, (over.job)()?);
    let Told { opened, machine, orders, .. } = told;
    let here = fleet.here(opened);
    let reach = Boxes::go_on(fleet, run, &job, here, (opened, orders))?;
    let machine = machine.take_over(system_monotonic().saturating_sub(here), fleet.epoch());
    work(Shell::resume(&job, machine, here, reach, stops, observers))
}

/// The record of a run whose journal did not go on, for the reason `why`.
fn broken_off(mut record: RunRecord, why: &str) -> RunRecord {
    let left = record.plan.extent().operations().map(|planned| planned.saturating_sub(record.offered));
    record.faults.push(Fault::journal(why));
    record.faults.extend(left.filter(|&left| left > 0).map(Fault::never_started));
    record
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
    let has_begun = shell.has_begun();
    let broken = match &ran {
        Err(RunError::Journal(why)) => Some(why.clone()),
        _ => None,
    };
    let record = shell.close(broken);
    match ran {
        Ok(()) | Err(RunError::Stopped) => Ok(record),
        // What the journal has is known, and is reported.
        Err(RunError::Journal(why)) if has_begun => Ok(broken_off(record, &why)),
        Err(error) => Err(error),
    }
}
