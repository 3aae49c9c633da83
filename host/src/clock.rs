//! The one monotonic clock of a process.
//!
//! `quanta` reads durations from the processor's time stamp counter, at half the cost of the operating system's clock.
//! Knows nothing about what is timed.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::system;

/// Counts nanoseconds since a fixed beginning.
#[derive(Clone, Debug)]
pub struct Clock {
    counter: quanta::Clock,
    zero: u64,
    /// How long before `zero` was read the clock began; negative if it had not begun by then.
    offset_ns: i64,
}

impl Clock {
    /// A clock that begins now. Calibrates the counter, which takes about a millisecond once per process.
    pub fn new() -> Self {
        let counter = quanta::Clock::new();
        Self { zero: counter.raw(), counter, offset_ns: 0 }
    }

    /// The same clock, but it begins at `beginning`: a reading of [`system_monotonic`] in any process of this machine.
    /// It may lie in the future.
    pub fn since(&self, beginning: Duration) -> Self {
        let offset_ns = system_monotonic().as_nanos() as i64 - beginning.as_nanos() as i64;
        Self { counter: self.counter.clone(), zero: self.counter.raw(), offset_ns }
    }

    /// Nanoseconds since the beginning; zero before it.
    #[inline]
    pub fn elapsed_ns(&self) -> u64 {
        self.now_ns().max(0) as u64
    }

    /// How many nanoseconds more than `other` this clock has counted, at any moment.
    pub fn ahead_of_ns(&self, other: &Self) -> i64 {
        let between = |from: u64, to: u64| self.counter.delta_as_nanos(from, to) as i64;
        let earlier =
            if other.zero >= self.zero { between(self.zero, other.zero) } else { -between(other.zero, self.zero) };
        earlier + self.offset_ns - other.offset_ns
    }

    /// Nanoseconds until `due_ns` after the beginning; zero once that has passed. The beginning may lie in the future.
    pub fn left_ns(&self, due_ns: u64) -> u64 {
        i64::try_from(due_ns).unwrap_or(i64::MAX).saturating_sub(self.now_ns()).max(0) as u64
    }

    #[inline]
    fn now_ns(&self) -> i64 {
        self.counter.delta_as_nanos(self.zero, self.counter.raw()) as i64 + self.offset_ns
    }

    /// What one reading costs, in nanoseconds: the mean of many readings, measured now.
    pub fn cost_ns(&self) -> f64 {
        const READINGS: u32 = 10_000;
        let begin = self.elapsed_ns();
        for _ in 1..READINGS {
            std::hint::black_box(self.elapsed_ns());
        }
        (self.elapsed_ns() - begin) as f64 / f64::from(READINGS)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The operating system's monotonic clock, which all processes of a machine share.
pub fn system_monotonic() -> Duration {
    match clock_gettime(ClockId::CLOCK_MONOTONIC) {
        Ok(time) => time.into(),
        Err(error) => unreachable!("every Unix has a monotonic clock: {error}"),
    }
}

/// The time since the machine was booted, including the time that it was suspended.
pub fn since_boot() -> Duration {
    system::since_boot().unwrap_or_else(system_monotonic)
}

/// A wait that ends this much later than it should is a stall: the process was stopped, or got no processor. A thread
/// that is woken usually runs within a millisecond, and within some tens of them on a crowded machine.
pub const STALL: Duration = Duration::from_millis(400);

/// How far the system's clocks are apart. They go at the same pace, unless the machine is suspended or a clock is set.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The time that the machine was suspended, since it was booted.
    suspended: Duration,
    /// The wall-clock time at which the machine was booted.
    booted: Duration,
}

impl Clocks {
    /// The clocks as they stand.
    pub fn now() -> Self {
        let monotonic = system_monotonic();
        let since_boot = since_boot();
        let wall = clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from);
        Self { suspended: since_boot.saturating_sub(monotonic), booted: wall.saturating_sub(since_boot) }
    }

    /// How far the clocks have moved apart since this was called last: for how long the machine was suspended, and by
    /// how much its wall clock was set.
    pub fn moved(&mut self) -> (Duration, Duration) {
        let before = std::mem::replace(self, Self::now());
        (self.suspended.abs_diff(before.suspended), self.booted.abs_diff(before.booted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_move_apart_are_told_from_clocks_that_go_on() {
        let mut clocks = Clocks::now();
        let seconds = |(suspended, set): (Duration, Duration)| (suspended.as_secs(), set.as_secs());
        assert_eq!(seconds(clocks.moved()), (0, 0));
        clocks.suspended += Duration::from_millis(3_500);
        clocks.booted += Duration::from_millis(7_200_500);
        assert_eq!(seconds(clocks.moved()), (3, 7_200));
        assert_eq!(seconds(clocks.moved()), (0, 0));
    }

    #[test]
    fn a_clock_runs_forward_from_a_common_beginning() {
        let beginning = system_monotonic();
        let one = Clock::new().since(beginning);
        let two = Clock::new().since(beginning);
        let (a, b, c) = (one.elapsed_ns(), two.elapsed_ns(), one.elapsed_ns());
        assert!(a < c && b.abs_diff(a) < 1_000_000_000, "{a} {b} {c}");
        assert!(one.cost_ns() > 0.0);
        let hour = Duration::from_secs(3_600);
        let ahead = Clock::new().since(system_monotonic() + hour);
        assert_eq!(ahead.elapsed_ns(), 0);
        assert!(ahead.left_ns(0) > 3_000_000_000_000 && ahead.left_ns(u64::MAX) > ahead.left_ns(0));
        assert_eq!(one.left_ns(a), 0);
    }
}
