//! The state of the generator: its workers over time, and whether the machine was the limit rather than the target.
//!
//! The machine was the limit if a measured thread had no time left, or if what the machine did to operations is a
//! notable part of their latency. What it did to a few of them, or for a time that is short beside their latency, is
//! not. Each limit is a sentence with its figures (`words.rs`).

use super::derive::{rate, summary, window_ns};
use super::words::{Cause, Instances, Reason};
use super::{BoxReport, Generator, HealthReport, Limit, WorkerReport, intervals};
use crate::lane::Lane;
use crate::metrics::{Delayed, Health, Histogram, Measure, Outcome, ThreadWork, TimeSplit};
use crate::record::{BoxRecord, RunRecord, WorkerRecord};

/// A smaller share of a run's operations, or of its time, does not characterise the run.
const NOTABLE_SHARE: f64 = 0.01;

/// Fewer late operations than this can be chance, and show nothing.
const LEAST_LATE: u64 = 10;

/// Late starts that add less than this to an operation's time, on average, are not what limits the run.
const NOTABLE_LATENESS: f64 = 0.05;

/// Operations do not wait for each other on a thread that is busy for a smaller share of its time. What delays them
/// there is that a sleeping thread needs some time to wake up.
const BUSY: f64 = 0.2;

/// If its threads have no time left in a smaller share of a run, it was a peak.
const SATURATED_SHARE: f64 = 0.1;

/// A delay that is a smaller part of an operation's time than this is not what limits the operation.
const NOTABLE_DELAY: f64 = 0.1;

/// A thread that is woken gets a processor within this time, even on an idle machine; threads that wait for a slot wake
/// almost as much earlier.
const LEAST_DELAY_NS: f64 = 100e3;

/// If operations spend a smaller share of their time in the queue of their thread, the queue is not what limits them.
/// Operations that a target answers all at once wait for each other, even if the thread is idle most of the time.
const NOTABLE_QUEUE: f64 = 0.2;

/// A control group that has used up its share is throttled for up to this long at a time: the kernel's usual period.
const THROTTLED_FOR_NS: f64 = 100e6;

/// A hypervisor takes a processor away for about this long at a time.
const STOLEN_FOR_NS: f64 = 10e6;

/// The report on one worker, with what it did between health samples. The first sample is from the beginning of the
/// run.
pub(super) fn worker(record: &WorkerRecord, boxes: &[BoxRecord]) -> WorkerReport {
    let timeline = record.health.looks().windows(2).filter_map(|pair| {
        let [before, now] = pair else { return None };
        let span_ns = now.at_ns.checked_sub(before.at_ns).filter(|&ns| ns > 0)?;
        let cpu = now.cpu_ns.saturating_sub(before.cpu_ns) as f64 / span_ns as f64;
        Some(HealthReport {
            at_ns: now.at_ns,
            cpu: Some((cpu * 1e3).round() / 1e3),
            rss_bytes: now.rss_bytes,
            lag_ns: now.worst_lag_ns,
            busiest_thread: Some(f64::from(now.busiest_permille) / 1e3),
        })
    });
    WorkerReport {
        process: record.process,
        of_box: boxes.get(record.on as usize).map(|of| of.facts.name.clone()),
        threads: record.threads,
        operations: record.operations,
        cpu_ns: record.cpu_ns,
        peak_rss_bytes: record.peak_rss_bytes,
        timeline: timeline.collect(),
    }
}

