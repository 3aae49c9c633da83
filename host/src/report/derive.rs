//! Computes the figures of a report: counts, rates and percentiles. Only this module computes them.

use std::cmp::Reverse;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::{
    Counts, GroupReport, Lack, NetworkReport, PlanReport, Refusal, ResultReport, RunReport, SpanReport, StartupReport,
    Summary, Total, health, intervals, percentile,
};
use crate::metrics::{
    Cut, HIGHEST_NS, Histogram, Measure, Metrics, Outcome, SIGNIFICANT_DIGITS, Span, Spans, TimeSplit,
};
use crate::network::suggestion;
use crate::record::RunRecord;

/// The report on one run.
pub(super) fn run(record: &RunRecord, cpus: usize) -> RunReport {
    let RunRecord { metrics, plan, .. } = record;
    let (elapsed_ns, window_ns) = (elapsed_ns(metrics), window_ns(record));
    let measured = |measure| summary(&metrics.measured(measure));
    let latency = measured(Measure::Latency);
    let is_open = plan.load_model().open().is_some();
    RunReport {
        partial: Some(record.is_partial()),
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
        spans: spans(metrics, window_ns),
        network: network(metrics, window_ns),
        timeline: intervals::of_run(record),
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

/// The spans of all results together: first those that took the most time.
fn spans(metrics: &Metrics, window_ns: u64) -> Vec<SpanReport> {
    let mut all = Spans::default();
    metrics.results().iter().for_each(|result| all += &result.spans);
    let mut spans = spans_of(&all, window_ns);
    spans.sort_by_key(|span| Reverse(span.latency_ns.sum));
    spans
}

fn spans_of(spans: &Spans, window_ns: u64) -> Vec<SpanReport> {
    let span = |span: &Span| SpanReport {
        name: span.name.clone(),
        count: span.latency.count(),
        failed: Some(span.failed),
        throughput: rate(span.latency.count(), window_ns),
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
            spans: spans_of(&result.spans, window_ns),
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

pub(super) fn summary(histogram: &Histogram) -> Summary {
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

pub(super) fn elapsed_ns(metrics: &Metrics) -> u64 {
    metrics.window().map_or(0, |window| window.last_end_ns)
}

/// The time over which the rates of a run are taken: that of its schedule, or from the first start to the last end.
///
/// A run that falls behind its schedule goes on after its end. Then its rates are until the last start, because over
/// the schedule they would be those of what was offered.
///
/// Operations of an open run start when they are due, so few of them fill only a part of the time in which they were
/// offered. From the first start to the last end, one operation of a millisecond would be a thousand per second.
pub(super) fn window_ns(record: &RunRecord) -> u64 {
    let ended = record.metrics.window().map_or(0, crate::metrics::Window::length_ns);
    scheduled_ns(record).map_or(ended, |scheduled| scheduled.max(record.metrics.scheduled.last_start_ns))
}

/// How long the schedule of an open run lasted, if a duration or a stop ended it. `None` if the number of operations
/// did, or if the run has no schedule.
pub(super) fn scheduled_ns(record: &RunRecord) -> Option<u64> {
    let extent = record.plan.extent();
    record.plan.load_model().open()?;
    let is_used_up = extent.operations().is_some_and(|planned| record.offered >= planned);
    let planned = extent.duration().filter(|_| !is_used_up)?;
    Some(nanos(record.short_of_plan.map_or(planned, |until| planned.min(until))))
}

/// Operations per second; `None` if no time passed.
pub(super) fn rate(operations: u64, window_ns: u64) -> Option<f64> {
    (window_ns > 0).then(|| operations as f64 * 1e9 / window_ns as f64)
}

/// A duration in nanoseconds, the unit of the report.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
