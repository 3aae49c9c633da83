//! The boxes of a run, and the operations that may have been executed twice.

use std::collections::{BTreeMap, BTreeSet};

use super::durations::summary;
use super::flaw::{Checked, MOST_ENTRIES, all, at_most, flaw, per_second, time};
use super::timeline::{buckets, sum};
use crate::fault::FaultKind;
use crate::report::{BoxReport, BucketReport, RunReport};

/// The boxes of a run against its workers.
pub(super) fn check(run: &RunReport) -> Checked {
    let names: BTreeSet<&str> = run.boxes.iter().map(|of| of.name.as_str()).collect();
    if names.len() < run.boxes.len() {
        return flaw("boxes", "has a name twice");
    }
    if run.plan.boxes.is_some_and(|boxes| boxes as usize != run.boxes.len()) {
        return flaw("boxes", "are not as many as those of the plan");
    }
    if run.boxes.iter().any(|of| of.lost) && run.faults.iter().all(|fault| fault.kind != FaultKind::BoxLost) {
        return flaw("boxes", "has a lost one, and there is no fault for it");
    }
    if !run.boxes.is_empty() && run.workers.iter().any(|worker| worker.of_box.is_none()) {
        return flaw("workers", "has one without a box");
    }
    let is_known = |name: &&str| names.contains(name);
    if let Some(stray) = run.workers.iter().filter_map(|worker| worker.of_box.as_deref()).find(|name| !is_known(name)) {
        return flaw("workers", format!("has a worker on the box `{stray}`, which is not in `boxes`"));
    }
    let mut did: BTreeMap<&str, (u64, u128)> = BTreeMap::new();
    for worker in &run.workers {
        let (workers, operations) = did.entry(worker.of_box.as_deref().unwrap_or_default()).or_default();
        *workers += 1;
        *operations += u128::from(worker.operations);
    }
    all(&run.boxes, "boxes", |of| {
        let (workers, operations) = did.get(of.name.as_str()).copied().unwrap_or_default();
        if workers != of.workers {
            return flaw("workers", "is not the number of workers on the box");
        }
        if u128::from(of.operations) != operations {
            return flaw("operations", "is not the sum of its workers' operations");
        }
        if of.cpus == 0 {
            return flaw("cpus", "is 0");
        }
        time(of.rtt_ns, "rtt_ns")?;
        time(of.start_skew_ns.unwrap_or_default(), "start_skew_ns")?;
        if of.clock_uncertainty_ns != of.rtt_ns.div_ceil(2) {
            return flaw("clock_uncertainty_ns", "is not half of rtt_ns");
        }
        if let Some(share) = of.saturated.filter(|share| !(0.0..=1.0).contains(share)) {
            return flaw("saturated", format!("is {share}, and not a share"));
        }
        over_time(of, run)
    })?;
    possibly_twice(run)
}

/// What is known of the operations of a box over time, against their number and the timeline of the run.
fn over_time(of: &BoxReport, run: &RunReport) -> Checked {
    per_second(of.throughput, "throughput")?;
    of.latency_ns.as_ref().map_or(Ok(()), |s| summary(s, Some(of.operations)).map_err(|flaw| flaw.of("latency_ns")))?;
    let Some(timeline) = &of.timeline else { return Ok(()) };
    buckets(timeline).map_err(|flaw| flaw.of("timeline"))?;
    let (its, all) = (timeline, &run.timeline);
    if (its.interval_ns, its.buckets.len()) != (all.interval_ns, all.buckets.len()) {
        return flaw("timeline", "does not have the intervals of the run's timeline");
    }
    if sum(its, |bucket| bucket.completed) != Some(of.operations) {
        return flaw("timeline", "does not add up to the operations of the box");
    }
    let is_more = |(its, all): (&BucketReport, &BucketReport)| its.completed > all.completed || its.failed > all.failed;
    if its.buckets.iter().zip(&all.buckets).any(is_more) {
        return flaw("timeline", "has more operations in an interval than the run");
    }
    Ok(())
}

/// The ranges are numbers of the plan, in their order, and there is a box that held them.
fn possibly_twice(run: &RunReport) -> Checked {
    let ranges = &run.possibly_executed_twice;
    at_most(ranges.len(), MOST_ENTRIES, "possibly_executed_twice")?;
    let wrong = |problem: String| flaw("possibly_executed_twice", problem);
    if !ranges.is_empty() && !run.boxes.iter().any(|of| of.lost) {
        return wrong("has numbers, and no box was lost".into());
    }
    let last =
        run.plan.operations.map_or(u64::MAX, |operations| run.plan.first.saturating_add(operations.saturating_sub(1)));
    let mut next = run.plan.first;
    for &(from, to) in ranges {
        if from > to || from < next || to > last {
            return wrong(format!("has a range from {from} to {to}, and may have numbers from {next} to {last}"));
        }
        next = to.saturating_add(1);
    }
    Ok(())
}