/// The report on each box.
pub(super) fn boxes(record: &RunRecord) -> Vec<BoxReport> {
    let report = |(index, of): (u32, &BoxRecord)| {
        let its = || record.workers.iter().filter(move |worker| worker.on == index);
        let mut work = ThreadWork::default();
        its().filter_map(|worker| worker.health.last()).for_each(|health| work += health.work);
        let saturated = (work.watched_ns > 0).then(|| work.saturated_ns as f64 / work.watched_ns as f64);
        BoxReport {
            name: of.facts.name.clone(),
            cpus: of.facts.cpus,
            memory_bytes: of.facts.memory_bytes,
            workers: its().count() as u64,
            operations: its().map(|worker| worker.operations).sum(),
            cpu_ns: its().map(|worker| worker.cpu_ns).sum(),
            saturated: saturated.map(|share| (share * 1e4).round() / 1e4),
            rtt_ns: of.rtt_ns,
            clock_offset_ns: of.clock_offset_ns,
            clock_uncertainty_ns: of.rtt_ns.div_ceil(2),
            clock_drift_ns: of.clock_drift_ns,
            start_skew_ns: of.start_late_ns,
            lost: of.lost,
            refused_frames: of.refused_frames,
            throughput: (of.timeline.as_ref()).and_then(|its| rate(its.durations().count(), window_ns(record))),
            latency_ns: of.timeline.as_ref().map(|its| summary(&its.durations())),
            timeline: of.timeline.as_ref().map(|its| intervals::of_part(record, its, record.boxes.len())),
        }
    };
    (0..).zip(&record.boxes).map(report).collect()
}

/// What limited the run on the generator's side, on a machine with `cpus` processors.
///
/// A closed run of a task that never waits keeps its threads busy, as it should: there the machine is what is measured.
pub(super) fn generator(record: &RunRecord, cpus: usize) -> Generator {
    let scheduled = &record.metrics.scheduled;
    let evidence = Evidence::of(record, cpus);
    let reasons = evidence.reasons(record);
    let limits: Vec<_> = reasons.iter().filter_map(|reason| reason.limit()).collect();
    let is_measured = evidence.has_target(record);
    let limits = limits.into_iter().filter(|&limit| is_measured || limit == Limit::Lacked).collect::<Vec<_>>();
    Generator {
        delay_ns: reasons.iter().filter_map(|reason| evidence.delay_by(reason)).max(),
        limited: !limits.is_empty(),
        limits,
        reasons: reasons.into_iter().map(Reason::text).collect(),
        waited: scheduled.waited.operations,
        saturated: evidence.saturated,
        delayed: evidence.delayed,
        queued: evidence.queued,
        throttled: evidence.throttled,
        stolen: evidence.stolen,
        stalls: record.stalls.clone(),
    }
}

/// What is known about the part of the generator in a run, as shares between 0 and 1.
struct Evidence {
    saturated: Option<f64>,
    delayed: Option<f64>,
    queued: Option<f64>,
    throttled: Option<f64>,
    stolen: Option<f64>,
    /// The share in which they did anything, or waited for a processor.
    busy: Option<f64>,
    /// How much longer an operation took on average because its thread waited for a processor, in nanoseconds.
    delay_ns: f64,
    /// The median of the operations' durations from start to end, in nanoseconds.
    usual_ns: f64,
}

impl Evidence {
    fn of(record: &RunRecord, cpus: usize) -> Self {
        let last = || record.workers.iter().filter_map(|worker| worker.health.last());
        let mut work = ThreadWork::default();
        last().for_each(|health| work += health.work);
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        // All workers of a machine are told the same about it.
        let cpus_of = |worker: &WorkerRecord| {
            record.boxes.get(worker.on as usize).map_or(cpus as u64, |of| u64::from(of.facts.cpus))
        };
        let of_machine = |withheld: fn(&Health) -> u64, processors: &dyn Fn(&WorkerRecord) -> u64| -> Option<f64> {
            let shares = record.workers.iter().filter_map(|worker| {
                let health = worker.health.last()?;
                share(withheld(health), health.at_ns * processors(worker))
            });
            shares.reduce(f64::max).map(|share| share.min(1.0))
        };
        let split = split(record);
        let all_ns = split.running_ns + split.waiting_ns + split.queued_ns;
        let service = service(record);
        Self {
            saturated: share(work.saturated_ns, work.watched_ns),
            delayed: share(work.delayed_ns, work.delay_watched_ns),
            queued: share(split.queued_ns, all_ns),
            throttled: of_machine(|health| health.withheld.throttled_ns, &|_| 1),
            stolen: of_machine(|health| health.withheld.stolen_ns, &cpus_of),
            busy: share(work.computing_ns + work.delayed_ns, work.watched_ns),
            delay_ns: delay_ns(&work, service.count(), service.sum() as f64),
            usual_ns: service.to_hdr().value_at_quantile(0.5) as f64,
        }
    }

