//! What only an open run counts: operations that did not start when they were due.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How well operations kept to their schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Operations that were due while all instances of their process were busy, and waited for one.
    pub waited: u64,
    /// Operations that started late although an instance was waiting for them: their thread was not woken in time, or
    /// was busy.
    pub late: u64,
    /// Slots that were due and never started.
    pub dropped: u64,
}

impl Scheduled {
    /// Whether there is nothing to report without completed operations: no dropped slots.
    pub fn is_empty(&self) -> bool {
        self.dropped == 0
    }
}

impl AddAssign<&Scheduled> for Scheduled {
    fn add_assign(&mut self, other: &Scheduled) {
        self.waited += other.waited;
        self.late += other.late;
        self.dropped += other.dropped;
    }
}
