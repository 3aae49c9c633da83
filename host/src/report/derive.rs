//! Computes the figures of a report: counts, rates and percentiles. Only this module computes them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::{
    BucketReport, Counts, GroupReport, Lack, NetworkReport, PlanReport, Refusal, ResultReport, RunReport, SpanReport,
    StartupReport, Summary, TimelineReport, Total, health, percentile,
};
use crate::guest_text::GuestText;
use crate::metrics::{
    Cut, HIGHEST_NS, Histogram, Measure, Metrics, OTHER, Outcome, ResultMetrics, SIGNIFICANT_DIGITS, Span, Spans,
    TimeSplit,
};
use crate::network::suggestion;
use crate::pace::Slots;
use crate::record::RunRecord;

/// The report on one run.
pub(super) fn run(record: &RunRecord, cpus: usize) -> RunReport {
    let RunRecord { metrics, plan, .. } = record;
    let (elapsed_ns, window_ns) = (elapsed_ns(metrics), window_ns(record));
    let measured = |measure| summary(&metrics.measured(measure));
    let latency = measured(Measure::Latency);
    let is_open = plan.load_model().open().is_some();
    RunReport {
        name: None,
        task: record.task.clone(),
        files: record.files.clone(),
        plan: PlanReport::from(plan),
        started_at: humantime::format_rfc3339_millis(record.started_at).to_string(),
        elapsed_ns,
        startup_ns: StartupReport {
            compile: nanos(record.startup.compile),
            cached: record.startup.cached,
            spawn: nanos(record.startup.spawn),
            load: nanos(record.startup.load),
            instantiate: nanos(record.startup.instantiate),
            setup: record.startup.setup.map(nanos),
        },
        drain_ns: plan.extent().duration().map(|duration| elapsed_ns.saturating_sub(nanos(duration))),
        warmup: record.warmup,
        operations: counts(record),
        cut: cut(record),
        folded: metrics.folded(),
        throughput: rate(metrics.completed(), window_ns),
        throughput_window_ns: Some(window_ns),
        service_ns: if is_open { measured(Measure::Service) } else { latency.clone() },
        latency_ns: latency,
        ok: Some(ok(metrics, window_ns)),
        schedule_lag_ns: is_open.then(|| measured(Measure::Lag)),
        time: time(metrics),
        results: results(metrics, window_ns),
        spans: spans(metrics),
        network: network(metrics, window_ns),
        timeline: timeline(record, elapsed_ns.max(scheduled_ns(record).unwrap_or_default())),
        workers: record.workers.iter().map(|worker| health::worker(worker, &record.boxes)).collect(),
        boxes: health::boxes(record),
        possibly_executed_twice: record.possibly_twice.clone(),
        generator: health::generator(record, cpus),
        faults: record.faults.clone(),
    }
}

/// All runs together.
pub(super) fn total(records: &[RunRecord]) -> Total {
    let mut metrics = Metrics::default();
    let mut operations = Counts { planned: Some(0), ..Counts::default() };
    let (mut elapsed, mut window) = (0, 0);
    for record in records {
        metrics += &record.metrics;
        operations = add(operations, counts(record));
        elapsed += elapsed_ns(&record.metrics);
        window += window_ns(record);
    }
    Total {
        operations,
        elapsed_ns: elapsed,
        throughput: rate(metrics.completed(), window),
        latency_ns: summary(&metrics.measured(Measure::Latency)),
        ok: Some(ok(&metrics, window)),
        results: results(&metrics, window),
    }
}

fn counts(record: &RunRecord) -> Counts {
    let of = |outcome| -> u64 {
        let results = record.metrics.results().iter().filter(|result| result.outcome == outcome);
        results.map(|result| result.measured.operations()).sum()
    };
    let completed = record.metrics.completed();
    Counts {
        planned: record.plan.extent().operations(),
        offered: record.offered,
        completed,
        ok: of(Outcome::Ok),
        failed: of(Outcome::Failed),
        trapped: of(Outcome::Trapped),
        timed_out: of(Outcome::TimedOut),
        dropped: record.dropped,
        dropped_at_end: Some(record.metrics.scheduled.left),
        lost: record.lost,
        in_flight: record.in_flight.len() as u64,
    }
}

