//! Estimates by the bootstrap how much the figures of some runs vary by chance.
//!
//! Pure, with a given seed. This module knows durations and counts, but neither plans nor words.
//!
//! The bootstrap draws a [`DrawingUnit`]: a tenth of a run, with all its intervals in a row, or a whole run if a plan
//! was run several times. Neighbouring operations are alike, so drawing single operations would make the intervals far
//! too narrow.

use std::ops::Range;

use fastrand::Rng;

use super::super::student;
use super::Figure;
use crate::metrics::Histogram;
use crate::report::{BucketReport, ModelName, RunReport};

/// The number of blocks in a run. With few, long blocks, most of the correlation between neighbouring intervals stays
/// inside a block, and Student's t makes up for the small number. In simulations ten blocks did as well as any length
/// derived from the autocorrelation, or better. [`correlation`] corrects for what remains between blocks.
const BLOCKS: usize = 10;

/// With fewer whole intervals, a run does not show how much it varies.
pub(super) const LEAST_INTERVALS: usize = 8;

/// With this many draws the error of a variance is 3 %, and that of an interval's width is half of it.
const DRAWS: usize = 2_000;

/// Above this correlation, blocks are so alike that their variance says nothing.
const MOST_CORRELATION: f64 = 0.8;

/// Each figure of some operations, in the order of [`Figure::ALL`]; `None` if it does not exist.
pub(super) type Figures = [Option<f64>; Figure::ALL.len()];

/// The operations of one side, from all its runs.
pub(super) struct Side {
    /// The distinct durations, ascending, in nanoseconds.
    durations: Vec<f64>,
    units: Vec<DrawingUnit>,
    /// Whether a unit is a whole run.
    pub(super) is_repeated: bool,
    /// The relative width of a histogram bucket.
    pub(super) resolution: f64,
}

/// The unit of drawing: operations that belong together.
struct DrawingUnit {
    /// The number of operations for each of the side's durations.
    counts: Vec<u64>,
    operations: u64,
    failed: u64,
    sum_ns: f64,
    seconds: f64,
}

/// Why runs cannot be compared.
pub(super) enum Unusable {
    /// The run with this index has too few intervals, or no operations in most of its blocks.
    TooShort(usize),
    /// The run with this index has an interval whose histogram cannot be read.
    Unreadable(usize),
}

impl Side {
    /// The operations of `runs`, which must not be empty.
    pub(super) fn new(runs: &[&RunReport]) -> Result<Self, Unusable> {
        let mut blocks = Vec::new();
        for (place, run) in runs.iter().enumerate() {
            let buckets = &run.timeline.buckets;
            // An interval that the run's end cut short is merged with the last whole one.
            let whole = buckets.iter().filter(|bucket| !bucket.partial).count();
            let count = if runs.len() == 1 { BLOCKS.min(whole) } else { 1 };
            if runs.len() == 1 && whole < LEAST_INTERVALS {
                return Err(Unusable::TooShort(place));
            }
            for block in 0..count {
                let end = if block + 1 == count { buckets.len() } else { (block + 1) * whole / count };
                let block = Block::new(&buckets[block * whole / count..end], run);
                blocks.push(block.ok_or(Unusable::Unreadable(place))?);
            }
            // The machine or the target may stall for as long as a block. But if most blocks are empty, operations take
            // longer than blocks.
            if blocks.iter().rev().take(count).filter(|block| block.operations > 0).count() * 2 <= count {
                return Err(Unusable::TooShort(place));
            }
        }
        Ok(Self::of(&blocks, runs.len()))
    }

    /// The side that `blocks` of so many runs make.
    fn of(blocks: &[Block], runs: usize) -> Self {
        let mut durations: Vec<u64> = blocks.iter().flat_map(|block| block.counts.iter().map(|&(ns, _)| ns)).collect();
        durations.sort_unstable();
        durations.dedup();
        let dense = |block: &Block| {
            let mut counts = vec![0; durations.len()];
            for (ns, count) in &block.counts {
                counts[durations.partition_point(|known| known < ns)] += count;
            }
            DrawingUnit {
                counts,
                operations: block.operations,
                failed: block.failed,
                sum_ns: block.sum_ns,
                seconds: block.seconds,
            }
        };
        let units = blocks.iter().map(dense).collect();
        let resolution = blocks.iter().map(|block| block.resolution).fold(0.0, f64::max);
        let durations = durations.into_iter().map(|ns| ns.max(1) as f64).collect();
        Self { units, is_repeated: runs > 1, resolution, durations }
    }

    pub(super) fn operations(&self) -> u64 {
        self.units.iter().map(|unit| unit.operations).sum()
    }

    /// The number of units.
    pub(super) fn units(&self) -> usize {
        self.units.len()
    }

    /// The figures of all operations.
    pub(super) fn figures(&self) -> Figures {
        self.weighted(&vec![1; self.units.len()])
    }

