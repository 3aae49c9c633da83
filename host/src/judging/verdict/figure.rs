//! The figures that expressions compare, and why there may be none.

use std::ops::AddAssign;

use super::{Count, CountedAs, Operator, Quantity, Scope, Subject, Time};
use crate::metrics::{Histogram, OTHER, Outcome};
use crate::report::{
    Basis, BucketReport, Moment, NetworkReport, ResultReport, RunReport, SpanReport, Summary, Unit, percentile,
};

/// While a run goes on, figures of fewer operations than this say nothing yet.
const EARLY_OPERATIONS: u64 = 100;

/// While a run goes on, rates over a shorter time than this say nothing yet.
pub(super) const EARLY_NS: u64 = 1_000_000_000;

/// What a bound is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) value: f64,
    pub(super) basis: Basis,
    /// How many durations the figure covers; `None` if it is not a time.
    pub(super) samples: Option<u64>,
}

/// Why there is nothing to compare with.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Problem {
    #[error("no operation ended")]
    NoOperation,
    #[error("no operation was due")]
    NothingDue,
    #[error("no operation was ok")]
    NoneOk,
    #[error("no operation had the result `{0}`{1}")]
    NoResult(String, Nearest),
    #[error("no operation had the span `{0}`{1}")]
    NoSpan(String, Nearest),
    #[error("in a closed run operations are due when they start: only a run with --rate or --stages has a lag")]
    NoLag,
    #[error("the task made no HTTP request")]
    NoRequest,
    #[error("an earlier version of gorgon wrote the report, and did not measure this")]
    OldReport,
    #[error("no time passed")]
    NoTime,
    #[error("its histogram in the report cannot be read")]
    Unreadable,
    #[error("the run has not yet shown it")]
    TooEarly,
}

/// The name that did occur and is most like the one that did not; `None` if no name occurred.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nearest(Option<String>);

impl Nearest {
    fn of<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Self {
        let likeness = |name: &&str| strsim::jaro_winkler(name, wanted);
        Self(names.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).map(str::to_owned))
    }
}

impl std::fmt::Display for Nearest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(name) => write!(f, "; the nearest that occurred is `{name}`"),
            None => f.write_str("; none occurred"),
        }
    }
}

impl Subject {
    pub(super) fn unit(&self) -> Unit {
        match self.quantity {
            Quantity::Time(_) => Unit::Nanoseconds,
            Quantity::Counted(_, CountedAs::Share) => Unit::Share,
            Quantity::Counted(_, CountedAs::Number) => Unit::Operations,
            Quantity::Throughput => Unit::PerSecond,
        }
    }

    pub(super) fn value(&self, report: &RunReport, comparison: Operator, moment: Moment) -> Result<Measured, Problem> {
        if moment == Moment::Running && !self.is_settled(report, comparison) {
            return Err(Problem::TooEarly);
        }
        let measured = match self.window_ns {
            None => self.of_run(report)?,
            Some(window_ns) => {
                let worst = if comparison.is_upward() { f64::gt } else { f64::lt };
                let measured =
                    windows(report, window_ns, moment).into_iter().filter_map(|of| self.of_window(report, &of));
                let worst = measured.reduce(|a, b| if worst(&b.value, &a.value) { b } else { a });
                let nothing = || self.counted(0, 0).map_err(|_| Problem::NoOperation);
                worst.map_or_else(nothing, Ok)?
            }
        };
        // Later operations may leave the maximum far above the percentile.
        let is_early = moment == Moment::Running && measured.basis == Basis::Maximum;
        if is_early { Err(Problem::TooEarly) } else { Ok(measured) }
    }

    /// Whether the figure is reliable while the run goes on.
    fn is_settled(&self, report: &RunReport, comparison: Operator) -> bool {
        let completed = report.operations.completed;
        match self.quantity {
            Quantity::Throughput => report.elapsed_ns >= EARLY_NS,
            Quantity::Time(Time::Max) | Quantity::Counted(_, CountedAs::Number) => comparison.is_upward(),
            Quantity::Time(Time::Min) => !comparison.is_upward(),
            Quantity::Time(_) if self.window_ns.is_none() => {
                self.times(report).is_ok_and(|times| times.count >= EARLY_OPERATIONS)
            }
            Quantity::Counted(_, CountedAs::Share) if self.window_ns.is_none() => match &self.of {
                Scope::Span(name) => spans(report, name).map(|span| span.count).sum::<u64>() >= EARLY_OPERATIONS,
                Scope::Http => report.network.as_ref().is_some_and(|of| of.requests >= EARLY_OPERATIONS),
                _ => completed >= EARLY_OPERATIONS,
            },
            Quantity::Time(_) | Quantity::Counted(_, CountedAs::Share) => completed >= EARLY_OPERATIONS,
        }
    }

