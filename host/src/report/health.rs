//! The state of the generator: its workers over time, and whether the machine was the limit rather than the target.

use super::words::Reason;
use super::{Generator, HealthReport, WorkerReport};
use crate::lane::Lane;
use crate::metrics::{Health, Measure};
use crate::record::{RunRecord, WorkerRecord};

/// If a larger share of the processors is busy, threads wait noticeably for one.
const BUSY_SHARE: f64 = 0.9;

/// A smaller share of a run's operations does not characterise the run.
const NOTABLE_SHARE: f64 = 0.01;

/// The report on one worker, with the processors it kept busy between health samples.
pub(super) fn worker(record: &WorkerRecord) -> WorkerReport {
    let looks = record.health.looks();
    let before = std::iter::once(&Health::default()).chain(looks).copied().collect::<Vec<_>>();
    let timeline = before.iter().zip(looks).enumerate().filter_map(|(i, (before, now))| {
        let span_ns = now.at_ns.checked_sub(before.at_ns).filter(|&ns| ns > 0)?;
        let cpu = now.cpu_ns.saturating_sub(before.cpu_ns) as f64 / span_ns as f64;
        let cpu = (i > 0).then_some((cpu * 1e3).round() / 1e3);
        Some(HealthReport { at_ns: now.at_ns, cpu, rss_bytes: now.rss_bytes, lag_ns: now.worst_lag_ns })
    });
    WorkerReport {
        process: record.process,
        threads: record.threads,
        operations: record.operations,
        cpu_ns: record.cpu_ns,
        peak_rss_bytes: record.peak_rss_bytes,
        timeline: timeline.collect(),
    }
}

/// What limited the run on the generator's side, on a machine with `cpus` processors.
///
/// A closed run of a computing task keeps its processors busy, as it should: there the machine is what is measured.
pub(super) fn generator(record: &RunRecord, cpus: usize) -> Generator {
    let is_open = record.plan.load_model().open().is_some();
    let scheduled = &record.metrics.scheduled;
    let lag = record.metrics.measured(Measure::Lag);
    let started = lag.count().max(1) as f64;
    let busy = busiest(record);
    let mut reasons = Vec::new();
    if (is_open || record.task.lane == Lane::Io) && busy > BUSY_SHARE * cpus as f64 {
        reasons.push(Reason::Busy { processors: busy, of: cpus });
    }
    if scheduled.late as f64 > NOTABLE_SHARE * started {
        reasons.push(Reason::Late { operations: scheduled.late, worst_ns: lag.max().unwrap_or_default() });
    }
    if scheduled.waited as f64 > NOTABLE_SHARE * started {
        let instances = u64::from(record.plan.shape().processes) * record.plan.instances_per_process();
        reasons.push(Reason::Waited { operations: scheduled.waited, instances, lane: record.task.lane });
    }
    Generator {
        limited: reasons.iter().any(|reason| reason.is_limit()),
        reasons: reasons.into_iter().map(Reason::text).collect(),
        waited: scheduled.waited,
    }
}

/// The most processors that all workers together kept busy, at the 90th percentile of the seconds.
fn busiest(record: &RunRecord) -> f64 {
    let mut by_second: std::collections::BTreeMap<u64, f64> = std::collections::BTreeMap::new();
    for worker in &record.workers {
        for pair in worker.health.looks().windows(2) {
            let span_ns = pair[1].at_ns.saturating_sub(pair[0].at_ns);
            // The last sample comes when the run ends, and may cover too short a time to say anything.
            if span_ns >= 500_000_000 {
                let cpu = pair[1].cpu_ns.saturating_sub(pair[0].cpu_ns) as f64 / span_ns as f64;
                *by_second.entry((pair[1].at_ns + 500_000_000) / 1_000_000_000).or_default() += cpu;
            }
        }
    }
    let mut seconds: Vec<f64> = by_second.into_values().collect();
    seconds.sort_by(f64::total_cmp);
    // The busiest tenth of the seconds is ignored, because other programs have their peaks too.
    seconds.get(seconds.len() * 9 / 10).or(seconds.last()).copied().unwrap_or_default()
}
