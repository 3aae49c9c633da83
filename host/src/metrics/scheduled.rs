//! What only an open run counts: why operations did not start when they were due.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How operations kept to their schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Operations that were due while every instance of their process was busy, and waited for one.
    pub waited: u64,
    /// Operations that an instance was waiting for, and that were started late all the same: their thread was not
    /// woken, or was kept busy.
    pub late: u64,
    /// Slots that were due and never started.
    pub dropped: u64,
}

impl Scheduled {
    /// Whether it says nothing.
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