    /// The reasons for which operations were slower than the target made them, or started late.
    fn reasons(&self, record: &RunRecord) -> Vec<Reason> {
        let threads = record.workers.iter().map(|worker| u64::from(worker.threads)).max().unwrap_or(1);
        let threads = threads * u64::from(record.plan.shape().workers());
        let saturated = self.saturated.filter(|&share| share >= SATURATED_SHARE);
        let is_busy = self.busy.is_none_or(|share| share >= BUSY);
        let queued = self.queued.filter(|&share| share >= NOTABLE_QUEUE && is_busy);
        let withheld: Vec<_> = self.withheld().collect();
        let mut reasons = Vec::new();
        if self.has_target(record) {
            reasons.extend(saturated.map(|share| Reason::Saturated { share, threads }));
            reasons.extend(queued.map(|share| Reason::Queued { share }));
            // Threads without time left, and a machine that gave their time to others, say the same.
            let is_crowded = saturated.is_none() && withheld.is_empty();
            // The median has the delay in it.
            let usual_ns = (self.usual_ns - self.delay_ns).max(0.0);
            let is_crowded = is_crowded && self.delay_ns >= LEAST_DELAY_NS && self.delay_ns >= NOTABLE_DELAY * usual_ns;
            reasons.extend(is_crowded.then_some(Reason::Crowded { delay_ns: self.delay_ns as u64 }));
        }
        reasons.extend(streams(record));
        reasons.extend(withheld);
        reasons.extend(lacked(record));
        let is_hindered = !reasons.is_empty() || !record.stalls.is_empty();
        reasons.extend(self.starved(record));
        reasons.extend(self.late(record, saturated.is_some()));
        reasons.extend(self.waited(record, is_hindered));
        reasons
    }

    /// How much longer an operation took, at most on average, if threads got no processor for this reason.
    fn delay_by(&self, reason: &Reason) -> Option<u64> {
        match *reason {
            Reason::Crowded { delay_ns } => Some(delay_ns),
            Reason::Withheld { cause: Cause::Throttled, .. } => Some(THROTTLED_FOR_NS as u64),
            Reason::Withheld { .. } => Some(STOLEN_FOR_NS as u64),
            _ => None,
        }
    }

    /// What the machine gave to others, if that is a notable part of an operation's time.
    fn withheld(&self) -> impl Iterator<Item = Reason> {
        let causes =
            [(self.throttled, Cause::Throttled, THROTTLED_FOR_NS), (self.stolen, Cause::Stolen, STOLEN_FOR_NS)];
        causes.into_iter().filter_map(|(share, cause, for_ns)| {
            let share = share.filter(|&share| share >= NOTABLE_SHARE && self.is_notable(share * for_ns))?;
            Some(Reason::Withheld { cause, share })
        })
    }

    /// Operations that started late though an instance was waiting for them.
    fn late(&self, record: &RunRecord, is_saturated: bool) -> Option<Reason> {
        let delayed = self.notable(record.metrics.scheduled.late, record)?;
        let is_limit = self.is_limit(delayed, record);
        let cause = if is_saturated { Cause::ThreadBusy } else { Cause::NotWoken };
        Some(Reason::Late { delayed, cause, is_limit })
    }

    /// Operations that started late as their boxes had no numbers. No target is to blame for that.
    fn starved(&self, record: &RunRecord) -> Option<Reason> {
        let delayed = Some(record.metrics.scheduled.starved).filter(|of| of.operations > 0)?;
        Some(Reason::Starved { delayed, is_limit: self.is_limit(delayed, record) })
    }

    /// Whether delays on this side are a part of all durations that nobody can overlook.
    fn is_limit(&self, delayed: Delayed, record: &RunRecord) -> bool {
        let added_ns = delayed.sum_ns as f64 / started(record);
        delayed.operations >= LEAST_LATE && added_ns >= NOTABLE_LATENESS * self.usual_ns
    }