    fn of_run(&self, report: &RunReport) -> Result<Measured, Problem> {
        match self.quantity {
            Quantity::Time(time) => self.times(report)?.get(time).ok_or_else(|| self.nothing(report)),
            Quantity::Counted(count, CountedAs::Number) if self.of == Scope::Http && report.network.is_none() => {
                debug_assert!(matches!(count, Count::All | Count::Failed), "a request has no other counts");
                Ok(plain(0.0))
            }
            Quantity::Counted(count, _) if self.of == Scope::Http => {
                let network = self.requests(report)?;
                let counted = if count == Count::All { network.requests } else { network.failed.unwrap_or_default() };
                self.counted(counted, network.requests).map_err(|_| Problem::NoRequest)
            }
            Quantity::Counted(count, _) => {
                if let Scope::Span(name) = &self.of
                    && spans(report, name).any(|span| span.failed.is_none())
                {
                    return Err(Problem::OldReport);
                }
                let (counted, all) = self.count(report, count);
                self.counted(counted, all).map_err(|_| self.nothing(report))
            }
            Quantity::Throughput => {
                let of_results = |is_meant: &dyn Fn(&ResultReport) -> bool| {
                    report
                        .results
                        .iter()
                        .filter(|&result| is_meant(result))
                        .map(|result| result.throughput)
                        .reduce(|a, b| a.zip(b).map(|(a, b)| a + b))
                };
                let throughput = match &self.of {
                    Scope::Result(name) => of_results(&|result| result.result == name.as_str()),
                    Scope::Ok => of_results(&|result| result.outcome == Outcome::Ok),
                    Scope::Http => Some(self.requests(report)?.throughput),
                    _ => Some(report.throughput),
                };
                let throughput = throughput.ok_or_else(|| self.nothing(report))?;
                // Either nothing occurred, or it took no time.
                let is_empty = report.operations.completed == 0;
                throughput.map(plain).ok_or(if is_empty { Problem::NoOperation } else { Problem::NoTime })
            }
        }
    }

    /// Why the figure does not exist: what it is about never occurred.
    fn nothing(&self, report: &RunReport) -> Problem {
        match &self.of {
            Scope::Result(name) => {
                let names = report.results.iter().map(|result| result.result.raw());
                Problem::NoResult(name.clone(), Nearest::of(name, names))
            }
            Scope::Span(name) => {
                let names = report.results.iter().flat_map(|result| &result.spans).map(|span| span.name.raw());
                Problem::NoSpan(name.clone(), Nearest::of(name, names))
            }
            Scope::Ok => Problem::NoneOk,
            Scope::Http => Problem::NoRequest,
            Scope::Lag if report.schedule_lag_ns.is_none() => Problem::NoLag,
            Scope::Run if matches!(self.quantity, Quantity::Counted(..)) => Problem::NothingDue,
            Scope::Run | Scope::Service | Scope::Lag => Problem::NoOperation,
        }
    }

    /// The durations, or lags, of the figure's operations, added up.
    pub(super) fn times(&self, report: &RunReport) -> Result<Durations, Problem> {
        let of_ok = || report.results.iter().filter(|result| result.outcome == Outcome::Ok);
        match &self.of {
            Scope::Run => Durations::sum([&report.latency_ns]),
            Scope::Ok => Durations::sum(of_ok().map(|result| &result.latency_ns)),
            Scope::Service => Durations::sum([&report.service_ns]),
            Scope::Lag => Durations::sum(&report.schedule_lag_ns),
            Scope::Http => Durations::sum(&self.requests(report)?.duration_ns),
            Scope::Result(name) => Durations::sum(results(report, name).map(|result| &result.latency_ns)),
            Scope::Span(name) => Durations::sum(spans(report, name).map(|span| &span.latency_ns)),
        }
    }

