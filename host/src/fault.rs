//! What goes wrong in a run besides its operations: always in the report, never an end of the run by itself.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Something that went wrong in a run, besides its operations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fault {
    /// What sort of thing.
    pub kind: FaultKind,
    /// What happened, for people.
    pub message: String,
    /// How often it happened.
    pub times: u64,
    /// The numbers it concerns, as inclusive ranges.
    pub numbers: Vec<(u64, u64)>,
}

/// The sorts of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A worker process ended before its time.
    WorkerDied,
    /// A worker process said nothing for long.
    Silent,
    /// An instance could not be made, or its `setup` failed: its thread ended.
    Setup,
    /// A `teardown` failed.
    Teardown,
    /// The run's `cleanup` failed.
    Cleanup,
    /// Guests printed more than is passed on.
    Output,
    /// Operations of the plan were never started.
    NotStarted,
    /// A worker's counts and numbers do not fit: a bug in gorgon.
    Miscounted,
    /// More faults than are kept one by one.
    Other,
}

/// What to do about an error of the operating system that a limit of the user's may be behind.
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
    /// Whether operations or workers of the plan are missing because of it.
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