/// The operations that were cut at the end of the run, the oldest first.
fn cut(record: &RunRecord) -> Vec<Cut> {
    let mut cut: Vec<Cut> = record.in_flight.iter().chain(&record.overtime).copied().collect();
    cut.sort_by_key(|cut| (Reverse(cut.age_ns), cut.number));
    cut
}

fn add(a: Counts, b: Counts) -> Counts {
    Counts {
        planned: a.planned.zip(b.planned).map(|(a, b)| a + b),
        offered: a.offered + b.offered,
        completed: a.completed + b.completed,
        ok: a.ok + b.ok,
        failed: a.failed + b.failed,
        trapped: a.trapped + b.trapped,
        timed_out: a.timed_out + b.timed_out,
        dropped: a.dropped + b.dropped,
        dropped_at_end: Some(a.dropped_at_end.unwrap_or_default() + b.dropped_at_end.unwrap_or_default()),
        lost: a.lost + b.lost,
        in_flight: a.in_flight + b.in_flight,
    }
}

/// The operations that were ok, over the time of all.
fn ok(metrics: &Metrics, window_ns: u64) -> GroupReport {
    let mut latency = Histogram::default();
    let ok = metrics.results().iter().filter(|result| result.outcome == Outcome::Ok);
    ok.for_each(|result| latency += &result.measured[Measure::Latency]);
    let operations = latency.count();
    GroupReport { operations, throughput: rate(operations, window_ns), latency_ns: summary(&latency) }
}

/// The spans of all results together.
fn spans(metrics: &Metrics) -> Vec<SpanReport> {
    let mut all = Spans::default();
    metrics.results().iter().for_each(|result| all += &result.spans);
    spans_of(&all)
}

fn spans_of(spans: &Spans) -> Vec<SpanReport> {
    let span = |span: &Span| SpanReport {
        name: span.name.clone(),
        count: span.latency.count(),
        latency_ns: summary(&span.latency),
    };
    spans.iter().map(span).collect()
}

/// Most frequent first, then by name, so that two reports on the same run have the same order.
fn results(metrics: &Metrics, window_ns: u64) -> Vec<ResultReport> {
    let mut results: Vec<_> = metrics
        .results()
        .iter()
        .map(|result| ResultReport {
            result: result.result.clone(),
            outcome: result.outcome,
            operations: result.measured.operations(),
            first_number: result.first_number,
            reasons: result.reasons.clone(),
            reproduce: None,
            throughput: rate(result.measured.operations(), window_ns),
            latency_ns: summary(&result.measured[Measure::Latency]),
            time: split(result.split),
            spans: spans_of(&result.spans),
        })
        .collect();
    results.sort_by(|a, b| {
        (Reverse(a.operations), &a.result, a.outcome).cmp(&(Reverse(b.operations), &b.result, b.outcome))
    });
    results
}

fn time(metrics: &Metrics) -> Option<TimeSplit> {
    let mut all = TimeSplit::default();
    metrics.results().iter().for_each(|result| all += result.split);
    split(all)
}

fn split(split: TimeSplit) -> Option<TimeSplit> {
    (split != TimeSplit::default()).then_some(split)
}

