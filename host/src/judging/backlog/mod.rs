//! Whether a target keeps up with a rate: does the number of operations in flight grow over a probe?
//!
//! Pure: counts per interval go in, a trend comes out. This module does not know promises.
//!
//! Let N be the number of operations that are due and have not ended. By Little's law (J. D. C. Little, "A Proof for
//! the Queuing Formula: L = λW", Operations Research 9, 1961) N is the rate times the mean latency, as long as both are
//! stationary. If the rate λ exceeds the capacity μ, N grows by λ - μ each second; more exactly, it is close to a
//! random walk with this drift (D. L. Iglehart and W. Whitt, "Multiple Channel Queues in Heavy Traffic", Advances in
//! Applied Probability 2, 1970). The steps of a random walk are independent, so Student's t test decides whether their
//! mean is above zero:
//!
//! ```text
//! step i = N(i) - N(i-1),   t = mean of steps / (standard deviation of steps / √m)
//! ```
//!
//! If the target keeps up, N stays near its mean. Then steps up are followed by steps down, so the mean of m steps is
//! nearer to zero than that of independent steps, and the test errs less often than its level says.
//!
//! Two things make N grow although the target keeps up. At first N rises from zero to its mean, which takes as long as
//! the slowest operation; so the beginning of the probe is left out. Even so, a few operations that take longer than
//! the probe accumulate. A queue delays every operation, though, and by Little's law the growth of N is the rate times
//! the growth of the delay. So N only counts as a growing backlog if the median latency has grown accordingly.

use std::ops::AddAssign;
use std::time::Duration;

use super::student;
use crate::report::RunReport;

/// How often the test calls a steady number in flight growing, at most.
const LEVEL: f64 = 0.01;

/// A queue delays every operation, so the growth of the median latency explains the whole growth of N. Medians of short
/// intervals vary, hence half of it.
const EXPLAINED: f64 = 0.5;

/// Fewer operations than this in flight more than at the beginning are no backlog, even if they are so in every probe.
const NOTABLE: f64 = 2.0;

/// If more than this share of a probe's operations have not ended by its end, a probe without a trend shows nothing.
const MANY: f64 = 0.1;

/// Above this correlation of neighbours, a probe only shows that it is too short.
const MOST_CORRELATION: f64 = 0.98;

/// What happened in one interval of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Operations that were due in it.
    pub due: u64,
    /// Operations that ended in it; one that is dropped never does.
    pub ended: u64,
    /// The median latency of those that ended; `None` if none did.
    pub median: Option<Duration>,
}

/// How the number in flight changed in the probes of one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backlog {
    /// The number of steps, from the end of one interval to the end of the next.
    steps: f64,
    /// The sum of the steps, and of their squares, in operations.
    sum: f64,
    squares: f64,
    /// By how much the number in flight should have grown according to the growth of the median latency.
    explained: f64,
    /// Operations per step at the offered rate.
    due: f64,
    /// Operations that were due in the probes, and those of them that were in flight at the ends.
    offered: f64,
    left: f64,
    /// How long the number in flight takes to forget what it was, at most; see [`relaxation`].
    relaxation: Duration,
}

/// What a backlog shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trend {
    /// The number in flight does not grow.
    Steady,
    /// The number in flight grows, and operations take longer and longer.
    Growing,
    /// More and more operations are in flight, but most of them take as long as before: some take longer than the
    /// probe. Or the probe is too short for a trend, and many operations are left at its end.
    Accumulating,
}

impl Backlog {
    /// The backlog of `run`, whose schedule lasts for the time `lasting`.
    pub fn of(run: &RunReport, lasting: Duration) -> Self {
        let timeline = &run.timeline;
        let length = Duration::from_nanos(timeline.interval_ns);
        let within = |start_ns: u64| Duration::from_nanos(start_ns) + length <= lasting;
        let buckets = timeline.buckets.iter().filter(|bucket| within(bucket.start_ns));
        let intervals: Vec<Interval> = buckets
            .map(|bucket| Interval {
                due: bucket.due.unwrap_or_default(),
                ended: bucket.completed,
                median: bucket.latency_ns.p50.map(Duration::from_nanos),
            })
            .collect();
        Self::new(length, &intervals, Duration::from_nanos(run.latency_ns.max.unwrap_or_default()))
    }

