//! `gorgon compare`: whether one task is slower than another, and whether the difference is more than noise.
//!
//! [`Comparison`] is the result, field by field; `rendering/compare.rs` and `rendering/html/compare.rs` render it.
//! `plans.rs` decides what may be compared with what (`error.rs` says why not), `resample.rs` has the statistics,
//! `machine.rs` estimates the machine's share, `words.rs` and `notes.rs` put it into words. Pure: reports go in, a
//! comparison comes out, the same for the same seed.

mod error;
mod machine;
mod notes;
mod plans;
mod resample;
mod words;

use serde::{Deserialize, Serialize};

use crate::record::TaskFacts;
use crate::report::Report;
use crate::report::units::{counted, duration};
pub use error::CompareError;
use plans::{Group, Matched};
use resample::{Side, Uncertainty, Unusable};
pub use words::Row;

/// The version of the comparison's format.
pub const SCHEMA: &str = "gorgon.compare/1";

/// The share of intervals that contain the true difference, if there is only one interval.
const LEVEL: f64 = 0.95;

/// The detectable difference is the smallest one that this share of comparisons would find.
const POWER: f64 = 0.9;

/// A percentile is compared if at least this many operations were above it.
const OPERATIONS_ABOVE: f64 = 10.0;

/// If no operation failed, up to this many could have: the 95 % upper bound for a count of zero.
const UNSEEN_FAILURES: f64 = 3.0;

/// The reports of one side: one task, perhaps with repeated runs.
#[derive(Debug)]
pub struct ReportSet {
    /// Each report with the name of its file.
    pub reports: Vec<(String, Report)>,
}

/// How to treat runs that should not be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scruples {
    /// Refuse runs whose plans differ, and runs that were stopped.
    Refuse,
    /// Compare them and add a note.
    Note,
}

/// Further sides, each compared with the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Comparison {
    /// The format and its version: `gorgon.compare/1`.
    pub schema: String,
    /// The version of Gorgon.
    pub gorgon: String,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The comparisons with the first side, for each further side and plan.
    pub pairs: Vec<Pair>,
    /// The verdict of `--fail-if-slower`; null without it.
    pub fail_if_slower: Option<Slower>,
}

/// The verdict of `--fail-if-slower`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Slower {
    /// The share by which a median may increase.
    pub by: f64,
    /// Whether a median increased by more, that is, the whole interval of its difference lies above; or whether a side
    /// has no operation that was ok.
    pub held: bool,
    /// Whether a side has no operation that was ok. How fast its operations failed says nothing.
    #[serde(default)]
    pub none_ok: bool,
}

/// The runs of one plan on both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pair {
    /// The side that is compared with.
    pub a: Runs,
    /// The side that is compared.
    pub b: Runs,
    /// Fields of the plans that differ, as `field: A, B`; empty without `--force`.
    pub differs: Vec<String>,
    /// Every figure, the primary one first.
    pub figures: Vec<Difference>,
    /// The finding in words.
    pub sentence: String,
    /// What a reader must know to judge it.
    pub notes: Vec<String>,
}

/// The runs of one plan on one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Runs {
    /// The task.
    pub task: TaskFacts,
    /// The position of each run.
    pub runs: Vec<RunPosition>,
    /// Boxes; null on one machine.
    pub boxes: Option<u32>,
    /// Worker processes on each box.
    pub processes: u32,
    /// Threads in each.
    pub threads: u32,
    /// Operations in flight in each thread.
    pub concurrency: u32,
    /// The operations of all runs together.
    pub operations: u64,
}

/// The position of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunPosition {
    /// The file of the report.
    pub file: String,
    /// The index of the run in the report, from 0.
    pub run: usize,
}

/// One figure on two sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// The figure.
    pub figure: Figure,
    /// Its value on the first side: nanoseconds, operations per second, or a share. Percentiles are interpolated, so
    /// they can differ from the report's in the third digit. Null if there are too few operations.
    pub a: Option<f64>,
    /// Its value on the other side.
    pub b: Option<f64>,
    /// The share of such intervals that contain the true difference.
    pub level: f64,
    /// The difference; null if one of the two values is.
    pub change: Option<Change>,
    /// What the difference shows.
    pub finding: Finding,
}

