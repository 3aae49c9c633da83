//! One run, from the first worker's launch to the last one's end.
//!
//! Owns who runs what: it launches the workers, leases the numbers, adds up the deltas, replaces the dead. What goes on
//! meanwhile it says in [`RunEvent`]s to one observer; it never prints. Returns a [`RunRecord`], from which `report/`
//! derives every figure.

mod books;
mod crew;
mod hook;

use std::io;

use crossbeam::channel::Receiver;

use crate::fault::{Fault, FaultKind, remedy};
use crate::metrics::Metrics;
use crate::plan::RunPlan;
use crate::report::{RunRecord, Startup, TaskFacts};
use crate::task::{Compiled, Hook, Task};
use crate::wire::Command;
pub use books::Books;
pub use crew::PATIENCE;
use crew::Run;

/// What happens while a run goes on.
pub enum RunEvent<'a> {
    /// Operations start that are not counted.
    WarmingUp(&'a RunPlan),
    /// Its first operation may start.
    Began(&'a RunPlan),
    /// Operations were counted.
    Counted(&'a Metrics),
    /// A guest printed this.
    Output(&'a [u8]),
    /// Something went wrong, and the run goes on.
    Fault(&'a Fault),
    /// A moment has passed.
    Tick {
        /// What is known by now.
        books: &'a Books<'a>,
        /// Workers that live.
        workers: usize,
    },
    /// It was asked to stop, and waits for the operations in flight.
    Stopping,
    /// It waits no longer: operations in flight are cut.
    Cutting,
    /// Its last worker has ended.
    Ended,
}

/// Who is told of a run's events.
pub type Observer<'a> = dyn FnMut(RunEvent<'_>) + 'a;

/// Why a run could not be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A worker process could not be started.
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

// Not thiserror's, which would make it a source as well, to be printed a second time.
impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Launch(error)
    }
}

/// Runs `plan`. Each message on `stops` is a request to stop: the first lets the operations in flight end, the second
/// cuts them.
pub fn run(
    task: &Task,
    compiled: &Compiled,
    plan: &RunPlan,
    stops: &Receiver<()>,
    observe: &mut Observer<'_>,
) -> Result<RunRecord, RunError> {
    let facts = TaskFacts {
        path: compiled.path.display().to_string(),
        sha256: compiled.sha256.clone(),
        bytes: compiled.bytes,
        operation: plan.operation.clone(),
        lane: task.lane(),
    };
    let startup = Startup { compile: compiled.took, cached: compiled.cached, ..Startup::default() };
    let mut books = Books::open(facts, plan, startup);
    let prepared = match task.has(Hook::Prepare) {
        true => match hook::call(compiled, plan, Command::Prepare, &mut books.metrics.network, stops, observe) {
            Err(RunError::Stopped) => {
                books.stop();
                return Ok(books.record());
            }
            prepared => prepared?,
        },
        false => String::new(),
    };
    let mut run = Run::new(books, compiled, &prepared, stops, observe);
    let ran = run.work_through();
    // Where it could not be run, some may still be setting up what `cleanup` is to remove.
    run.kill_all();
    (run.observe)(RunEvent::Ended);
    // Requests that came too late for the run are not for the cleanup; they are for the runs that would follow.
    if stops.try_iter().count() > 0 {
        run.books.stop();
    }
    // What `prepare` has made is removed whether or not the run could be run.
    let network = &mut run.books.metrics.network;
    if task.has(Hook::Cleanup)
        && let Err(error) = hook::call(compiled, plan, Command::Cleanup(prepared.clone()), network, stops, run.observe)
    {
        if matches!(error, RunError::Stopped) {
            run.books.stop();
        }
        run.fault(FaultKind::Cleanup, format!("the task's `cleanup` was not done: {error}"), Vec::new());
    }
    match ran {
        Err(RunError::Stopped) => run.books.stop(),
        ran => ran?,
    }
    Ok(run.books.record())
}
