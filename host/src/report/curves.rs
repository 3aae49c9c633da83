//! The figures that are drawn, not printed: rates over time, percentile curves, heat maps, scaling.
//!
//! They are derived from a [`Report`] alone, so a report from a file is drawn exactly like a live one.

use std::collections::BTreeMap;

use super::{BucketReport, ModelName, PlanReport, Report, RunReport, Summary, TimelineReport, WorkerReport, words};

/// Operations per second in each interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates<'a> {
    /// Of all operations that ended.
    pub completed: Vec<f64>,
    /// Of operations that were not ok.
    pub failed: Vec<f64>,
    /// Of each requested result, in the order of the request.
    pub results: Vec<(&'a str, Vec<f64>)>,
    /// Of slots that were due; empty in a closed run, and in older reports.
    pub due: Vec<f64>,
    /// Of all other results together.
    pub others: Vec<f64>,
    /// Of operations that were due and never started.
    pub dropped: Vec<f64>,
}

/// The rates of `run`, also for each of `results`.
pub fn rates<'a>(run: &RunReport, results: &[&'a str]) -> Rates<'a> {
    let rates = |of: &dyn Fn(&BucketReport) -> u64| per_second(run, &run.timeline, of);
    let of_result = |bucket: &BucketReport, name: &str| bucket.results.get(name).copied().unwrap_or_default();
    Rates {
        completed: rates(&|bucket| bucket.completed),
        failed: rates(&|bucket| bucket.failed),
        results: results.iter().map(|&name| (name, rates(&|bucket| of_result(bucket, name)))).collect(),
        due: if run.timeline.buckets.iter().any(|bucket| bucket.due.is_some()) {
            rates(&|bucket| bucket.due.unwrap_or_default())
        } else {
            Vec::new()
        },
        dropped: rates(&|bucket| bucket.dropped),
        others: rates(&|bucket| {
            bucket.completed.saturating_sub(results.iter().map(|name| of_result(bucket, name)).sum())
        }),
    }
}

/// Operations per second in each interval of a part of `run`.
pub fn part_rates(run: &RunReport, part: &TimelineReport) -> Vec<f64> {
    per_second(run, part, &|bucket| bucket.completed)
}

/// Operations per second that were offered by the schedule of `run`; `None` in a closed run.
pub fn offered(run: &RunReport) -> Option<f64> {
    if run.plan.load_model != ModelName::Open {
        return None;
    }
    // The schedule may be over long before the last operation that was due has ended.
    let window = run.throughput_window_ns?;
    let scheduled = run.plan.duration_ns.map_or(window, |planned| planned.min(window));
    (scheduled > 0).then(|| run.operations.offered as f64 * 1e9 / scheduled as f64)
}

/// How many operations were in flight at the end of each interval, and how many were due and had not started; the
/// second is empty in a closed run. Lost operations are left out: nobody knows whether they began.
pub fn in_flight(run: &RunReport) -> (Vec<u64>, Vec<u64>) {
    let buckets = &run.timeline.buckets;
    let is_open = buckets.iter().any(|bucket| bucket.due.is_some());
    // Those that the end of the run dropped were waiting until then. They are those that were due last.
    let mut left = run.operations.dropped_at_end.unwrap_or_default();
    let mut dropped: Vec<u64> = buckets.iter().map(|bucket| bucket.dropped).collect();
    for dropped in dropped.iter_mut().rev() {
        let at_end = left.min(*dropped);
        (left, *dropped) = (left - at_end, *dropped - at_end);
    }
    let (mut started, mut ended, mut due) = (0_u64, 0_u64, 0_u64);
    let (mut in_flight, mut waiting) = (Vec::new(), Vec::new());
    for (bucket, dropped) in buckets.iter().zip(dropped) {
        started += bucket.started;
        ended += bucket.completed;
        due += bucket.due.unwrap_or_default().saturating_sub(dropped);
        in_flight.push(started.saturating_sub(ended));
        waiting.push(due.saturating_sub(started + run.operations.lost));
    }
    (in_flight, if is_open { waiting } else { Vec::new() })
}