/// The difference of a figure: B / A - 1, but B - A for `failed`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// As measured.
    pub measured: f64,
    /// The lower end of its confidence interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The smallest true difference that nine of ten such comparisons would show.
    pub detectable: f64,
}

/// A figure that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// The median of the durations, the primary figure. It stands for the typical operation. A machine that stalls for
    /// a moment hardly changes it, so it shows the smallest differences.
    P50,
    /// Their mean.
    Mean,
    /// Their 90th percentile.
    P90,
    /// Their 99th percentile.
    P99,
    /// Completed operations per second.
    Throughput,
    /// The share of completed operations that were not ok.
    Failed,
}

/// What a difference shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// B is slower.
    Slower,
    /// B is faster.
    Faster,
    /// More operations of B fail.
    FailsMore,
    /// Fewer operations of B fail.
    FailsLess,
    /// Nothing: B may be better, worse or equal.
    Nothing,
}

impl Figure {
    /// All of them, the primary one first.
    pub const ALL: [Self; 6] = [Self::P50, Self::Mean, Self::P90, Self::P99, Self::Throughput, Self::Failed];

    /// Transforms a value so that differences are symmetric: the logarithm, but the share itself for `failed`, which
    /// can be zero.
    fn scale(self, value: f64) -> f64 {
        if self == Self::Failed { value } else { value.ln() }
    }

    /// Transforms a difference on that scale into the reported one.
    fn change(self, difference: f64) -> f64 {
        // A variance from two runs can be so large that a bound overflows, and JSON has no infinity.
        if self == Self::Failed { difference } else { difference.exp_m1().min(f64::MAX) }
    }

    /// The number of operations that the figure needs to exist.
    fn least_operations(self) -> f64 {
        match self {
            Self::P50 => OPERATIONS_ABOVE / 0.5,
            Self::P90 => OPERATIONS_ABOVE / 0.1,
            Self::P99 => OPERATIONS_ABOVE / 0.01,
            Self::Mean | Self::Throughput | Self::Failed => 1.0,
        }
    }

    /// The smallest difference, on the scale, that is more than an artefact of counting.
    fn resolution(self, a: &Side, b: &Side, value: f64) -> f64 {
        match self {
            Self::P50 | Self::P90 | Self::P99 => a.resolution.max(b.resolution),
            // Durations are only known to the nanosecond.
            Self::Mean => 1.0 / value.max(1.0),
            Self::Throughput => 0.0,
            Self::Failed => UNSEEN_FAILURES / a.operations().min(b.operations()) as f64,
        }
    }

    fn finding(self, Change { low, high, .. }: Change) -> Finding {
        match (self, low > 0.0, high < 0.0) {
            (_, false, false) => Finding::Nothing,
            (Self::Failed, more, _) => [Finding::FailsLess, Finding::FailsMore][usize::from(more)],
            (Self::Throughput, more, _) => [Finding::Slower, Finding::Faster][usize::from(more)],
            (_, more, _) => [Finding::Faster, Finding::Slower][usize::from(more)],
        }
    }
}

/// Compares each of `others` with `a`. `seed` seeds the random numbers; `by` is the share by which medians may
/// increase.
pub fn compare(
    a: &ReportSet,
    others: &[ReportSet],
    scruples: Scruples,
    seed: u64,
    by: Option<f64>,
) -> Result<Comparison, CompareError> {
    let mut matched = Vec::new();
    for b in others {
        matched.extend(plans::matched(a, b, scruples)?);
    }
    let count = matched.len();
    let pairs: Vec<Pair> =
        matched.into_iter().map(|matched| pair(matched, count, seed)).collect::<Result<_, CompareError>>()?;
    let none_ok = pairs.iter().any(Pair::has_none_ok);
    let is_slower = |by| pairs.iter().any(|pair| pair.is_slower_by(by));
    let fail_if_slower = by.map(|by| Slower { by, held: none_ok || is_slower(by), none_ok });
    Ok(Comparison {
        schema: SCHEMA.to_owned(),
        gorgon: env!("CARGO_PKG_VERSION").to_owned(),
        seed,
        pairs,
        fail_if_slower,
    })
}

