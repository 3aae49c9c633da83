//! Whether one task is slower than another, and whether that is more than noise: `gorgon compare`.
//!
//! [`Comparison`] is what comes of it, field by field; `rendering/compare.rs` renders it. The statistics are in
//! `resample.rs`, what may be compared with what in `plans.rs`, what a machine adds of its own in `machine.rs`. Pure:
//! reports in, a comparison out, the same one for the same seed.

mod machine;
mod plans;
mod resample;
mod words;

use serde::{Deserialize, Serialize};

use crate::record::TaskFacts;
use crate::report::Report;
use crate::report::units::{counted, duration};
use plans::Group;
use resample::{Error, Side, Unusable};

/// The version of the comparison's format.
pub const SCHEMA: &str = "gorgon.compare/1";

/// How often an interval holds the true difference, where it is the only one.
const LEVEL: f64 = 0.95;

/// The smallest difference that is named as one that would have been found is found in this share of comparisons.
const POWER: f64 = 0.9;

/// A percentile is compared where at least this many operations were above it.
const OPERATIONS_ABOVE: f64 = 10.0;

/// Where no operation failed, so many may have been about to: the 95 % bound on a count of none.
const UNSEEN_FAILURES: f64 = 3.0;

/// The reports of one side: of one task, its runs repeated where there are several.
#[derive(Debug)]
pub struct Input {
    /// Each with the name of its file.
    pub reports: Vec<(String, Report)>,
}

/// What to do about runs that should not be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scruples {
    /// Refuse runs whose plans differ, and runs that were stopped.
    Refuse,
    /// Compare them, and say so.
    Note,
}

/// Several runs, compared with those of the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Comparison {
    /// The format and its version: `gorgon.compare/1`.
    pub schema: String,
    /// The version of gorgon.
    pub gorgon: String,
    /// What chance was drawn from.
    pub seed: u64,
    /// Each plan of each further side, compared with the first side's.
    pub pairs: Vec<Pair>,
    /// What `--fail-if-slower` found; null without it.
    pub fail_if_slower: Option<Slower>,
}

/// What `--fail-if-slower` found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Slower {
    /// The share by which a median may be longer.
    pub by: f64,
    /// Whether one is shown to be longer by more: the whole interval of its difference is above.
    pub held: bool,
}

/// The runs of one plan on two sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Pair {
    /// What is compared with.
    pub a: Runs,
    /// What is compared.
    pub b: Runs,
    /// Fields of the plans that differ, as `field: A, B`; empty but for `--force`.
    pub differs: Vec<String>,
    /// Every figure, the primary one first.
    pub figures: Vec<Difference>,
    /// What was found, in words.
    pub sentence: String,
    /// What a reader must know beside it.
    pub notes: Vec<String>,
}

/// The runs of one plan on one side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Runs {
    /// What was run.
    pub task: TaskFacts,
    /// Where each run stands.
    pub runs: Vec<Place>,
    /// Worker processes.
    pub processes: u32,
    /// Threads in each.
    pub threads: u32,
    /// Operations of all runs.
    pub operations: u64,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Place {
    /// The report's file.
    pub file: String,
    /// Its place there, from 0.
    pub run: usize,
}

/// One figure on two sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// Which.
    pub figure: Figure,
    /// On the first side: nanoseconds, operations per second, or a share. Percentiles are interpolated, and can be
    /// apart from the report's by its third digit. Null where there are not enough operations.
    pub a: Option<f64>,
    /// On the other one.
    pub b: Option<f64>,
    /// How often intervals like this one hold the true difference.
    pub level: f64,
    /// The difference; null where one of the two figures is.
    pub change: Option<Change>,
    /// What that shows.
    pub finding: Finding,
}

/// By how much a figure differs: B / A - 1, and for `failed` B - A.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Change {
    /// As measured.
    pub measured: f64,
    /// The lower end of its confidence interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The least true difference that nine of ten such comparisons would show.
    pub detectable: f64,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// The median of the durations: the primary figure. It is what the usual operation takes; a machine that stalls for
    /// a moment hardly moves it, so it shows the smallest differences.
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
    /// Fewer do.
    FailsLess,
    /// Nothing: there may be a difference in either direction, or none.
    Nothing,
}