/// What `of` counts in each part of a timeline of `run`, per second.
fn per_second(run: &RunReport, timeline: &TimelineReport, of: &dyn Fn(&BucketReport) -> u64) -> Vec<f64> {
    let rate = |part: &[BucketReport]| {
        let covered: u64 = part.iter().map(|bucket| covered_ns(run, bucket)).sum();
        part.iter().map(of).sum::<u64>() as f64 * 1e9 / covered as f64
    };
    parts(run, timeline).map(rate).collect()
}

/// The intervals of a timeline of `run`, one by one. If the end leaves less than half an interval, that is too short
/// for a rate, so it makes one part with its neighbour.
fn parts<'a>(run: &RunReport, timeline: &'a TimelineReport) -> impl Iterator<Item = &'a [BucketReport]> {
    let buckets = &timeline.buckets;
    let is_short =
        buckets.len() > 1 && buckets.last().is_some_and(|last| covered_ns(run, last) < timeline.interval_ns / 2);
    let (single, last) = buckets.split_at(buckets.len() - if is_short { 2 } else { 0 });
    single.chunks(1).chain(Some(last).filter(|last| !last.is_empty()))
}

/// When each part ends whose rate is drawn, in nanoseconds.
pub fn rate_ends_ns(run: &RunReport) -> impl Iterator<Item = u64> {
    let ends = parts(run, &run.timeline).filter_map(|part| part.last());
    ends.map(|bucket| bucket.start_ns + covered_ns(run, bucket))
}

/// Operations per second that ended in `bucket`, over the time that the run covers of it.
pub fn rate(run: &RunReport, bucket: &BucketReport) -> f64 {
    bucket.completed as f64 * 1e9 / covered_ns(run, bucket) as f64
}

/// When each interval ends, in nanoseconds: at the beginning of the next one, or at the run's end.
pub fn ends_ns(run: &RunReport) -> impl Iterator<Item = u64> {
    run.timeline.buckets.iter().map(|bucket| bucket.start_ns + covered_ns(run, bucket))
}

/// How much of a bucket the run filled, in nanoseconds.
fn covered_ns(run: &RunReport, bucket: &BucketReport) -> u64 {
    let interval_ns = run.timeline.interval_ns;
    let of_old_reports = || run.elapsed_ns.saturating_sub(bucket.start_ns).min(interval_ns);
    bucket.length_ns.unwrap_or_else(of_old_reports).max(1)
}

/// Points of a percentile curve within each factor of ten of its axis.
const POINTS_PER_NINE: u32 = 16;

/// A percentile curve from the median on, as pairs: the number of nines (1 is the 90th percentile, 2 the 99th), and
/// the duration in nanoseconds that this share of the operations did not exceed. It ends where less than one operation
/// would remain.
pub fn percentiles(summary: &Summary) -> Vec<(f64, u64)> {
    pooled_percentiles(&[summary])
}

/// The percentile curve of the durations of all summaries together; empty if one of them cannot be read.
pub fn pooled_percentiles(summaries: &[&Summary]) -> Vec<(f64, u64)> {
    let mut hdr = crate::metrics::Histogram::default().to_hdr();
    for summary in summaries {
        if summary.histogram().is_none_or(|part| hdr.add(part).is_err()) {
            return Vec::new();
        }
    }
    let (min, max) = (summaries.iter().filter_map(|of| of.min).min(), summaries.iter().filter_map(|of| of.max).max());
    let Some((min, max)) = min.zip(max).filter(|_| !hdr.is_empty()) else { return Vec::new() };
    let last = (hdr.len() as f64).log10() * f64::from(POINTS_PER_NINE);
    let median = 2_f64.log10();
    let nines = (0..=last.ceil() as u32).map(|i| f64::from(i) / f64::from(POINTS_PER_NINE));
    let curve = [median]
        .into_iter()
        .chain(nines.filter(|nines| *nines > median))
        .map(|nines| (nines, hdr.value_at_quantile(1.0 - 10_f64.powf(-nines)).max(min).min(max)));
    curve.collect()
}