impl Pair {
    /// Whether the median is shown to increase by more than the share `by`.
    pub fn is_slower_by(&self, by: f64) -> bool {
        self.figures.first().and_then(|primary| primary.change).is_some_and(|change| change.low > by)
    }

    /// Whether no operation of a side was ok.
    fn has_none_ok(&self) -> bool {
        let mut failed = self.figures.iter().filter(|of| of.figure == Figure::Failed);
        failed.any(|of| of.a.is_some_and(|share| share >= 1.0) || of.b.is_some_and(|share| share >= 1.0))
    }
}

/// Compares two groups of runs; `count` is the number of such pairs.
fn pair(matched: Matched<'_>, count: usize, seed: u64) -> Result<Pair, CompareError> {
    let Matched { a, b, .. } = &matched;
    let (side_a, side_b) = (side(a)?, side(b)?);
    let errors = resample::errors(&side_a, &side_b, &mut fastrand::Rng::with_seed(seed));
    let uneven = machine::unevenness(a, b);
    let error = |i: usize| match Figure::ALL[i] {
        Figure::Failed => errors[i],
        _ => errors[i].and_systematic(uneven),
    };
    let (of_a, of_b) = (side_a.figures(), side_b.figures());
    let figures: Vec<_> = (0..Figure::ALL.len())
        .map(|i| difference(i, (&side_a, of_a[i]), (&side_b, of_b[i]), error(i), count))
        .collect();
    Ok(Pair {
        sentence: words::sentence([a.runs.len(), b.runs.len()], &figures),
        notes: notes::notes(&matched, [side_a.operations(), side_b.operations()], &figures),
        figures,
        a: a.facts(side_a.operations()),
        b: b.facts(side_b.operations()),
        differs: matched.differs,
    })
}

fn side(group: &Group<'_>) -> Result<Side, CompareError> {
    let runs: Vec<_> = group.runs.iter().map(|run| run.report).collect();
    let at = |place: usize| (group.runs[place].file.to_owned(), group.runs[place].place + 1);
    let side = Side::new(&runs).map_err(|unusable| match unusable {
        Unusable::Unreadable(place) => {
            let (file, run) = at(place);
            CompareError::Unreadable { file, run }
        }
        Unusable::TooShort(place) => {
            let ((file, run), timeline) = (at(place), &runs[place].timeline);
            // Twice the required or actual time, because intervals may stay empty.
            let least = timeline.interval_ns.saturating_mul(resample::LEAST_INTERVALS as u64);
            let least = duration(runs[place].elapsed_ns.max(least).saturating_mul(2));
            let (intervals, interval) =
                (counted(timeline.buckets.len() as u64, "interval"), duration(timeline.interval_ns));
            CompareError::Short { file, run, intervals, interval, least }
        }
    })?;
    match side.operations() {
        operations if (operations as f64) < Figure::P50.least_operations() => {
            Err(CompareError::Few { file: at(0).0, operations })
        }
        _ => Ok(side),
    }
}

fn difference(
    place: usize,
    (side_a, a): (&Side, Option<f64>),
    (side_b, b): (&Side, Option<f64>),
    error: Uncertainty,
    count: usize,
) -> Difference {
    let figure = Figure::ALL[place];
    let enough = side_a.operations().min(side_b.operations()) as f64 >= figure.least_operations();
    let (a, b) = (a.filter(|_| enough), b.filter(|_| enough));
    // Bonferroni: the primary figures together are wrong in one of twenty comparisons, and so are all the others
    // together.
    let tests = if place == 0 { count } else { count * (Figure::ALL.len() - 1) };
    let level = 1.0 - (1.0 - LEVEL) / tests as f64;
    let change = a.zip(b).map(|(a, b)| {
        let measured = figure.scale(b) - figure.scale(a);
        let least = figure.resolution(side_a, side_b, a.min(b));
        let half = error.half_width(level).max(least);
        Change {
            measured: figure.change(measured),
            low: figure.change(measured - half),
            high: figure.change(measured + half),
            detectable: figure.change(error.detectable(level, POWER).max(2.0 * least)),
        }
    });
    let change = change.filter(|change| change.measured.is_finite());
    let finding = change.map_or(Finding::Nothing, |change| figure.finding(change));
    Difference { figure, a, b, level, change, finding }
}

#[cfg(test)]
mod tests;
