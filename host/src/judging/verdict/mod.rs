//! Promises that a run must keep: `p99>250ms`, `failed>0.1%`, `worst(throughput, 10s)<500`.
//!
//! An expression compares a figure of the report with a value, and holds or does not; `--fail-if` fails a run for which
//! it holds. If the figure does not exist, the expression does not hold, and the verdict is unknown. `parse.rs` has the
//! syntax.

mod parse;

use std::fmt;
use std::ops::AddAssign;

use crate::metrics::{Histogram, Outcome};
use crate::report::find::{DrawnFigure, Promise};
use crate::report::{BucketReport, Moment, ResultReport, RunReport, Summary, Unit, Verdict};
pub use parse::ExpressionError;

/// While a run goes on, figures of fewer operations than this say nothing yet.
const EARLY_OPERATIONS: u64 = 100;

/// While a run goes on, rates over a shorter time than this say nothing yet.
const EARLY_NS: u64 = 1_000_000_000;

/// A comparison of one figure with one value.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    figure: Subject,
    comparison: Operator,
    value: f64,
}

/// A quantity of some operations.
#[derive(Clone, Debug, PartialEq)]
struct Subject {
    of: Scope,
    quantity: Quantity,
    /// If given, the run is split into windows of this length, and the worst one counts.
    window_ns: Option<u64>,
}