/// Every operation of `run`: the middle of the interval in which it ended, in seconds, and its duration in nanoseconds,
/// as exact as histograms are.
pub fn each(run: &RunReport) -> Vec<(f64, u64)> {
    let of = |bucket: &BucketReport| -> Vec<(f64, u64)> {
        let at = (bucket.start_ns + covered_ns(run, bucket) / 2) as f64 / 1e9;
        let Some(hdr) = bucket.latency_ns.histogram() else { return Vec::new() };
        let values = hdr.iter_recorded().map(|of| (of.value_iterated_to(), of.count_at_value()));
        values.flat_map(|(ns, count)| (0..count).map(move |_| (at, ns))).collect()
    };
    run.timeline.buckets.iter().flat_map(of).collect()
}

/// A part of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// The longest duration in it, in nanoseconds.
    pub to_ns: u64,
    /// How many durations are in it.
    pub count: u64,
}

/// The durations of `summary` in at most `most` bins from the shortest to the longest one, each as many times as long
/// as the one before; empty if there are none.
pub fn bins(summary: &Summary, most: u32) -> Vec<Bin> {
    let (Some(min), Some(max), Some(hdr)) = (summary.min, summary.max, summary.histogram()) else { return Vec::new() };
    let step = (max as f64 / min.max(1) as f64).powf(1.0 / f64::from(most.max(1)));
    let ends = (1..most).map(|i| (min.max(1) as f64 * step.powi(i as i32)).round() as u64).chain([max]);
    let (mut bins, mut before): (Vec<Bin>, u64) = (Vec::new(), 0);
    for to_ns in ends {
        // What is at most so long; the histogram's last bin reaches beyond the longest duration.
        let until = if to_ns == max {
            hdr.len()
        } else {
            hdr.iter_recorded().take_while(|of| of.value_iterated_to() <= to_ns).map(|of| of.count_at_value()).sum()
        };
        if bins.last().is_none_or(|last| last.to_ns < to_ns) {
            bins.push(Bin { to_ns, count: until - before });
            before = until;
        }
    }
    bins
}

/// The distribution of durations over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heat {
    /// How many intervals of the timeline each column covers.
    pub intervals: usize,
    /// Ascending pairs of a two-digit bin and a count.
    pub columns: Vec<Vec<(u16, u64)>>,
}

/// The heat map of `run`. Neighbouring intervals are merged until it has at most `most_pairs` pairs.
pub fn heat(run: &RunReport, most_pairs: usize) -> Heat {
    let mut columns: Vec<_> = run.timeline.buckets.iter().map(|bucket| two_digits(&bucket.latency_ns)).collect();
    let mut intervals = 1;
    while columns.len() > 1 && columns.iter().map(Vec::len).sum::<usize>() > most_pairs {
        columns = columns.chunks(2).map(merge).collect();
        intervals *= 2;
    }
    Heat { intervals, columns }
}

fn merge(columns: &[Vec<(u16, u64)>]) -> Vec<(u16, u64)> {
    let mut bins = BTreeMap::new();
    columns.iter().flatten().for_each(|&(bin, count)| *bins.entry(bin).or_default() += count);
    bins.into_iter().collect()
}

/// A summary's histogram to two significant decimal digits: ascending pairs of a bin and a count.
pub fn two_digits(summary: &Summary) -> Vec<(u16, u64)> {
    let mut bins = BTreeMap::new();
    if let Some(hdr) = summary.histogram() {
        for value in hdr.iter_recorded() {
            *bins.entry(bin_of(hdr.lowest_equivalent(value.value_iterated_to()))).or_default() +=
                value.count_at_value();
        }
    }
    bins.into_iter().collect()
}

/// A percentile of an interval that says something about it: `None` for fewer than ten operations, and in the last
/// interval if the run covers less than a quarter of it, because then nearly all of its operations are those that ended
/// the run.
pub fn settled<T>(bucket: &BucketReport, interval_ns: u64, figure: impl FnOnce(&Summary) -> Option<T>) -> Option<T> {
    const LEAST: u64 = 10;
    let is_sliver =
        bucket.start_ns > 0 && bucket.partial && bucket.length_ns.is_some_and(|length_ns| length_ns < interval_ns / 4);
    if bucket.latency_ns.count < LEAST || is_sliver { None } else { figure(&bucket.latency_ns) }
}

/// The bin of a duration. Bins 0 to 99 hold one nanosecond each. Each further factor of ten has 90 bins, one for every
/// pair of leading digits.
fn bin_of(ns: u64) -> u16 {
    let shift = ns.checked_ilog10().unwrap_or(0).saturating_sub(1);
    (90 * u64::from(shift) + ns / 10_u64.pow(shift)) as u16
}