fn network(metrics: &Metrics, window_ns: u64) -> Option<NetworkReport> {
    let counts = &metrics.network;
    let completed = metrics.completed();
    let refused = counts.refused.iter().map(|(destination, &count)| Refusal {
        destination: destination.clone(),
        count,
        flag: suggestion(destination.raw()),
    });
    (!counts.is_empty()).then(|| NetworkReport {
        requests: counts.requests,
        failed: Some(counts.failed),
        throughput: rate(counts.requests, window_ns),
        duration_ns: Some(summary(&counts.duration)),
        requests_per_operation: (completed > 0).then(|| counts.sent as f64 / completed as f64),
        sent: Some(counts.sent),
        repeated: Some(counts.repeated),
        opened: counts.opened,
        reused: counts.reused,
        bytes_in: counts.bytes_in,
        bytes_out: counts.bytes_out,
        connect_ns: summary(&counts.connect),
        first_byte_ns: summary(&counts.first_byte),
        stream_wait_ns: (counts.stream_wait.count() > 0).then(|| summary(&counts.stream_wait)),
        lacked: counts.lacked.iter().map(|(&resource, &count)| Lack { resource, count }).collect(),
        refused: refused.collect(),
    })
}

/// The timeline up to `end_ns`.
fn timeline(record: &RunRecord, end_ns: u64) -> TimelineReport {
    let metrics = &record.metrics;
    let lag = |ns: u64| record.plan.load_model().open().map(|_| ns);
    // Intervals in which a schedule went on and nothing ended are zeros, not gaps.
    let timeline = metrics.timeline().reaching(end_ns);
    let interval_ns = timeline.interval_ns();
    let mut due = Due::of(record);
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
    let kept = most_frequent(metrics, MOST_ENTRIES / timeline.buckets().len().max(1));
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
    for bucket in &mut buckets {
        bucket.due = due.as_mut().map(|due| due.before(bucket.start_ns + interval_ns));
    }
    TimelineReport { interval_ns, buckets }
}

/// How many entries the results of all intervals have together. A result has up to 256 bytes, and a timeline hundreds
/// of intervals.
const MOST_ENTRIES: usize = 20_000;

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

fn summary(histogram: &Histogram) -> Summary {
    let (count, min, max) = (histogram.count(), histogram.min(), histogram.max());
    let hdr = histogram.to_hdr();
    let some = |figure: u64| (count > 0).then_some(figure);
    let percentile = |q: f64| {
        let (min, max) = min.zip(max).filter(|_| percentile::exists(q, count))?;
        Some(hdr.value_at_quantile(q).max(min).min(max))
    };
    Summary {
        count,
        min,
        sum: Some(histogram.sum()),
        mean: histogram.sum().checked_div(u128::from(count)).and_then(|mean| u64::try_from(mean).ok()),
        stdev: some(hdr.stdev().round() as u64),
        p50: percentile(0.5),
        p90: percentile(0.9),
        p95: percentile(0.95),
        p99: percentile(0.99),
        p99_9: percentile(0.999),
        max,
        overflow: histogram.overflow(),
        hdr: (count > 0).then(|| encode(&hdr)),
    }
}

fn encode(hdr: &hdrhistogram::Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(hdr, &mut bytes)
        .expect("a histogram of these bounds has a serialised form, and a vector takes it");
    STANDARD.encode(bytes)
}

/// The inverse of [`encode`]; without text the histogram is empty. `None` for anything else: a blob may claim to be of
/// any size, and the library would believe it.
pub(super) fn decode(hdr: Option<&str>) -> Option<hdrhistogram::Histogram<u64>> {
    let Some(text) = hdr else { return Some(Histogram::default().to_hdr()) };
    if text.len() > 2 * MOST_ENCODED {
        return None;
    }
    let bytes = STANDARD.decode(text).ok()?;
    // The cookie of V2 with deflate, and the length of what follows.
    let (cookie, rest) = bytes.split_first_chunk::<4>()?;
    let (length, deflated) = rest.split_first_chunk::<4>()?;
    if u32::from_be_bytes(*cookie) != 0x1c84_9314 || u32::from_be_bytes(*length) as usize != deflated.len() {
        return None;
    }
    let mut inflated = Vec::new();
    ZlibDecoder::new(deflated).take(MOST_ENCODED as u64 + 1).read_to_end(&mut inflated).ok()?;
    // The head of V2: cookie, length of the counts, normalizing offset, digits, lowest, highest, ratio.
    let (head, counts) = inflated.split_first_chunk::<40>()?;
    let mut expected = Vec::with_capacity(40);
    expected.extend(0x1c84_9313_u32.to_be_bytes());
    expected.extend(u32::try_from(counts.len()).ok()?.to_be_bytes());
    expected.extend(0_u32.to_be_bytes());
    expected.extend(u32::from(SIGNIFICANT_DIGITS).to_be_bytes());
    expected.extend(1_u64.to_be_bytes());
    expected.extend(HIGHEST_NS.to_be_bytes());
    expected.extend(1_f64.to_be_bytes());
    if inflated.len() > MOST_ENCODED || *head != *expected || !can_be_counted(counts) {
        return None;
    }
    Deserializer::new().deserialize(&mut inflated.as_slice()).ok()
}

