//! What goes wrong in a run besides its operations, as its books keep it: bounded, each kind of message once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, FaultKind};

/// Distinct faults that are kept, besides those that leave something missing.
const MAX_FAULTS: usize = 100;

/// Ranges of numbers that one fault names; a worker of a fast schedule may hold a hundred million slots.
pub(super) const MAX_RANGES: usize = 10_000;

/// The faults of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Faults {
    kept: Vec<Fault>,
    /// Faults of which there were too many kinds to keep.
    more: u64,
}

/// What becomes of the place of a worker that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// Another worker takes it.
    Replaced,
    /// The run was ending.
    RunEnding,
    /// Enough were replaced in this run.
    TooMany,
    /// There was nothing left to do.
    NothingLeft,
}

impl Faults {
    /// Notes a fault; true if it was not noted before. A task may fail in the same way a million times.
    pub(super) fn note(&mut self, fault: &Fault) -> bool {
        let is_same = |known: &&mut Fault| (known.kind, &known.message) == (fault.kind, &fault.message);
        if let Some(known) = self.kept.iter_mut().find(is_same) {
            known.times += fault.times;
            return false;
        }
        if self.kept.len() < MAX_FAULTS || fault.is_incomplete() {
            self.kept.push(fault.clone());
            return true;
        }
        self.more += fault.times;
        false
    }

    /// All of them, with one for those that were not kept.
    pub(super) fn all(&self) -> Vec<Fault> {
        let mut all = self.kept.clone();
        if self.more > 0 {
            let message = format!("{} more of other kinds", self.more);
            all.push(Fault { kind: FaultKind::Other, message, times: self.more, numbers: Vec::new() });
        }
        all
    }
}

/// A worker has died, and what it held is lost.
pub(super) fn died(
    process: u32,
    how: &str,
    in_warmup: bool,
    lost: u64,
    then: Parting,
    numbers: Vec<(u64, u64)>,
) -> Fault {
    let then = match then {
        Parting::Replaced => "another takes its place",
        Parting::RunEnding => "the run was ending",
        Parting::TooMany => "no more are replaced in this run",
        Parting::NothingLeft => "nothing was left for another to do",
    };
    let when = if in_warmup { " in the warm-up" } else { "" };
    let message =
        format!("worker process {process} died{when} ({how}); {lost} operations that it held are lost; {then}");
    Fault { kind: FaultKind::WorkerDied, message, times: 1, numbers }
}

/// A worker has said nothing for long.
pub(super) fn missed(process: u32, silent: Duration) -> Fault {
    let seconds = silent.as_secs();
    let message = format!("worker process {process} said nothing for {seconds} s: it was stopped, or its machine was");
    Fault { kind: FaultKind::Silent, message, times: 1, numbers: Vec::new() }
}

/// A worker's counts and numbers do not fit.
pub(super) fn miscounted(worker: u32, counted: u64, numbers: u64) -> Fault {
    mistake(format!("worker {worker} counted {counted} operations with {numbers} numbers"))
}

/// A worker ran what it was not given.
pub(super) fn not_held(worker: u32) -> Fault {
    mistake(format!("worker {worker} ran numbers that it did not hold"))
}

fn mistake(what: String) -> Fault {
    let message = format!("{what}: this is a bug in gorgon, please report it");
    Fault { kind: FaultKind::Miscounted, message, times: 1, numbers: Vec::new() }
}
