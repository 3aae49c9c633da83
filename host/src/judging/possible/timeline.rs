//! Operations over time: the intervals follow each other, and add up.

use super::durations::summary;
use super::flaw::{Checked, Impossible, MOST_ENTRIES, at_most, flaw, time};
use crate::report::{BucketReport, RunReport, TimelineReport};

/// The timeline of a run against its operations and its end.
pub(super) fn check(run: &RunReport) -> Checked {
    let timeline = &run.timeline;
    let interval_ns = timeline.interval_ns;
    buckets(timeline)?;
    // The run ends with its last operation, which is in the last interval that has any. Slots may be dropped later.
    let last_ns = timeline.buckets.iter().rfind(|bucket| bucket.completed > 0).map_or(0, |last| last.start_ns);
    if last_ns > run.elapsed_ns || run.elapsed_ns - last_ns > interval_ns {
        return flaw("buckets", format!("end with an operation at {last_ns} ns, and the run at {}", run.elapsed_ns));
    }
    let (completed, failed) = (sum(timeline, |bucket| bucket.completed), sum(timeline, |bucket| bucket.failed));
    if completed != Some(run.operations.completed) || failed != Some(run.operations.not_ok()) {
        return flaw("buckets", "do not add up to the operations of the run");
    }
    Ok(())
}

/// The sum over all intervals; `None` if it is too large.
pub(super) fn sum(timeline: &TimelineReport, of: fn(&BucketReport) -> u64) -> Option<u64> {
    timeline.buckets.iter().map(of).try_fold(0_u64, u64::checked_add)
}

/// The intervals follow each other, and each is possible.
pub(super) fn buckets(timeline: &TimelineReport) -> Checked {
    let interval_ns = timeline.interval_ns;
    if interval_ns == 0 {
        return flaw("interval_ns", "is 0");
    }
    time(interval_ns, "interval_ns")?;
    at_most(timeline.buckets.len(), MOST_ENTRIES, "buckets")?;
    for (i, bucket) in timeline.buckets.iter().enumerate() {
        let here = |flaw: Impossible| flaw.of(&format!("buckets[{i}]"));
        if Some(bucket.start_ns) != interval_ns.checked_mul(i as u64) {
            return Err(here(Impossible::new("start_ns", format!("is {}, and not {i} intervals", bucket.start_ns))));
        }
        check_bucket(bucket, interval_ns).map_err(here)?;
    }
    Ok(())
}

fn check_bucket(bucket: &BucketReport, interval_ns: u64) -> Checked {
    if bucket.length_ns.is_some_and(|length| length > interval_ns) {
        return flaw("length_ns", format!("is longer than the interval, {interval_ns}"));
    }
    if bucket.failed > bucket.completed {
        return flaw("failed", format!("is more than completed, {}", bucket.completed));
    }
    let of_results = bucket.results.values().try_fold(0_u64, |sum, operations| sum.checked_add(*operations));
    if of_results != Some(bucket.completed) {
        return flaw("results", format!("do not add up to completed, {}", bucket.completed));
    }
    bucket.lag_ns.map_or(Ok(()), |ns| time(ns, "lag_ns"))?;
    summary(&bucket.latency_ns, Some(bucket.completed)).map_err(|flaw| flaw.of("latency_ns"))
}