    /// The requests of the run, if there were any and they were measured.
    fn requests<'a>(&self, report: &'a RunReport) -> Result<&'a NetworkReport, Problem> {
        let network = report.network.as_ref().filter(|of| of.requests > 0).ok_or_else(|| self.nothing(report))?;
        if network.failed.is_some() { Ok(network) } else { Err(Problem::OldReport) }
    }

    /// The number of counted operations, and of all operations that it is a share of.
    pub(super) fn count(&self, report: &RunReport, count: Count) -> (u64, u64) {
        let counts = &report.operations;
        let counted = match (&self.of, count) {
            (Scope::Span(name), _) => {
                let sum = |of: fn(&SpanReport) -> u64| spans(report, name).map(of).sum();
                return (sum(|span| span.failed.unwrap_or_default()), sum(|span| span.count));
            }
            (Scope::Result(name), _) => results(report, name).map(|result| result.operations).sum(),
            (_, Count::All) => counts.completed,
            (_, Count::Ok) => counts.ok,
            (_, Count::Failed) => counts.not_ok(),
            (_, Count::Trapped) => counts.trapped,
            (_, Count::TimedOut) => counts.timed_out,
            (_, Count::Lost) => counts.lost,
            (_, Count::Dropped) => counts.dropped,
        };
        (counted, counts.offered)
    }

    /// The figure of one window; `None` if nothing occurred in it.
    fn of_window(&self, report: &RunReport, window: &TimelineWindow<'_>) -> Option<Measured> {
        let sum = |of: fn(&BucketReport) -> u64| window.buckets.iter().map(of).sum::<u64>();
        let completed = sum(|bucket| bucket.completed);
        let ok = || completed - sum(|bucket| bucket.failed);
        match (self.quantity, &self.of) {
            (Quantity::Time(time), _) => {
                Durations::sum(window.buckets.iter().map(|bucket| &bucket.latency_ns)).ok()?.get(time)
            }
            (Quantity::Counted(..), Scope::Result(name)) => {
                // Of many results, the intervals of a report have only the most frequent.
                let are_folded = window.buckets.iter().any(|bucket| bucket.results.contains_key(OTHER));
                if are_folded
                    && !report.timeline.buckets.iter().any(|bucket| bucket.results.contains_key(name.as_str()))
                {
                    return None;
                }
                let of_result = window.buckets.iter().filter_map(|bucket| bucket.results.get(name.as_str())).sum();
                self.counted(of_result, completed).ok()
            }
            (Quantity::Counted(Count::Ok, _), _) => self.counted(ok(), completed).ok(),
            (Quantity::Counted(..), _) => self.counted(sum(|bucket| bucket.failed), completed).ok(),
            (Quantity::Throughput, of) => {
                let operations = if *of == Scope::Ok { ok() } else { completed };
                (window.length_ns > 0).then(|| plain(operations as f64 * 1e9 / window.length_ns as f64))
            }
        }
    }

    /// A count as the expression wants it: a number, or a share, which nothing does not have.
    fn counted(&self, counted: u64, all: u64) -> Result<Measured, Problem> {
        match self.quantity {
            Quantity::Counted(_, CountedAs::Number) => Ok(plain(counted as f64)),
            Quantity::Counted(_, CountedAs::Share) if all > 0 => Ok(plain(counted as f64 / all as f64)),
            _ => Err(Problem::NothingDue),
        }
    }
}

/// A figure that is not a time.
fn plain(value: f64) -> Measured {
    Measured { value, basis: Basis::Value, samples: None }
}

/// The entries of one result: one for each of its outcomes.
fn results<'a>(report: &'a RunReport, name: &'a str) -> impl Iterator<Item = &'a ResultReport> {
    report.results.iter().filter(move |result| result.result == name)
}

/// The spans of one name, beneath each result that has them.
fn spans<'a>(report: &'a RunReport, name: &'a str) -> impl Iterator<Item = &'a SpanReport> {
    report.results.iter().flat_map(|result| &result.spans).filter(move |span| span.name == name)
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
pub(super) struct Durations {
    pub(super) hdr: hdrhistogram::Histogram<u64>,
    pub(super) count: u64,
    sum: u128,
    min: u64,
    pub(super) max: u64,
}

impl Durations {
    fn sum<'a>(summaries: impl IntoIterator<Item = &'a Summary>) -> Result<Self, Problem> {
        let mut sum = Self { hdr: Histogram::default().to_hdr(), count: 0, sum: 0, min: u64::MAX, max: 0 };
        for summary in summaries.into_iter().filter(|summary| summary.count > 0) {
            sum.hdr.add_assign(summary.histogram().ok_or(Problem::Unreadable)?);
            sum.count += summary.count;
            sum.sum += summary.sum();
            sum.min = sum.min.min(summary.min.ok_or(Problem::Unreadable)?);
            sum.max = sum.max.max(summary.max.ok_or(Problem::Unreadable)?);
        }
        Ok(sum)
    }

    /// `None` if there are no durations. A percentile of too few is judged by their maximum, which it cannot exceed.
    fn get(&self, time: Time) -> Option<Measured> {
        let of = |value: f64, basis| Measured { value, basis, samples: Some(self.count) };
        let percentile = |quantile| self.hdr.value_at_quantile(quantile).max(self.min).min(self.max) as f64;
        match time {
            _ if self.count == 0 => None,
            Time::Min => Some(of(self.min as f64, Basis::Value)),
            Time::Max => Some(of(self.max as f64, Basis::Value)),
            Time::Mean => Some(of(self.sum as f64 / self.count as f64, Basis::Value)),
            Time::Quantile(quantile) if percentile::exists(quantile, self.count) => {
                Some(of(percentile(quantile), Basis::Value))
            }
            Time::Quantile(_) => Some(of(self.max as f64, Basis::Maximum)),
        }
    }
}
