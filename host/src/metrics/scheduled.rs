//! What only an open run has: the difference between when an operation was due and when it started.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::Histogram;

/// How operations kept to their schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scheduled {
    /// From an operation's start to its end.
    pub service: Histogram,
    /// From when an operation was due to its start.
    pub lag: Histogram,
    /// Operations that were due while every instance of their process was busy, and waited for one.
    pub waited: u64,
    /// Operations that an instance was waiting for, and that were started late all the same: their thread was not woken,
    /// or was kept busy.
    pub late: u64,
    /// Slots that were due and never started.
    pub dropped: u64,
}

impl Scheduled {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.lag.count() == 0 && self.dropped == 0
    }
}

impl AddAssign<&Scheduled> for Scheduled {
    fn add_assign(&mut self, other: &Scheduled) {
        self.service += &other.service;
        self.lag += &other.lag;
        self.waited += other.waited;
        self.late += other.late;
        self.dropped += other.dropped;
    }
}