    /// Operations that waited for an instance. If something on this side hindered the instances, the target need not
    /// have been too slow.
    fn waited(&self, record: &RunRecord, is_hindered: bool) -> Option<Reason> {
        let delayed = self.notable(record.metrics.scheduled.waited, record)?;
        let (each, workers) = (record.plan.instances_per_process(), u64::from(record.plan.shape().workers()));
        let instances = Instances { each, workers, lane: record.task.lane };
        Some(Reason::Waited { delayed, instances, cause: if is_hindered { Cause::ThreadBusy } else { Cause::Unknown } })
    }

    /// The delay, if it is that of more than a few operations, and a notable part of their time.
    fn notable(&self, of: Delayed, record: &RunRecord) -> Option<Delayed> {
        let is_frequent = of.operations as f64 > NOTABLE_SHARE * started(record);
        Some(of).filter(|_| is_frequent && self.is_notable(of.mean_ns().unwrap_or_default() as f64))
    }

    /// Whether a delay of `ns` is a notable part of an operation's time.
    fn is_notable(&self, ns: f64) -> bool {
        ns >= NOTABLE_DELAY * self.usual_ns && ns > 0.0
    }

    /// Whether the run measures something besides this machine: a schedule, or a target that operations wait for. If
    /// no operation was ok, it measures nothing.
    fn has_target(&self, record: &RunRecord) -> bool {
        if !record.metrics.results().iter().any(|of| of.outcome == Outcome::Ok) {
            return false;
        }
        let split = split(record);
        let elsewhere_ns = split.waiting_ns + split.queued_ns;
        let waits =
            record.task.lane == Lane::Io && elsewhere_ns as f64 >= 0.05 * (elsewhere_ns + split.running_ns) as f64;
        record.plan.load_model().open().is_some() || waits && elsewhere_ns > 0
    }
}

/// Requests that waited for a stream of HTTP/2, if that is a notable part of what operations took.
fn streams(record: &RunRecord) -> Option<Reason> {
    let waits = &record.metrics.network.stream_wait;
    let share = waits.sum() as f64 / service(record).sum().max(1) as f64;
    (share >= NOTABLE_SHARE).then(|| Reason::Streams {
        requests: waits.count(),
        share: share.min(1.0),
        is_limit: share >= NOTABLE_QUEUE,
    })
}

/// How long operations took from start to end.
fn service(record: &RunRecord) -> Histogram {
    let service = record.metrics.measured(Measure::Service);
    if service.count() > 0 { service } else { record.metrics.measured(Measure::Latency) }
}

/// What the machine lacked for connections, and whether that explains the requests that failed.
fn lacked(record: &RunRecord) -> impl Iterator<Item = Reason> {
    let network = &record.metrics.network;
    network.lacked.iter().map(|(&resource, &connections)| Reason::Lacked {
        resource,
        connections,
        is_limit: 2 * connections >= network.failed,
    })
}

/// How much longer an operation took on average because its thread waited for a processor. `residence_ns` is the sum of
/// what `operations` took.
///
/// An operation waits for a processor itself, and for the operations before it that do. With S the time for which an
/// operation makes its thread busy, ρ the share of time in which the thread is busy, and n the operations in flight, it
/// waits for S ρ / (1 - ρ), as in M/M/1 (see L. Kleinrock, "Queueing Systems", volume 1, section 3.2), and for at most
/// (n - 1) S. That is the difference with the delays in S and ρ, and without.
fn delay_ns(work: &ThreadWork, operations: u64, residence_ns: f64) -> f64 {
    let (operations, watched_ns) = (operations.max(1) as f64, work.watched_ns.max(1) as f64);
    let others = (residence_ns / watched_ns - 1.0).max(0.0);
    let takes = |busy_ns: u64| {
        let (busy, each_ns) = ((busy_ns as f64 / watched_ns).min(0.99), busy_ns as f64 / operations);
        each_ns + each_ns * (busy / (1.0 - busy)).min(others)
    };
    takes(work.computing_ns + work.delayed_ns) - takes(work.computing_ns)
}