/// The shortest duration in a bin, in nanoseconds.
pub fn bin_begins_ns(bin: u16) -> u64 {
    match bin {
        0..100 => bin.into(),
        _ => u64::from((bin - 10) % 90 + 10) * 10_u64.pow(u32::from((bin - 10) / 90)),
    }
}

/// Upper bounds of a histogram for monitoring, in nanoseconds: 1, 2 and 5 times each power of ten from 1 µs to 100 s;
/// and how many durations of `summary` are below each, but not below the one before. The last count is beyond all
/// bounds.
pub fn buckets(summary: &Summary) -> (Vec<u64>, Vec<u64>) {
    let bounds: Vec<u64> = (3..11).flat_map(|power| [1, 2, 5].map(|lead| lead * 10_u64.pow(power))).collect();
    let mut counts = vec![0; bounds.len() + 1];
    for (bin, count) in two_digits(summary) {
        // Bounds have one digit and bins two, so that no bin lies across one.
        counts[bounds.partition_point(|&bound| bound <= bin_begins_ns(bin))] += count;
    }
    (bounds, counts)
}

/// How throughput depends on the number of operations in flight: runs that differ in their shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling<'a> {
    /// What was run.
    pub name: &'a str,
    /// The first of the runs.
    pub first: &'a RunReport,
    /// By the number of operations in flight, ascending.
    pub points: Vec<ScalingPoint>,
}

/// One shape.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingPoint {
    /// Processes x threads, and x operations in flight if a thread has more than one.
    pub shape: String,
    /// Operations in flight, all together.
    pub in_flight: u64,
    /// Operations per second; the median if a shape was run several times.
    pub throughput: f64,
    /// The throughput if each operation in flight did as much as in the smallest shape.
    pub ideal: f64,
    /// The share of the ideal that was reached.
    pub efficiency: f64,
    /// The median of the runs' 99th percentiles, in nanoseconds.
    pub p99: Option<u64>,
    /// The number of runs.
    pub runs: usize,
}

/// The scaling of everything that a report ran in at least two shapes. Only closed runs count, because an open run has
/// a given rate.
pub fn scaling(report: &Report) -> Vec<Scaling<'_>> {
    let closed = report.runs.iter().filter(|run| run.plan.load_model == ModelName::Closed);
    let mut jobs: Vec<(&RunReport, Shapes<'_>)> = Vec::new();
    for run in closed.filter(|run| run.throughput.is_some()) {
        let at = jobs.iter().position(|(first, _)| is_same_job(first, run)).unwrap_or_else(|| {
            jobs.push((run, BTreeMap::new()));
            jobs.len() - 1
        });
        jobs[at].1.entry((run.plan.instances(), shape(run))).or_default().push(run);
    }
    let curves = jobs.into_iter().filter(|(_, shapes)| shapes.len() > 1);
    curves.map(|(first, shapes)| Scaling { name: words::run_name(first), first, points: points(&shapes) }).collect()
}

/// The runs of one job by the operations in flight, and by the shape.
type Shapes<'a> = BTreeMap<(u64, String), Vec<&'a RunReport>>;

/// Whether two runs are the same but for their shape and their length. What a run gives to its task can be known to
/// nobody but the suite, so runs of other names are others.
pub fn is_same_job(a: &RunReport, b: &RunReport) -> bool {
    let plan = |run: &RunReport| PlanReport {
        operations: None,
        duration_ns: None,
        boxes: None,
        processes: 0,
        threads: 0,
        concurrency: 0,
        warmup: None,
        ramp_ns: 0,
        first: 0,
        start_jitter_ns: 0,
        seed: 0,
        ..run.plan.clone()
    };
    let same = |of: fn(&RunReport) -> &str| of(a) == of(b);
    same(|run| run.name.as_deref().unwrap_or_default())
        && same(|run| &run.task.path)
        && same(|run| &run.task.sha256)
        && a.files == b.files
        && plan(a) == plan(b)
}