    /// The backlog of a probe with these intervals, each `length` long, whose slowest operation took the time
    /// `slowest`. Intervals after the end of the schedule, in which the probe drains, are not among them.
    pub fn new(length: Duration, intervals: &[Interval], slowest: Duration) -> Self {
        let mut in_flight = 0.0;
        let levels = intervals.iter().map(|interval| {
            in_flight += interval.due as f64 - interval.ended as f64;
            in_flight
        });
        let levels: Vec<f64> = levels.collect();
        let (offered, left) = (intervals.iter().map(|of| of.due as f64).sum(), levels.last().copied().unwrap_or(0.0));
        // An overloaded target makes every operation slow, so at least half of the probe is used.
        let rising = (slowest.as_secs_f64() / length.as_secs_f64()).ceil() as usize;
        let skipped = rising.clamp(levels.len() / 4, levels.len().div_ceil(2));
        let (levels, intervals) = (&levels[skipped..], &intervals[skipped..]);
        let steps: Vec<f64> = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let count = steps.len() as f64;
        let due = intervals.iter().map(|interval| interval.due).sum::<u64>() as f64 / intervals.len().max(1) as f64;
        Self {
            steps: count,
            sum: steps.iter().sum(),
            squares: steps.iter().map(|step| step * step).sum(),
            explained: delay(intervals) / length.as_secs_f64() * due * count,
            due,
            offered,
            left,
            relaxation: length.mul_f64(relaxation(levels)),
        }
    }

    /// A number in flight that beyond doubt does not change.
    pub(super) fn still() -> Self {
        Self { steps: 1e6, due: 1.0, ..Self::default() }
    }

    /// What the probes show.
    pub fn trend(&self) -> Trend {
        let is_too_short = self.steps < 2.0;
        if is_too_short && self.left >= NOTABLE && self.left > MANY * self.offered {
            return Trend::Accumulating;
        }
        if self.sum < NOTABLE || self.least_growth() <= 0.0 {
            Trend::Steady
        } else if self.explained >= EXPLAINED * self.sum {
            Trend::Growing
        } else {
            Trend::Accumulating
        }
    }

    /// How long a probe must be compared with this time to show how the number in flight is distributed.
    pub fn relaxation(&self) -> Duration {
        self.relaxation
    }

    /// The growth that could just not be told from none, as a share of the offered rate. Above some percent, the probes
    /// were too short to tell.
    pub fn resolution(&self) -> f64 {
        self.half_width() / self.due.max(f64::MIN_POSITIVE)
    }

    /// The lower bound of the growth per step.
    fn least_growth(&self) -> f64 {
        self.sum / self.steps.max(1.0) - self.half_width()
    }

    /// Half the width of the interval that contains the growth per step, at twice the level.
    fn half_width(&self) -> f64 {
        if self.steps < 2.0 {
            return f64::INFINITY;
        }
        let mean = self.sum / self.steps;
        // In-flight counts are whole numbers, so a perfectly even growth still has steps that differ by one.
        let variance = ((self.squares - self.sum * mean) / (self.steps - 1.0)).max(1.0 / self.steps);
        student::quantile(1.0 - LEVEL, self.steps - 1.0) * (variance / self.steps).sqrt()
    }
}

impl AddAssign for Backlog {
    /// Adds a probe of the same rate.
    fn add_assign(&mut self, other: Self) {
        self.due = (self.due * self.steps + other.due * other.steps) / (self.steps + other.steps).max(1.0);
        self.steps += other.steps;
        self.sum += other.sum;
        self.squares += other.squares;
        self.explained += other.explained;
        self.offered += other.offered;
        self.left += other.left;
        self.relaxation = self.relaxation.max(other.relaxation);
    }
}

/// By how much the median latency grows per interval, in seconds.
fn delay(intervals: &[Interval]) -> f64 {
    let third = intervals.len().div_ceil(3);
    let median = |part: &[Interval]| {
        let mut medians: Vec<f64> = part.iter().filter_map(|of| of.median).map(|of| of.as_secs_f64()).collect();
        medians.sort_by(f64::total_cmp);
        medians.get(medians.len() / 2).copied()
    };
    let (early, late) = (median(&intervals[..third]), median(&intervals[intervals.len() - third..]));
    // The middles of the two thirds are two thirds of the probe apart.
    let apart = (intervals.len() - third).max(1) as f64;
    match (early, late) {
        (Some(early), Some(late)) => (late - early) / apart,
        _ => 0.0,
    }
}

/// The time after which the deviation of a series from its mean has fallen to 1/e, in steps of the series, if the
/// series is autoregressive of order one. The estimate of the correlation of neighbours is corrected for its bias (F.
/// H. C. Marriott and J. A. Pope, "Bias in the Estimation of Autocorrelations", Biometrika 41, 1954).
fn relaxation(levels: &[f64]) -> f64 {
    let count = levels.len() as f64;
    let mean = levels.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = levels.iter().map(|level| (level - mean).powi(2)).sum();
    // With so little variation there is no queue, and the ends of intervals beat with the rate.
    if levels.len() < 4 || squares / count < NOTABLE {
        return 0.0;
    }
    let products: f64 = levels.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    let correlation = products / squares;
    let correlation = (correlation + (1.0 + 3.0 * correlation) / count).clamp(0.0, MOST_CORRELATION);
    if correlation > 0.0 { -1.0 / correlation.ln() } else { 0.0 }
}

#[cfg(test)]
mod tests;
