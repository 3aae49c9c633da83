//! The faults that the books of a run keep: a bounded number, each distinct message once.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, FaultKind};

/// How many distinct faults are kept. Faults because of which operations or workers are missing are kept in any case.
const MAX_FAULTS: usize = 100;

/// How many ranges of numbers one fault names. A worker of a fast schedule may hold a hundred million slots.
pub(super) const MAX_RANGES: usize = 10_000;

/// The faults of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Faults {
    kept: Vec<Fault>,
    /// How many faults were not kept, because there were too many distinct ones.
    more: u64,
}

/// What becomes of the place of a worker that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// Another worker takes the place.
    Replaced,
    /// It stays empty: the run was ending.
    RunEnding,
    /// It stays empty: the run has replaced as many workers as it may.
    TooMany,
    /// It stays empty: there was nothing left to do.
    NothingLeft,
}

impl Faults {
    /// Notes a fault; true if it is new. A task may fail in the same way a million times.
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

    /// All faults, with one more that stands for those that were not kept.
    pub(super) fn all(&self) -> Vec<Fault> {
        let mut all = self.kept.clone();
        if self.more > 0 {
            let message = format!("{} more faults of other kinds", self.more);
            all.push(Fault { kind: FaultKind::Other, message, times: self.more, numbers: Vec::new() });
        }
        all
    }
}

/// A worker has died, and the numbers that it held are lost.
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

/// A worker has been silent for too long.
pub(super) fn missed(process: u32, silent: Duration) -> Fault {
    let seconds = silent.as_secs();
    let message = format!("worker process {process} said nothing for {seconds} s: it was stopped, or its machine was");
    Fault { kind: FaultKind::Silent, message, times: 1, numbers: Vec::new() }
}

/// A worker's count of operations differs from its count of numbers.
pub(super) fn miscounted(worker: u32, counted: u64, numbers: u64) -> Fault {
    mistake(format!("worker {worker} counted {counted} operations with {numbers} numbers"))
}

/// A worker ran numbers that were not leased to it.
pub(super) fn not_held(worker: u32) -> Fault {
    mistake(format!("worker {worker} ran numbers that it did not hold"))
}

fn mistake(what: String) -> Fault {
    let message = format!("{what}: this is a bug in gorgon, please report it");
    Fault { kind: FaultKind::Miscounted, message, times: 1, numbers: Vec::new() }
}
