//! Whether the figures of a run agree with each other. A report that was edited must not lead to a conclusion.

use crate::metrics::HIGHEST_NS;
use crate::report::{BucketReport, RunReport, Summary};

/// Why nothing is concluded from a run.
#[derive(Debug, thiserror::Error)]
#[error("`{file}`, run {run}: {problem}; was the report edited?")]
pub struct Unsound {
    /// The file of its report.
    pub file: String,
    /// The number of the run in it, from 1.
    pub run: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// The problem with a histogram that does not decode, or decodes to another number of durations.
pub(super) const UNREADABLE: &str = "the histogram of an interval cannot be read";

/// More operations than this do not fit into a histogram.
const MOST_OPERATIONS: u64 = 1 << 48;

/// A histogram's mean is within a thousandth of the exact one. If two figures are further apart than ten times that,
/// one of them is wrong.
const TOLERANCE: f64 = 0.01;

/// What is wrong with a run, if anything.
pub fn check(run: &RunReport) -> Result<(), &'static str> {
    let (timeline, counts) = (&run.timeline, &run.operations);
    if timeline.interval_ns == 0 {
        return Err("its intervals have no length");
    }
    let starts = (0..).map(|i: u64| i.checked_mul(timeline.interval_ns));
    let are_adjacent = timeline.buckets.iter().zip(starts).all(|(bucket, start)| Some(bucket.start_ns) == start);
    // Slots may be dropped after the last operation has ended.
    let last_ns = timeline.buckets.iter().rfind(|bucket| bucket.completed > 0).map_or(0, |last| last.start_ns);
    let end_ns = timeline.interval_ns.checked_mul(timeline.buckets.len() as u64);
    // The run ends with its last operation, which is in the last interval that has any.
    let ends_there = last_ns <= run.elapsed_ns && run.elapsed_ns - last_ns <= timeline.interval_ns;
    if !are_adjacent || !ends_there || end_ns.is_none() {
        return Err("its intervals do not follow each other from the beginning to the end of the run");
    }
    if let Some((throughput, window_ns)) = run.throughput.zip(run.throughput_window_ns) {
        let per_second = counts.completed as f64 * 1e9 / window_ns as f64;
        if window_ns == 0 || (throughput - per_second).abs() > TOLERANCE * per_second {
            return Err("its throughput is not that of its operations and its time");
        }
    }
    for bucket in &timeline.buckets {
        check_bucket(bucket)?;
    }
    let completed = timeline.buckets.iter().try_fold(0_u64, |sum, bucket| sum.checked_add(bucket.completed));
    let parts = [counts.ok, counts.failed, counts.trapped, counts.timed_out];
    let by_outcome = parts.into_iter().try_fold(0_u64, u64::checked_add);
    let failed = timeline.buckets.iter().try_fold(0_u64, |sum, bucket| sum.checked_add(bucket.failed));
    let by_result = run.results.iter().try_fold(0_u64, |sum, result| sum.checked_add(result.operations));
    let parts = [counts.completed, counts.dropped, counts.lost, counts.in_flight];
    let offered = parts.into_iter().try_fold(0_u64, u64::checked_add);
    let (in_all, not_ok) = (Some(counts.completed), Some(counts.not_ok()));
    let are_equal = completed == in_all && by_outcome == in_all && by_result == in_all && failed == not_ok;
    if !are_equal || offered != Some(counts.offered) || counts.completed > MOST_OPERATIONS {
        return Err("its counts of operations do not add up");
    }
    check_all(run)
}

/// Checks the durations of all operations together.
fn check_all(run: &RunReport) -> Result<(), &'static str> {
    let summary = &run.latency_ns;
    if summary.count != run.operations.completed {
        return Err("it has another number of durations than of operations");
    }
    if summary.count == 0 {
        return Ok(());
    }
    let hdr = summary.histogram().filter(|hdr| hdr.len() == summary.count).ok_or("its histogram cannot be read")?;
    let (Some(min), Some(max)) = (summary.min, summary.max) else { return Err("its durations have no bounds") };
    let is_near = |exact: u64, in_hdr: u64| exact.abs_diff(in_hdr) as f64 <= TOLERANCE * in_hdr as f64 + 1.0;
    let is_capped = summary.overflow > 0 && max >= HIGHEST_NS;
    if !is_near(min, hdr.min()) || !(is_capped || is_near(max, hdr.max())) || !is_mean_of(summary, hdr.mean()) {
        return Err("its durations are not those of its histogram");
    }
    Ok(())
}

fn check_bucket(bucket: &BucketReport) -> Result<(), &'static str> {
    let summary = &bucket.latency_ns;
    if bucket.completed != summary.count || bucket.failed > bucket.completed {
        return Err("the counts of an interval do not add up");
    }
    if summary.count == 0 {
        return Ok(());
    }
    let hdr = summary.histogram().filter(|hdr| hdr.len() == summary.count).ok_or(UNREADABLE)?;
    if !is_mean_of(summary, hdr.mean()) {
        return Err("the mean of an interval is not that of its histogram");
    }
    Ok(())
}

/// Whether a summary has a sum, or a mean, that fits the mean of its histogram.
fn is_mean_of(summary: &Summary, mean_ns: f64) -> bool {
    if summary.sum.is_none() && summary.mean.is_none() {
        return false;
    }
    let exact_ns = summary.sum() as f64 / summary.count as f64;
    // A histogram counts longer durations as an hour. It counts 0 ns as 1 ns.
    let is_capped = summary.overflow > 0 && exact_ns >= mean_ns && mean_ns <= HIGHEST_NS as f64 * (1.0 + TOLERANCE);
    is_capped || (exact_ns - mean_ns).abs() <= TOLERANCE * mean_ns + 1.0
}