/// Why reports are not compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One was stopped.
    #[error("`{0}` is partial, its run was stopped before the end: run it again, or compare what there is by --force")]
    Partial(String),
    /// They have different numbers of plans.
    #[error(
        "`{a}` has runs of {in_a} tasks or plans, and `{b}` of {in_b}: run both alike, or compare those that both have by \
         --force"
    )]
    Plans {
        /// The first side's files.
        a: String,
        /// How many it has runs of.
        in_a: usize,
        /// The other's.
        b: String,
        /// How many that one has.
        in_b: usize,
    },
    /// Their plans differ.
    #[error("`{a}` and `{b}` ran by different plans ({}): run both alike, or compare them by --force", .fields.join("; "))]
    Differ {
        /// The first side's files.
        a: String,
        /// The other's.
        b: String,
        /// What differs.
        fields: Vec<String>,
    },
    /// A run is too short.
    #[error(
        "`{file}`, run {run} has {intervals} of {interval}, some perhaps empty, which is too little to tell noise from a \
         difference: run it for at least {least}, or several times (--shape 1x1 --shape 1x1 …)"
    )]
    Short {
        /// Its report.
        file: String,
        /// Its place there, from 1.
        run: usize,
        /// How many intervals it has, in words.
        intervals: String,
        /// How long they are.
        interval: String,
        /// How long it should run.
        least: String,
    },
    /// There are too few operations.
    #[error("`{file}` has {operations} operations, which is too few for a median: run at least 20")]
    Few {
        /// The side's files.
        file: String,
        /// How many there are.
        operations: u64,
    },
    /// A histogram cannot be read.
    #[error("`{file}`, run {run}: the histogram of an interval cannot be read; has the report been edited?")]
    Broken {
        /// Its report.
        file: String,
        /// Its place there, from 1.
        run: usize,
    },
}

impl Figure {
    /// All of them, the primary one first.
    pub const ALL: [Self; 6] = [Self::P50, Self::Mean, Self::P90, Self::P99, Self::Throughput, Self::Failed];

    /// Where differences are even: a ratio's logarithm, but the share itself, which can be zero.
    fn scale(self, value: f64) -> f64 {
        if self == Self::Failed { value } else { value.ln() }
    }

    /// A difference on that scale, as it is reported.
    fn change(self, difference: f64) -> f64 {
        if self == Self::Failed { difference } else { difference.exp_m1() }
    }

    /// Operations without which the figure does not exist.
    fn least_operations(self) -> f64 {
        match self {
            Self::P50 => OPERATIONS_ABOVE / 0.5,
            Self::P90 => OPERATIONS_ABOVE / 0.1,
            Self::P99 => OPERATIONS_ABOVE / 0.01,
            Self::Mean | Self::Throughput | Self::Failed => 1.0,
        }
    }

    /// The least difference, on the scale, that is not the way of counting.
    fn resolution(self, a: &Side, b: &Side, value: f64) -> f64 {
        match self {
            Self::P50 | Self::P90 | Self::P99 => a.resolution.max(b.resolution),
            // Of an interval the mean is known to the nanosecond.
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

/// Compares each of `others` with `a`. Chance is drawn from `seed`; `by` is the share by which medians may be longer.
pub fn compare(
    a: &Input,
    others: &[Input],
    scruples: Scruples,
    seed: u64,
    by: Option<f64>,
) -> Result<Comparison, CompareError> {
    let mut matched = Vec::new();
    for b in others {
        matched.extend(plans::matched(a, b, scruples)?);
    }
    let count = matched.len();
    let pairs: Vec<Pair> = matched
        .into_iter()
        .map(|(a, b, differs)| pair(&a, &b, differs, count, seed))
        .collect::<Result<_, CompareError>>()?;
    let fail_if_slower = by.map(|by| Slower { by, held: pairs.iter().any(|pair| pair.is_slower_by(by)) });
    Ok(Comparison {
        schema: SCHEMA.to_owned(),
        gorgon: env!("CARGO_PKG_VERSION").to_owned(),
        seed,
        pairs,
        fail_if_slower,
    })
}

impl Pair {
    /// Whether the median is shown to be longer by more than this share.
    pub fn is_slower_by(&self, by: f64) -> bool {
        self.figures.first().and_then(|primary| primary.change).is_some_and(|change| change.low > by)
    }
}

/// Compares two groups of runs, one of `count` such pairs.
fn pair(a: &Group<'_>, b: &Group<'_>, differs: Vec<String>, count: usize, seed: u64) -> Result<Pair, CompareError> {
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
        sentence: words::sentence(a, b, &figures),
        notes: words::notes(a, b, &figures),
        figures,
        differs,
        a: a.facts(side_a.operations()),
        b: b.facts(side_b.operations()),
    })
}

fn side(group: &Group<'_>) -> Result<Side, CompareError> {
    let runs: Vec<_> = group.runs.iter().map(|run| run.report).collect();
    let at = |place: usize| (group.runs[place].file.to_owned(), group.runs[place].place + 1);
    let side = Side::new(&runs).map_err(|unusable| match unusable {
        Unusable::Broken(place) => {
            let (file, run) = at(place);
            CompareError::Broken { file, run }
        }
        Unusable::TooShort(place) => {
            let ((file, run), timeline) = (at(place), &runs[place].timeline);
            // Twice what is needed or was there, as intervals may stay empty.
            let least = 2 * runs[place].elapsed_ns.max(timeline.interval_ns * resample::LEAST_INTERVALS as u64);
            let least = duration(least);
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
    error: Error,
    count: usize,
) -> Difference {
    let figure = Figure::ALL[place];
    let enough = side_a.operations().min(side_b.operations()) as f64 >= figure.least_operations();
    let (a, b) = (a.filter(|_| enough), b.filter(|_| enough));
    // Bonferroni: of all the primary figures together, and of all others, one of twenty comparisons is wrong somewhere.
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