/// Operations that have started.
fn started(record: &RunRecord) -> f64 {
    record.metrics.measured(Measure::Lag).count().max(1) as f64
}

fn split(record: &RunRecord) -> TimeSplit {
    let mut all = TimeSplit::default();
    record.metrics.results().iter().for_each(|result| all += result.split);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{HealthLog, Metrics, Recorder, Sample, Spans, Withheld};
    use crate::plan::{RunPlan, RunSpec, Shape};
    use crate::report::tests::{open_record, record};

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    /// A run of 1,000 operations within ten seconds, in one thread, on a machine of two processors.
    #[derive(Clone, Copy)]
    struct Made {
        lane: Lane,
        took_ns: u64,
        split: TimeSplit,
        work: ThreadWork,
        withheld: Withheld,
        late: Delayed,
        starved: Delayed,
        waited: Delayed,
    }

    impl Made {
        /// Nothing is in the way: the thread is busy for a tenth of the time.
        fn free(took_ns: u64) -> Self {
            let split =
                TimeSplit { running_ns: took_ns / 20, waiting_ns: took_ns - took_ns / 20, ..TimeSplit::default() };
            let watched_ns = 10 * SECOND;
            let work =
                ThreadWork { watched_ns, delay_watched_ns: watched_ns, computing_ns: SECOND, ..Default::default() };
            let (withheld, late, starved, waited) = Default::default();
            Self { lane: Lane::Io, took_ns, split, work, withheld, late, starved, waited }
        }

        fn metrics(self, is_open: bool) -> Metrics {
            let mut recorder = Recorder::default();
            for number in 0..1_000 {
                let start_ns = number * 10 * MS;
                recorder.record(&Sample {
                    number,
                    due_ns: is_open.then_some(start_ns),
                    start_ns,
                    end_ns: start_ns + self.took_ns,
                    outcome: Outcome::Ok,
                    result: "200",
                    reason: None,
                    spans: &Spans::default(),
                    split: (self.lane == Lane::Io).then_some(&self.split),
                });
            }
            let mut metrics = recorder.take();
            (metrics.scheduled.late, metrics.scheduled.waited) = (self.late, self.waited);
            metrics.scheduled.starved = self.starved;
            metrics
        }

        fn generator(self, is_open: bool) -> Generator {
            let mut record = if is_open { open_record() } else { record(1) };
            record.task.lane = self.lane;
            record.metrics = self.metrics(is_open);
            let spec = RunSpec { shape: Shape::new(1, 1).unwrap(), ..record.plan.clone().into() };
            record.plan = RunPlan::try_from(spec).unwrap();
            let mut health = HealthLog::default();
            let (work, withheld) = (self.work, self.withheld);
            health.note(Health { at_ns: 10 * SECOND, work, withheld, ..Health::default() });
            (record.workers[0].health, record.workers[0].threads) = (health, 1);
            record.stalls.clear();
            generator(&record, 2)
        }
    }

    fn delayed(operations: u64, ns: u64) -> Delayed {
        Delayed { operations, sum_ns: u128::from(operations * ns), worst_ns: 2 * ns }
    }

    /// Each case with whether the machine was the limit in an open run, and in a closed one.
    fn cases() -> Vec<(&'static str, Made, bool, bool)> {
        let (free, slow, fast) = (Made::free(20 * MS), Made::free(SECOND), Made::free(MS / 10));
        let saturated = ThreadWork { computing_ns: 9_800 * MS, saturated_ns: 9 * SECOND, ..free.work };
        let peak = ThreadWork { saturated_ns: SECOND / 2, ..free.work };
        let busy = ThreadWork { computing_ns: 3 * SECOND, ..free.work };
        let crowded = |us: u64| ThreadWork { delayed_ns: us * MS, ..free.work };
        let queue = |percent: u64| {
            let queued_ns = 20 * MS * percent / 100;
            TimeSplit { running_ns: MS, waiting_ns: 19 * MS - queued_ns, queued_ns, uncertain_ns: 0 }
        };
        let computing = TimeSplit { running_ns: 20 * MS, ..TimeSplit::default() };
        let throttled = |ms: u64| Withheld { throttled_ns: ms * MS, stolen_ns: 0 };
        let stolen = |ms: u64| Withheld { stolen_ns: ms * MS, throttled_ns: 0 };
        vec![
            ("nothing in the way", free, false, false),
            ("a thread without time left", Made { work: saturated, ..free }, true, true),
            ("the same for half a second", Made { work: peak, ..free }, false, false),
            ("a task that only computes", Made { work: saturated, split: computing, ..free }, true, false),
            ("the compute lane", Made { work: saturated, lane: Lane::Compute, ..free }, true, false),
            ("a long queue", Made { split: queue(30), work: busy, ..free }, true, true),
            ("a timer that is late by a third", Made { split: queue(30), ..free }, false, false),
            ("a short queue", Made { split: queue(10), ..free }, false, false),
            ("4 ms without a processor", Made { work: crowded(4_000), ..free }, true, true),
            ("4 ms of a second", Made { work: crowded(4_000), ..slow }, false, false),
            ("the usual 50 us", Made { work: crowded(50), ..fast }, false, false),
            ("throttled for a fifth of the run", Made { withheld: throttled(2_000), ..free }, true, true),
            ("throttled for a twentieth, slow operations", Made { withheld: throttled(500), ..slow }, false, false),
            ("a third of the processors stolen", Made { withheld: stolen(6_600), ..free }, true, true),
            ("a hundredth of them", Made { withheld: stolen(200), ..free }, false, false),
            ("late by a tenth of a second", Made { late: delayed(15, 100 * MS), ..free }, true, false),
            ("without numbers for a tenth of a second", Made { starved: delayed(15, 100 * MS), ..free }, true, false),
            ("nine without numbers", Made { starved: delayed(9, 100 * MS), ..free }, false, false),
            ("late by 2 ms of a second", Made { late: delayed(900, 2 * MS), ..slow }, false, false),
            ("late by 30 ms, but rarely", Made { late: delayed(15, 30 * MS), ..free }, false, false),
            ("nine late operations", Made { late: delayed(9, 100 * MS), ..free }, false, false),
            ("no instance free", Made { waited: delayed(900, SECOND), ..free }, false, false),
        ]
    }

    #[test]
    fn the_machine_is_the_limit_if_it_adds_to_what_the_target_takes() {
        for (what, made, in_open, in_closed) in cases() {
            let open = made.generator(true);
            assert_eq!(open.limited, in_open, "{what}, open: {:?}", open.reasons);
            // Without a schedule nothing is late, and nothing waits for an instance.
            let none = Delayed::default();
            let closed = Made { late: none, starved: none, waited: none, ..made }.generator(false);
            assert_eq!(closed.limited, in_closed, "{what}, closed: {:?}", closed.reasons);
        }
    }

    #[test]
    fn reasons_do_not_contradict_each_other() {
        let free = Made::free(20 * MS);
        let saturated =
            ThreadWork { computing_ns: 9_800 * MS, saturated_ns: 9 * SECOND, delayed_ns: SECOND, ..free.work };
        let (late, waited) = (delayed(100, 50 * MS), delayed(800, 70 * MS));
        let busy = Made { work: saturated, late, waited, ..free }.generator(true).reasons;
        let wanted = [
            "the thread had no time left in 90.0 % of the run: use more threads or another machine",
            "100 operations started late (at worst by 100 ms) though an instance was idle: their thread was busy",
            "800 operations waited for an instance (at worst for 140 ms), as the only one was busy",
        ];
        assert_eq!(busy, wanted);
        let idle = Made { late, waited, ..free }.generator(true).reasons;
        let wanted = [
            "100 operations started late (at worst by 100 ms) though an instance was idle: their thread was not woken in \
             time",
            "800 operations waited for an instance (at worst for 140 ms), as the only one was busy: the target is too slow \
             for the rate, or the run needs more instances (-c, -t or -p)",
        ];
        assert_eq!(idle, wanted);
    }
}
