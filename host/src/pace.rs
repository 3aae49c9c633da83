//! The load model as a pure function: when is the next operation due, or is the run done?
//!
//! Knows no clock: the time comes in, a due time comes out. Who waits until then, and who draws the number, is the
//! measured loop's business.

use crate::plan::{LoadModel, RunPlan};

/// What one thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start an operation at this time, in nanoseconds from the start of the run; a time gone by means at once.
    Due(u64),
    /// Start no more.
    Done,
}

/// The pace of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacer {
    load_model: LoadModel,
    begin_ns: u64,
    end_ns: u64,
}

impl Pacer {
    /// The pace of thread `thread`, counted over all processes of the run.
    pub fn new(plan: &RunPlan, thread: u64) -> Self {
        let jitter_ns = nanos(plan.start_jitter);
        // A generator of its own for each thread: what one draws must not depend on when another does.
        let begin_ns = fastrand::Rng::with_seed(plan.seed.wrapping_add(thread)).u64(0..=jitter_ns);
        Self { load_model: plan.load_model, begin_ns, end_ns: plan.extent.duration().map_or(u64::MAX, nanos) }
    }

    /// When the next operation is due, `elapsed_ns` after the start of the run.
    #[inline]
    pub fn next(&self, elapsed_ns: u64) -> Next {
        let due_ns = match self.load_model {
            LoadModel::Closed => elapsed_ns.max(self.begin_ns),
        };
        if due_ns < self.end_ns { Next::Due(due_ns) } else { Next::Done }
    }
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn closed(begin_ns: u64, end_ns: u64) -> Pacer {
        Pacer { load_model: LoadModel::Closed, begin_ns, end_ns }
    }

    #[test]
    fn a_closed_thread_starts_at_once_until_the_end() {
        for (begin_ns, end_ns, elapsed_ns, next) in [
            (0, u64::MAX, 0, Next::Due(0)),
            (0, u64::MAX, 7, Next::Due(7)),
            (50, u64::MAX, 7, Next::Due(50)),
            (0, 10, 9, Next::Due(9)),
            (0, 10, 10, Next::Done),
            (50, 10, 0, Next::Done),
        ] {
            assert_eq!(closed(begin_ns, end_ns).next(elapsed_ns), next, "{begin_ns} {end_ns} {elapsed_ns}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_due_before_its_time_or_after_the_end(begin in 0..100_u64, end in 1..100_u64, elapsed in 0..200_u64) {
            match closed(begin, end).next(elapsed) {
                Next::Due(due) => prop_assert!(due >= elapsed && due >= begin && due < end),
                Next::Done => prop_assert!(elapsed.max(begin) >= end),
            }
        }
    }
}