    /// The figures of each unit alone.
    fn each(&self) -> Vec<Figures> {
        let alone = |at| (0..self.units.len()).map(|unit| u64::from(unit == at)).collect::<Vec<_>>();
        (0..self.units.len()).map(|at| self.weighted(&alone(at))).collect()
    }

    /// The variance of each figure, on its scale, if the units are drawn again.
    fn variances(&self, rng: &mut Rng) -> [f64; Figure::ALL.len()] {
        let units = self.units.len();
        let mut draws: [Vec<f64>; Figure::ALL.len()] = Default::default();
        for _ in 0..DRAWS {
            let mut weights = vec![0; units];
            (0..units).for_each(|_| weights[rng.usize(..units)] += 1);
            for ((figure, value), draws) in Figure::ALL.iter().zip(self.weighted(&weights)).zip(&mut draws) {
                draws.extend(value.map(|value| figure.scale(value)));
            }
        }
        // Drawn units vary around their own mean, which is less than around the true mean; this factor corrects it.
        draws.map(|draws| variance(&draws) * units as f64 / (units as f64 - 1.0))
    }

    /// The figures of all operations, each unit counted as often as its weight says.
    fn weighted(&self, weights: &[u64]) -> Figures {
        let mut counts = vec![0; self.durations.len()];
        let (mut operations, mut failed, mut sum_ns, mut seconds) = (0, 0, 0.0, 0.0);
        for (unit, &weight) in self.units.iter().zip(weights).filter(|&(_, &weight)| weight > 0) {
            counts.iter_mut().zip(&unit.counts).for_each(|(sum, count)| *sum += weight * count);
            operations += weight * unit.operations;
            failed += weight * unit.failed;
            sum_ns += weight as f64 * unit.sum_ns;
            seconds += weight as f64 * unit.seconds;
        }
        if operations == 0 {
            return Default::default();
        }
        let [p50, p90, p99] = self.percentiles(&counts, operations as f64, [0.5, 0.9, 0.99]);
        let per = |figure: f64, whole: f64| (whole > 0.0).then(|| figure / whole);
        [
            Some(p50),
            per(sum_ns, operations as f64),
            Some(p90),
            Some(p99),
            per(operations as f64, seconds),
            per(failed as f64, operations as f64),
        ]
    }

    /// Interpolated percentiles of the mid-distribution: equal durations are ranked at the middle of their group. So
    /// the steps of the clock and of the histogram do not make a percentile jump.
    fn percentiles<const N: usize>(&self, counts: &[u64], operations: f64, quantiles: [f64; N]) -> [f64; N] {
        let mut percentiles = [self.durations[0]; N];
        let mut wanted = 0;
        let (mut below, mut before) = (0_u64, None);
        for (&duration, &count) in self.durations.iter().zip(counts).filter(|&(_, &count)| count > 0) {
            let share = (below as f64 + count as f64 / 2.0) / operations;
            while wanted < N && quantiles[wanted] <= share {
                let (lower_share, lower) = before.unwrap_or((share, duration));
                let part =
                    if share > lower_share { (quantiles[wanted] - lower_share) / (share - lower_share) } else { 1.0 };
                percentiles[wanted] = lower + (duration - lower) * part;
                wanted += 1;
            }
            below += count;
            before = Some((share, duration));
        }
        percentiles[wanted..].fill(before.map_or(self.durations[0], |(_, longest)| longest));
        percentiles
    }
}

/// Consecutive intervals, before the durations of all blocks are known.
struct Block {
    counts: Vec<(u64, u64)>,
    operations: u64,
    failed: u64,
    sum_ns: f64,
    seconds: f64,
    resolution: f64,
}

impl Block {
    fn new(buckets: &[BucketReport], run: &RunReport) -> Option<Self> {
        let mut merged = Histogram::default().to_hdr();
        let mut sum_ns = 0.0;
        for summary in buckets.iter().map(|bucket| &bucket.latency_ns).filter(|summary| summary.count > 0) {
            merged.add(summary.histogram()?).ok()?;
            sum_ns += summary.sum() as f64;
        }
        let window = window_ns(run);
        let end_ns = buckets.last().map_or(0, |last| window.end.min(last.start_ns + run.timeline.interval_ns));
        let begin_ns = buckets.first().map_or(0, |first| window.start.max(first.start_ns));
        let middle = merged.value_at_quantile(0.5);
        Some(Self {
            counts: (merged.iter_recorded())
                .map(|step| (merged.median_equivalent(step.value_iterated_to()), step.count_at_value()))
                .collect(),
            operations: merged.len(),
            failed: buckets.iter().map(|bucket| bucket.failed).sum(),
            sum_ns,
            seconds: end_ns.saturating_sub(begin_ns) as f64 / 1e9,
            resolution: merged.equivalent_range(middle) as f64 / middle.max(1) as f64,
        })
    }
}