/// Whether encoded counts fit into a histogram. Each is a number in LEB128 with ZigZag, of up to nine bytes; a negative
/// one stands for as many zeros.
fn can_be_counted(counts: &[u8]) -> bool {
    /// More than a histogram of these bounds has.
    const MOST_INDICES: i64 = 1 << 16;
    const MOST: i64 = 1 << 60;
    let (mut indices, mut sum) = (0_i64, 0_i64);
    let mut bytes = counts.iter();
    while let Some(&first) = bytes.next() {
        let (mut number, mut byte, mut shift) = (u64::from(first & 0x7f), first, 7);
        while byte & 0x80 != 0 && shift <= 56 {
            let Some(&next) = bytes.next() else { return false };
            byte = next;
            // The ninth byte has eight bits.
            number |= u64::from(if shift == 56 { byte } else { byte & 0x7f }) << shift;
            shift += 7;
        }
        let value = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
        let (places, counted) = if value < 0 { (-(value.max(-MOST_INDICES)), 0) } else { (1, value.min(MOST)) };
        (indices, sum) = (indices + places, sum + counted);
        if value < -MOST_INDICES || indices > MOST_INDICES || sum >= MOST {
            return false;
        }
    }
    true
}

/// The most bytes of a histogram without compression: nine for each of its counts, which are fewer than 2^16.
const MOST_ENCODED: usize = 9 << 16;

fn elapsed_ns(metrics: &Metrics) -> u64 {
    metrics.window().map_or(0, |window| window.last_end_ns)
}

/// The time over which the rates of a run are taken: that of its schedule, or from the first start to the last end.
///
/// A run that falls behind its schedule goes on after its end. Then its rates are until the last start, because over
/// the schedule they would be those of what was offered.
///
/// Operations of an open run start when they are due, so few of them fill only a part of the time in which they were
/// offered. From the first start to the last end, one operation of a millisecond would be a thousand per second.
fn window_ns(record: &RunRecord) -> u64 {
    let ended = record.metrics.window().map_or(0, crate::metrics::Window::length_ns);
    scheduled_ns(record).map_or(ended, |scheduled| scheduled.max(record.metrics.scheduled.last_start_ns))
}

/// How long the schedule of an open run lasted, if a duration or a stop ended it. `None` if the number of operations
/// did, or if the run has no schedule.
fn scheduled_ns(record: &RunRecord) -> Option<u64> {
    let extent = record.plan.extent();
    record.plan.load_model().open()?;
    let is_used_up = extent.operations().is_some_and(|planned| record.offered >= planned);
    let planned = extent.duration().filter(|_| !is_used_up)?;
    Some(nanos(record.short_of_plan.map_or(planned, |until| planned.min(until))))
}

/// Operations per second; `None` if no time passed.
fn rate(operations: u64, window_ns: u64) -> Option<f64> {
    (window_ns > 0).then(|| operations as f64 * 1e9 / window_ns as f64)
}

/// A duration in nanoseconds, the unit of the report.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
