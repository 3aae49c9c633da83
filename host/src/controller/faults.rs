//! The faults that the books of a run keep: a bounded number, each distinct message once.

use serde::{Deserialize, Serialize};

use crate::fault::Fault;

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
            all.push(Fault::others(self.more));
        }
        all
    }
}
