//! What only an open run counts: operations that did not start when they were due.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Operations that did not start when they were due, for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delayed {
    /// How many.
    pub operations: u64,
    /// The sum of the times by which they started late.
    pub sum_ns: u128,
    /// The longest of these times.
    pub worst_ns: u64,
}

impl Delayed {
    /// Counts an operation that started late by `ns`.
    pub fn count(&mut self, ns: u64) {
        self.operations += 1;
        self.sum_ns += u128::from(ns);
        self.worst_ns = self.worst_ns.max(ns);
    }

    /// How late they started on average; `None` if there are none.
    pub fn mean_ns(self) -> Option<u64> {
        u64::try_from(self.sum_ns.checked_div(u128::from(self.operations))?).ok()
    }
}

impl AddAssign for Delayed {
    fn add_assign(&mut self, other: Self) {
        self.operations += other.operations;
        self.sum_ns += other.sum_ns;
        self.worst_ns = self.worst_ns.max(other.worst_ns);
    }
}

/// How well operations kept to their schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    /// Operations that could have been started while all instances of their process were busy, and waited for one.
    pub waited: Delayed,
    /// Operations that started late although an instance was waiting for them: their thread was not woken in time, or
    /// was busy.
    pub late: Delayed,
    /// Operations whose slots were leased after they were due: boxes that the command could not reach had no more.
    pub starved: Delayed,
    /// When the last of them started.
    pub last_start_ns: u64,
    /// Slots that were due and never started.
    pub dropped: u64,
    /// Those of them that were left when the run ended. The others were dropped because too many were in flight.
    pub left: u64,
}

impl Scheduled {
    /// Counts an operation that waited for an instance for `ns`, and started at `now_ns`.
    pub fn waited(&mut self, ns: u64, now_ns: u64) {
        self.waited.count(ns);
        self.last_start_ns = self.last_start_ns.max(now_ns);
    }

    /// Counts an operation that started late by `ns`, at `now_ns`, although an instance was waiting for it.
    pub fn late(&mut self, ns: u64, now_ns: u64) {
        self.late.count(ns);
        self.last_start_ns = self.last_start_ns.max(now_ns);
    }

    /// Counts an operation that started at `now_ns` and whose slot was leased `ns` after it was due.
    pub fn starved(&mut self, ns: u64, now_ns: u64) {
        self.starved.count(ns);
        self.last_start_ns = self.last_start_ns.max(now_ns);
    }

    /// Whether there is nothing to report without completed operations: no dropped slots.
    pub fn is_empty(&self) -> bool {
        self.dropped == 0
    }
}

impl AddAssign<&Scheduled> for Scheduled {
    fn add_assign(&mut self, other: &Scheduled) {
        self.waited += other.waited;
        self.late += other.late;
        self.starved += other.starved;
        self.last_start_ns = self.last_start_ns.max(other.last_start_ns);
        self.dropped += other.dropped;
        self.left += other.left;
    }
}
