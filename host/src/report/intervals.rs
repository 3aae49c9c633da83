//! The intervals of a report: operations over time, of the whole run or of one of its boxes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::derive::{elapsed_ns, scheduled_ns, summary};
use super::{BucketReport, TimelineReport};
use crate::guest_text::GuestText;
use crate::metrics::{Histogram, Metrics, OTHER, Outcome, ResultMetrics, Timeline};
use crate::pace::Slots;
use crate::record::RunRecord;

/// How many entries the results of all intervals have together. A result has up to 256 bytes, and a timeline hundreds
/// of intervals.
const MOST_ENTRIES: usize = 20_000;

/// The timeline of a run.
pub(super) fn of_run(record: &RunRecord) -> TimelineReport {
    let mut report = of_part(record, record.metrics.timeline(), 1);
    // An operation is counted when it ends; these never did.
    for began_ns in record.in_flight.iter().filter_map(|cut| cut.started_ns) {
        let last = report.buckets.len().saturating_sub(1);
        let at = usize::try_from(began_ns / report.interval_ns.max(1)).map_or(last, |at| at.min(last));
        if let Some(bucket) = report.buckets.get_mut(at) {
            bucket.started += 1;
        }
    }
    let mut due = Due::of(record);
    for bucket in &mut report.buckets {
        bucket.due = due.as_mut().map(|due| due.before(bucket.start_ns + report.interval_ns));
    }
    report
}

/// The timeline of one of the `parts` of a run, in the same intervals as that of the run.
pub(super) fn of_part(record: &RunRecord, part: &Timeline, parts: usize) -> TimelineReport {
    let metrics = &record.metrics;
    let end_ns = elapsed_ns(metrics).max(scheduled_ns(record).unwrap_or_default());
    let lag = |ns: u64| record.plan.load_model().open().map(|_| ns);
    // Intervals in which a schedule went on and nothing ended are zeros, not gaps.
    let timeline = part.reaching(end_ns, metrics.timeline().interval_ns());
    let interval_ns = timeline.interval_ns();
    let covered_ns = |start_ns: u64| end_ns.saturating_sub(start_ns).min(interval_ns);
    let empty = |i: u64| BucketReport {
        start_ns: i * interval_ns,
        length_ns: Some(covered_ns(i * interval_ns)),
        partial: covered_ns(i * interval_ns) < interval_ns,
        due: None,
        started: 0,
        dropped: 0,
        lag_ns: lag(0),
        completed: 0,
        failed: 0,
        latency_ns: summary(&Histogram::default()),
        results: BTreeMap::new(),
    };
    let kept = most_frequent(metrics, MOST_ENTRIES / (timeline.buckets().len() * parts).max(1));
    let name =
        |result: &ResultMetrics| if kept.contains(&result.result) { result.result.clone() } else { OTHER.into() };
    let filled = timeline.buckets().map(|(start_ns, bucket)| {
        let by_result = || metrics.results().iter().zip(&bucket.results).filter(|&(_, &operations)| operations > 0);
        let mut results = BTreeMap::new();
        by_result().for_each(|(result, operations)| *results.entry(name(result)).or_default() += operations);
        BucketReport {
            started: bucket.started,
            dropped: bucket.dropped,
            lag_ns: lag(bucket.worst_lag_ns),
            completed: bucket.latency.count(),
            failed: by_result().filter(|(result, _)| result.outcome != Outcome::Ok).map(|(_, &n)| n).sum(),
            latency_ns: summary(&bucket.latency),
            results,
            ..empty(start_ns / interval_ns)
        }
    });
    let mut buckets: Vec<_> = filled.collect();
    let first = buckets.first().map_or(0, |first| first.start_ns / interval_ns);
    buckets.splice(0..0, (0..first).map(empty));
    TimelineReport { interval_ns, buckets }
}

/// The `most` results with the most operations; all, if there are not more.
fn most_frequent(metrics: &Metrics, most: usize) -> BTreeSet<GuestText> {
    let mut results: Vec<_> = metrics.results().iter().collect();
    results.sort_by_key(|result| Reverse(result.measured.operations()));
    results.iter().take(most).map(|result| result.result.clone()).collect()
}

/// Counts the slots of an open run that were due.
struct Due {
    slots: Slots,
    counted: u64,
    /// As many as the run has offered, which is fewer than the schedule has if the run was stopped.
    most: u64,
}

impl Due {
    /// `None` for a closed run.
    fn of(record: &RunRecord) -> Option<Self> {
        let open = record.plan.load_model().open()?;
        Some(Self { slots: Slots::of_run(&record.plan, open), counted: 0, most: record.offered })
    }

    /// How many were due before `end_ns`, and have not been counted yet.
    fn before(&mut self, end_ns: u64) -> u64 {
        let due = self.slots.due_by(end_ns.saturating_sub(1));
        self.slots.skip_to(due);
        let counted = due.0.min(self.most);
        counted - std::mem::replace(&mut self.counted, counted)
    }
}