/// The time over which the report takes the run's throughput. Operations that end later, while a schedule drains, count
/// all the same.
fn window_ns(run: &RunReport) -> Range<u64> {
    // Reports of older versions do not have the time, but what follows from it.
    let inferred = || Some((run.operations.completed as f64 * 1e9 / run.throughput?).round() as u64);
    let length_ns = run.throughput_window_ns.or_else(inferred).unwrap_or(run.elapsed_ns);
    match run.plan.load_model {
        ModelName::Open => 0..length_ns,
        ModelName::Closed => run.elapsed_ns.saturating_sub(length_ns)..run.elapsed_ns,
    }
}

/// How uncertain a difference is: its standard error on the figure's scale, the degrees of freedom of that error, and
/// the systematic error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uncertainty {
    standard: f64,
    freedom: f64,
    systematic: f64,
}

impl Uncertainty {
    /// Half the width of the interval that contains the true difference in `level` of all comparisons.
    pub(super) fn half_width(self, level: f64) -> f64 {
        self.standard * student::quantile(0.5 + level / 2.0, self.freedom) + self.systematic
    }

    /// The same with an additional systematic error.
    pub(super) fn and_systematic(self, systematic: f64) -> Self {
        Self { systematic: self.systematic + systematic, ..self }
    }

    /// The true difference that a share of `share` of all comparisons at `level` would show.
    pub(super) fn detectable(self, level: f64, share: f64) -> f64 {
        self.half_width(level) + self.standard * student::quantile(share, self.freedom)
    }
}

/// The uncertainty of the differences between `a` and `b`, by figure.
pub(super) fn errors(a: &Side, b: &Side, rng: &mut Rng) -> [Uncertainty; Figure::ALL.len()] {
    let (mut of_a, mut of_b) = (a.variances(rng), b.variances(rng));
    let (mut units_a, mut units_b) = (a.units() as f64, b.units() as f64);
    match (a.is_repeated, b.is_repeated) {
        (true, true) => {}
        (false, false) => {
            let (each_a, each_b) = (a.each(), b.each());
            for (i, figure) in Figure::ALL.iter().enumerate() {
                let series = [&each_a, &each_b].map(|each| {
                    each.iter().filter_map(|of| of[i].map(|value| figure.scale(value))).collect::<Vec<_>>()
                });
                let correlation = correlation(&series);
                of_a[i] *= inflation(correlation, units_a);
                of_b[i] *= inflation(correlation, units_b);
            }
        }
        // A single run does not show how much such runs vary, so the other side's variance is used.
        (true, false) => (of_b, units_b) = (of_a.map(|variance| variance * units_a), units_a),
        (false, true) => (of_a, units_a) = (of_b.map(|variance| variance * units_b), units_b),
    }
    std::array::from_fn(|i| welch((of_a[i], units_a), (of_b[i], units_b)))
}

/// Welch's error of the difference between two figures, each given as its variance and the number of units behind it.
fn welch((a, units_a): (f64, f64), (b, units_b): (f64, f64)) -> Uncertainty {
    let sum = a + b;
    let freedom = if sum > 0.0 {
        sum * sum / (a * a / (units_a - 1.0) + b * b / (units_b - 1.0))
    } else {
        units_a.min(units_b) - 1.0
    };
    Uncertainty { standard: sum.sqrt(), freedom, systematic: 0.0 }
}

/// The correlation of neighbouring blocks: their first autocorrelation, over both sides because each has few blocks. An
/// estimate from k values is too low by (1 + 3 r) / k (Kendall 1954), so that is added.
fn correlation(series: &[Vec<f64>]) -> f64 {
    let (mut products, mut squares, mut blocks) = (0.0, 0.0, 0_usize);
    for values in series {
        let mean = mean(values);
        products += values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
        squares += values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        blocks = blocks.max(values.len());
    }
    let raw = if squares > 0.0 { products / squares } else { 0.0 };
    (raw + (1.0 + 3.0 * raw.max(0.0)) / blocks.max(1) as f64).clamp(0.0, MOST_CORRELATION)
}

/// The factor by which the variance of a mean of `k` blocks exceeds the naive one, if neighbours correlate with `r` and
/// blocks further apart with powers of `r`.
fn inflation(r: f64, k: f64) -> f64 {
    let of_mean = ((1.0 + r) / (1.0 - r) - 2.0 * r * (1.0 - r.powf(k)) / (k * (1.0 - r).powi(2))) / k;
    of_mean * (k - 1.0) / (1.0 - of_mean)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlated_neighbours_widen_the_error() {
        assert!((inflation(0.0, 10.0) - 1.0).abs() < 1e-12);
        assert!(inflation(0.3, 10.0) > 1.8 && inflation(MOST_CORRELATION, 10.0) < 20.0);
        let alternating: Vec<_> = (0..10).map(|i| f64::from(i % 2)).collect();
        let rising: Vec<_> = (0..10).map(f64::from).collect();
        assert_eq!(correlation(&[alternating.clone(), alternating]), 0.0);
        assert_eq!(correlation(&[rising.clone(), rising]), MOST_CORRELATION);
    }
}
