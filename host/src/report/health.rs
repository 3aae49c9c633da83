//! How the generator was: its workers over time, and whether the machine, not the target, was the limit.

use super::units::{counted, duration};
use super::{Generator, HealthReport, WorkerReport};
use crate::lane::Lane;
use crate::metrics::{Health, Measure};
use crate::record::{RunRecord, WorkerRecord};

/// With a larger part of the processors busy, what waits for one waits noticeably.
const BUSY_SHARE: f64 = 0.9;

/// Less than this part of a run's operations says nothing of the run.
const NOTABLE_SHARE: f64 = 0.01;

/// One worker, with the processors it kept busy from look to look.
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

/// What limited the run on this side, on a machine of so many processors.
///
/// A closed run of a task that computes keeps its processors busy, as it should: there the machine is what is measured.
pub(super) fn generator(record: &RunRecord, cpus: usize) -> Generator {
    let is_open = record.plan.load_model().open().is_some();
    let scheduled = &record.metrics.scheduled;
    let lag = record.metrics.measured(Measure::Lag);
    let started = lag.count().max(1) as f64;
    let mut generator = Generator::default();
    let busy = busiest(record);
    if (is_open || record.task.lane == Lane::Io) && busy > BUSY_SHARE * cpus as f64 {
        generator.limited = true;
        generator.reasons.push(format!("the workers kept {busy:.1} of {cpus} processors busy"));
    }
    if scheduled.late as f64 > NOTABLE_SHARE * started {
        generator.limited = true;
        let worst = lag.max().map(duration).unwrap_or_default();
        generator.reasons.push(format!(
            "{} started more than 1 ms late though an instance was waiting for them (at worst {worst}): the threads \
             were not woken in time",
            counted(scheduled.late, "operation")
        ));
    }
    if scheduled.waited as f64 > NOTABLE_SHARE * started {
        let plan = &record.plan;
        let instances = u64::from(plan.shape().processes) * plan.instances_per_process();
        let more = if record.task.lane == Lane::Io { "-c, -t or -p" } else { "-t or -p" };
        generator.reasons.push(format!(
            "{} waited for an instance, as all {instances} were busy: the target is slower than the rate, or needs more \
             of them ({more})",
            counted(scheduled.waited, "operation"),
        ));
    }
    generator
}

/// The most processors that all workers together kept busy, from look to look.
fn busiest(record: &RunRecord) -> f64 {
    let mut by_second: std::collections::BTreeMap<u64, f64> = std::collections::BTreeMap::new();
    for worker in &record.workers {
        for pair in worker.health.looks().windows(2) {
            let span_ns = pair[1].at_ns.saturating_sub(pair[0].at_ns);
            // The last look is taken whenever the run ends: a moment says little.
            if span_ns >= 500_000_000 {
                let cpu = pair[1].cpu_ns.saturating_sub(pair[0].cpu_ns) as f64 / span_ns as f64;
                *by_second.entry((pair[1].at_ns + 500_000_000) / 1_000_000_000).or_default() += cpu;
            }
        }
    }
    let mut seconds: Vec<f64> = by_second.into_values().collect();
    seconds.sort_by(f64::total_cmp);
    // A tenth of them may be more: other programs have their moments, too.
    seconds.get(seconds.len() * 9 / 10).or(seconds.last()).copied().unwrap_or_default()
}