fn points(shapes: &Shapes<'_>) -> Vec<ScalingPoint> {
    let mut each = None;
    let point = |((in_flight, shape), runs): (&(u64, String), &Vec<&RunReport>)| {
        let throughput = median(runs.iter().filter_map(|run| run.throughput).collect()).unwrap_or_default();
        let ideal = *each.get_or_insert(throughput / *in_flight as f64) * *in_flight as f64;
        let p99s = runs.iter().filter_map(|run| run.latency_ns.p99.map(|ns| ns as f64)).collect();
        ScalingPoint {
            shape: shape.clone(),
            in_flight: *in_flight,
            throughput,
            ideal,
            efficiency: throughput / ideal,
            p99: median(p99s).map(|ns| ns as u64),
            runs: runs.len(),
        }
    };
    shapes.iter().map(point).collect()
}

/// A part of a whole, between 0 and 1; `None` if the whole is zero.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The relative difference of `to` from `from`; `None` if `from` is zero.
pub fn change(from: f64, to: f64) -> Option<f64> {
    (from > 0.0).then(|| to / from - 1.0)
}

/// The processors that the workers of a run could keep busy; `None` over boxes, where each has its own.
pub fn processors(run: &RunReport, report: &Report) -> Option<f64> {
    let cpus = report.environment.cpus as f64;
    run.boxes.is_empty().then(|| report.environment.cpu_limit.map_or(cpus, |limit| limit.min(cpus)))
}

/// How many processors all workers of a run kept busy together, at each moment at which one of them was sampled, once
/// each was.
pub fn busy(run: &RunReport) -> Vec<(u64, f64)> {
    let mut samples: Vec<(u64, usize, f64)> = (run.workers.iter().enumerate())
        .flat_map(|(i, worker)| worker.timeline.iter().filter_map(move |look| Some((look.at_ns, i, look.cpu?))))
        .collect();
    samples.sort_by_key(|&(at, worker, _)| (at, worker));
    let mut latest: Vec<Option<f64>> =
        run.workers.iter().map(|worker| if worker.timeline.is_empty() { Some(0.0) } else { None }).collect();
    let mut sums: Vec<(u64, f64)> = Vec::new();
    for (at, worker, cpu) in samples {
        latest[worker] = Some(cpu);
        let Some(busy) = latest.iter().copied().sum::<Option<f64>>() else { continue };
        let sum = (at, busy);
        match sums.last_mut().filter(|(last, _)| *last == at) {
            Some(last) => *last = sum,
            None => sums.push(sum),
        }
    }
    sums
}

/// How many processors a worker kept busy on average over its run; `None` if it died.
pub fn cores(worker: &WorkerReport, run: &RunReport) -> Option<f64> {
    share(worker.cpu_ns?, run.elapsed_ns)
}

/// The median: the middle figure, or the mean of the two in the middle.
pub(super) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len().checked_sub(1)? / 2;
    Some((figures[middle] + figures[figures.len() / 2]) / 2.0)
}

/// Processes x threads as text: `2 x 4`; `2 x 4 x 10` with ten operations in flight per thread; before them the boxes,
/// if there are several.
pub fn shape(run: &RunReport) -> String {
    let PlanReport { boxes, processes, threads, concurrency, .. } = run.plan;
    joined(boxes, processes, threads, concurrency)
}