/// Which operations, or which of their times, a figure covers.
#[derive(Clone, Debug, PartialEq)]
enum Scope {
    Run,
    Result(String),
    Span(String),
    Service,
    Lag,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantity {
    Time(Time),
    Counted(Count, CountedAs),
    Throughput,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Time {
    Min,
    Mean,
    Max,
    /// Between 0 and 1.
    Quantile(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// Every operation of the scope.
    All,
    /// Those that were not ok.
    Failed,
    Trapped,
    TimedOut,
    Lost,
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountedAs {
    Number,
    /// The share of all operations that were due; in a window, of those that ended there; for a span, of the span's
    /// operations.
    Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Expression {
    /// Checks the expression against run number `run` of a report.
    pub fn judge(&self, run: usize, report: &RunReport) -> Verdict {
        self.verdict(run, self.figure.value(report, self.comparison, Moment::Ended))
    }

    /// Checks the expression against a run that still goes on. The verdict is unknown for figures of fewer than a
    /// hundred operations, rates over less than a second, and figures that later operations may undo: `failed<5`,
    /// `max<1s`. A count or a maximum that exceeds its bound is known at once. A rate covers the time up to the last
    /// completed operation, so it does not notice that operations have stopped completing.
    pub fn judge_early(&self, run: usize, report: &RunReport) -> Verdict {
        self.verdict(run, self.figure.value(report, self.comparison, Moment::Running))
    }

    fn verdict(&self, run: usize, value: Option<f64>) -> Verdict {
        let held = value.is_some_and(|value| match self.comparison {
            Operator::Above => value > self.value,
            Operator::AtLeast => value >= self.value,
            Operator::Below => value < self.value,
            Operator::AtMost => value <= self.value,
        });
        let (unit, bound) = (Some(self.unit()), Some(self.value));
        Verdict { expression: self.text.clone(), run, held, value, unit, bound }
    }
}

impl Expression {
    /// The expression as a promise: its figure, if that can be drawn, and its bound.
    pub fn promise(&self) -> Promise {
        let drawn = match (&self.figure.of, self.figure.quantity, self.figure.window_ns) {
            (Scope::Run, Quantity::Time(_), None) => Some(DrawnFigure::Latency),
            (Scope::Run, Quantity::Counted(Count::Failed, CountedAs::Share), None) => Some(DrawnFigure::Failed),
            _ => None,
        };
        Promise { expression: self.text.clone(), drawn, unit: self.unit(), bound: self.value }
    }

    fn unit(&self) -> Unit {
        match self.figure.quantity {
            Quantity::Time(_) => Unit::Nanoseconds,
            Quantity::Counted(_, CountedAs::Share) => Unit::Share,
            Quantity::Counted(_, CountedAs::Number) => Unit::Operations,
            Quantity::Throughput => Unit::PerSecond,
        }
    }
}

/// Adds the units and bounds that verdicts in older reports lack.
pub fn complete(verdicts: &mut [Verdict]) {
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.unit.is_none()) {
        if let Ok(expression) = verdict.expression.parse::<Expression>() {
            (verdict.unit, verdict.bound) = (Some(expression.unit()), Some(expression.value));
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Operator {
    fn is_upward(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }
}

impl Subject {
    fn value(&self, report: &RunReport, comparison: Operator, moment: Moment) -> Option<f64> {
        if moment == Moment::Running && !self.is_settled(report, comparison) {
            return None;
        }
        match self.window_ns {
            None => self.of_run(report),
            Some(window_ns) => {
                let values =
                    windows(report, window_ns, moment).into_iter().filter_map(|window| self.of_window(&window));
                values.reduce(if comparison.is_upward() { f64::max } else { f64::min })
            }
        }
    }

    /// Whether the figure is reliable while the run goes on.
    fn is_settled(&self, report: &RunReport, comparison: Operator) -> bool {
        let completed = report.operations.completed;
        match self.quantity {
            Quantity::Throughput => report.elapsed_ns >= EARLY_NS,
            Quantity::Time(Time::Max) | Quantity::Counted(_, CountedAs::Number) => comparison.is_upward(),
            Quantity::Time(Time::Min) => !comparison.is_upward(),
            Quantity::Time(_) if self.window_ns.is_none() => self.times(report).is_some_and(|times| times.is_many()),
            Quantity::Counted(_, CountedAs::Share) if self.window_ns.is_none() => match &self.of {
                Scope::Span(name) => span(report, name).map(|(_, times)| times.count).sum::<u64>() >= EARLY_OPERATIONS,
                _ => completed >= EARLY_OPERATIONS,
            },
            Quantity::Time(_) | Quantity::Counted(_, CountedAs::Share) => completed >= EARLY_OPERATIONS,
        }
    }

    fn of_run(&self, report: &RunReport) -> Option<f64> {
        match self.quantity {
            Quantity::Time(time) => self.times(report)?.get(time),
            Quantity::Counted(count, unit) => {
                let (counted, all) = self.count(report, count);
                share(counted, all, unit)
            }
            Quantity::Throughput => match &self.of {
                Scope::Result(name) => results(report, name).map(|result| result.throughput).sum(),
                _ => report.throughput,
            },
        }
    }

    /// The durations, or lags, of the figure's operations, added up.
    fn times(&self, report: &RunReport) -> Option<Durations> {
        match &self.of {
            Scope::Run => Durations::sum([&report.latency_ns]),
            Scope::Service => Durations::sum([&report.service_ns]),
            Scope::Lag => Durations::sum([report.schedule_lag_ns.as_ref()?]),
            Scope::Result(name) => Durations::sum(results(report, name).map(|result| &result.latency_ns)),
            Scope::Span(name) => Durations::sum(span(report, name).map(|(_, times)| times)),
        }
    }

    /// The number of counted operations, and of all operations that it is a share of.
    fn count(&self, report: &RunReport, count: Count) -> (u64, u64) {
        let counts = &report.operations;
        let counted = match (&self.of, count) {
            (Scope::Span(name), _) => {
                let spans = |failed: bool| -> u64 {
                    let spans = span(report, name).filter(|(result, _)| !failed || result.outcome != Outcome::Ok);
                    spans.map(|(_, times)| times.count).sum()
                };
                return (spans(true), spans(false));
            }
            (Scope::Result(name), _) => results(report, name).map(|result| result.operations).sum(),
            (_, Count::All) => counts.completed,
            (_, Count::Failed) => counts.completed - counts.ok,
            (_, Count::Trapped) => counts.trapped,
            (_, Count::TimedOut) => counts.timed_out,
            (_, Count::Lost) => counts.lost,
            (_, Count::Dropped) => counts.dropped,
        };
        (counted, counts.offered)
    }

    fn of_window(&self, window: &TimelineWindow<'_>) -> Option<f64> {
        let sum = |of: fn(&BucketReport) -> u64| window.buckets.iter().map(of).sum::<u64>();
        let completed = sum(|bucket| bucket.completed);
        match (self.quantity, &self.of) {
            (Quantity::Time(time), _) => {
                Durations::sum(window.buckets.iter().map(|bucket| &bucket.latency_ns))?.get(time)
            }
            (Quantity::Counted(_, unit), Scope::Result(name)) => {
                let of_result = window.buckets.iter().filter_map(|bucket| bucket.results.get(name.as_str())).sum();
                share(of_result, completed, unit)
            }
            (Quantity::Counted(_, unit), _) => share(sum(|bucket| bucket.failed), completed, unit),
            (Quantity::Throughput, _) => {
                (window.length_ns > 0).then(|| completed as f64 * 1e9 / window.length_ns as f64)
            }
        }
    }
}

fn share(counted: u64, all: u64, unit: CountedAs) -> Option<f64> {
    match unit {
        CountedAs::Number => Some(counted as f64),
        CountedAs::Share => (all > 0).then(|| counted as f64 / all as f64),
    }
}

/// The entries of one result: one for each of its outcomes.
fn results<'a>(report: &'a RunReport, name: &'a str) -> impl Iterator<Item = &'a ResultReport> {
    report.results.iter().filter(move |result| result.result == name)
}

/// The spans of one name, from all results.
fn span<'a>(report: &'a RunReport, name: &'a str) -> impl Iterator<Item = (&'a ResultReport, &'a Summary)> {
    let beneath = |result: &'a ResultReport| result.spans.iter().map(move |span| (result, span));
    report
        .results
        .iter()
        .flat_map(beneath)
        .filter(move |(_, span)| span.name == name)
        .map(|(of, span)| (of, &span.latency_ns))
}

/// Consecutive intervals of the timeline.
struct TimelineWindow<'a> {
    buckets: &'a [BucketReport],
    length_ns: u64,
}

/// Splits the run into windows of `window_ns`, rounded up to whole intervals. The last window is dropped if the run's
/// end cuts it short, unless the run has ended and there is no other window.
fn windows(report: &RunReport, window_ns: u64, moment: Moment) -> Vec<TimelineWindow<'_>> {
    let interval_ns = report.timeline.interval_ns;
    let per_window = window_ns.div_ceil(interval_ns).max(1);
    let window_ns = per_window * interval_ns;
    let chunks = report.timeline.buckets.chunks(usize::try_from(per_window).unwrap_or(usize::MAX));
    let windows: Vec<_> = chunks
        .enumerate()
        .map(|(place, buckets)| {
            let begin_ns = place as u64 * window_ns;
            let of_old_reports = window_ns.min(report.elapsed_ns.saturating_sub(begin_ns));
            let length_ns = buckets.iter().map(|bucket| bucket.length_ns).sum();
            TimelineWindow { buckets, length_ns: Option::unwrap_or(length_ns, of_old_reports) }
        })
        .collect();
    let is_alone = windows.len() == 1 && moment == Moment::Ended;
    windows.into_iter().filter(|window| is_alone || window.length_ns == window_ns).collect()
}

/// The durations of several summaries: the sum of their histograms.
struct Durations {
    hdr: hdrhistogram::Histogram<u64>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Durations {
    /// `None` if a histogram cannot be read.
    fn sum<'a>(summaries: impl IntoIterator<Item = &'a Summary>) -> Option<Self> {
        let mut sum = Self { hdr: Histogram::default().to_hdr(), count: 0, sum: 0, min: u64::MAX, max: 0 };
        for summary in summaries.into_iter().filter(|summary| summary.count > 0) {
            sum.hdr.add_assign(summary.histogram()?);
            sum.count += summary.count;
            sum.sum += summary.sum();
            sum.min = sum.min.min(summary.min?);
            sum.max = sum.max.max(summary.max?);
        }
        Some(sum)
    }

    fn is_many(&self) -> bool {
        self.count >= EARLY_OPERATIONS
    }

    fn get(&self, time: Time) -> Option<f64> {
        // With too few operations, a percentile above the 99th would be the maximum under another name.
        let is_shown = |quantile: f64| quantile <= 0.99 || self.count as f64 * (1.0 - quantile) > 1.0 - 1e-6;
        let percentile = |quantile| self.hdr.value_at_quantile(quantile).max(self.min).min(self.max);
        match time {
            _ if self.count == 0 => None,
            Time::Min => Some(self.min as f64),
            Time::Max => Some(self.max as f64),
            Time::Mean => Some(self.sum as f64 / self.count as f64),
            Time::Quantile(quantile) => is_shown(quantile).then(|| percentile(quantile) as f64),
        }
    }
}

#[cfg(test)]
mod tests;
