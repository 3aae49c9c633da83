//! What goes wrong in a run besides its operations. A fault is always in the report, and never ends the run by itself.

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

/// What to do about an error of the operating system that may come from a limit on the user's resources.
pub fn remedy(error: &std::io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => "; raise the limit of open files (ulimit -n), or run fewer processes",
        Some(Errno::EAGAIN) => "; raise the limit of processes and threads (ulimit -u), or run fewer",
        Some(Errno::ENOMEM) => {
            "; raise the limit of address space (ulimit -v), of which an instance takes more than 4 GiB without using it, \
             or run fewer threads"
        }
        _ => "",
    }
}

impl Fault {
    /// Whether operations or workers of the plan are missing because of this fault.
    pub fn is_incomplete(&self) -> bool {
        match self.kind {
            FaultKind::WorkerDied | FaultKind::NotStarted | FaultKind::Miscounted => true,
            FaultKind::Silent
            | FaultKind::Setup
            | FaultKind::Teardown
            | FaultKind::Cleanup
            | FaultKind::Output
            | FaultKind::Other => false,
        }
    }
}