/// A shape as text, from its parts.
pub fn joined(boxes: Option<u32>, processes: u32, threads: u32, concurrency: u32) -> String {
    let concurrency = Some(concurrency).filter(|&concurrency| concurrency > 1);
    let parts = boxes.into_iter().chain([processes, threads]).chain(concurrency);
    parts.map(|part| part.to_string()).collect::<Vec<_>>().join(" x ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::Histogram;
    use crate::report::derive::summary;
    use crate::report::tests::{environment, record};

    #[test]
    fn a_percentile_curve_passes_through_the_printed_figures() {
        let report = Report::new(environment(), &[record(4)]);
        let summary = &report.runs[0].latency_ns;
        let curve = percentiles(summary);
        let at = |nines: f64| curve.iter().find(|(at, _)| *at == nines).map(|&(_, ns)| ns);
        assert_eq!((at(2_f64.log10()), at(1.0), at(2.0)), (summary.p50, summary.p90, summary.p99));
        assert_eq!(curve.last().map(|&(_, ns)| ns), summary.max);
        assert!(curve.is_sorted_by_key(|&(_, ns)| ns));
    }

    #[test]
    fn the_curve_of_several_runs_is_that_of_all_their_operations() {
        let report = Report::new(environment(), &[record(4), record(4)]);
        let parts = [&report.runs[0].latency_ns, &report.runs[1].latency_ns];
        // Twice the same operations have the same percentiles, and a curve that goes on to the last half of one.
        let (one, both) = (percentiles(parts[0]), pooled_percentiles(&parts));
        assert!(both.len() > one.len() && both[..one.len() - 1] == one[..one.len() - 1]);
        assert_eq!(pooled_percentiles(&[&report.total.latency_ns]), both);
    }

    #[test]
    fn heat_map_and_rates_count_every_operation() {
        let run = &Report::new(environment(), &[record(4)]).runs[0];
        let counts = |heat: &Heat| -> Vec<u64> {
            heat.columns.iter().map(|bins| bins.iter().map(|(_, count)| count).sum()).collect()
        };
        let completed: Vec<u64> = run.timeline.buckets.iter().map(|bucket| bucket.completed).collect();
        assert_eq!(counts(&heat(run, usize::MAX)), completed);
        let merged = heat(run, 0);
        assert_eq!(counts(&merged), [2_000]);
        assert!(merged.intervals >= completed.len());
        let rates = rates(run, &["200", "500"]);
        for (i, all) in rates.completed.iter().enumerate() {
            let parts = rates.results.iter().map(|(_, rates)| rates[i]).sum::<f64>() + rates.others[i];
            assert!((parts - all).abs() < 1e-6, "{parts} of {all}");
        }
    }

    #[test]
    fn an_invalid_histogram_is_drawn_as_nothing() {
        let mut report = Report::new(environment(), &[record(4)]);
        report.runs[0].latency_ns.hdr = Some("AAAA".into());
        assert!(percentiles(&report.runs[0].latency_ns).is_empty());
    }

    #[test]
    fn scaling_is_measured_against_the_smallest_shape() {
        let mut report = Report::new(environment(), &[record(1), record(2), record(4), record(4)]);
        for (run, throughput) in report.runs.iter_mut().zip([100.0, 190.0, 300.0, 340.0]) {
            run.throughput = Some(throughput);
        }
        let curves = scaling(&report);
        let points: Vec<_> = curves[0].points.iter().map(|p| (p.in_flight, p.throughput, p.ideal, p.runs)).collect();
        assert_eq!(points, [(2, 100.0, 100.0, 1), (4, 190.0, 200.0, 1), (8, 320.0, 400.0, 2)]);
        report.runs.truncate(1);
        assert!(scaling(&report).is_empty());
    }

    proptest! {
        #[test]
        fn a_bin_has_the_two_leading_digits_of_its_durations(ns in 0..=crate::metrics::HIGHEST_NS) {
            let (bin, begins) = (bin_of(ns), bin_begins_ns(bin_of(ns)));
            prop_assert!(begins <= ns && ns < bin_begins_ns(bin + 1));
            prop_assert_eq!(bin_of(begins), bin);
            prop_assert!(begins < 10 || begins.to_string()[..2] == ns.to_string()[..2]);
        }
    }

    proptest::proptest! {
        #[test]
        fn bins_ascend_and_hold_every_duration(durations in proptest::collection::vec(0_u64..10_000_000_000, 1..200)) {
            let mut histogram = Histogram::default();
            for &ns in &durations {
                histogram.record(ns);
            }
            let summary = summary(&histogram);
            let bins = bins(&summary, 10);
            proptest::prop_assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), durations.len() as u64);
            proptest::prop_assert!(bins.windows(2).all(|pair| pair[0].to_ns < pair[1].to_ns) && bins.len() <= 10);
            proptest::prop_assert_eq!(bins.last().map(|bin| bin.to_ns), durations.iter().max().copied());
        }
    }

    #[test]
    fn nothing_has_no_bins() {
        let mut report = Report::new(environment(), &[record(1)]);
        report.runs[0].latency_ns = summary(&Histogram::default());
        assert_eq!(bins(&report.runs[0].latency_ns, 10), []);
    }
}
