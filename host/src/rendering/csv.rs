//! The report as one table of comma-separated values: results, spans and intervals, distinguished by the column `row`.
//! Guest text that a spreadsheet would take for a formula gets an apostrophe in front; invisible characters are
//! escaped.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::Serialize;

use crate::guest_text::cell;
use crate::metrics::Outcome;
use crate::report::{BucketReport, Report, RunReport, SpanReport, Summary, curves, words};

/// A row. An interval has its own length, and `partial` if the run covers only a part of it; `all` has the time over
/// which its rate is taken. Durations are in nanoseconds; figures that do not exist are empty.
#[derive(Default, Serialize)]
struct CsvRow<'a> {
    run: usize,
    task: Cow<'a, str>,
    /// `all`, `result`, `span`, `all_spans` or `interval`.
    row: &'static str,
    result: Option<Cow<'a, str>>,
    outcome: Option<Outcome>,
    span: Option<Cow<'a, str>>,
    start_ns: Option<u64>,
    length_ns: Option<u64>,
    partial: Option<bool>,
    started: Option<u64>,
    dropped: Option<u64>,
    operations: u64,
    not_ok: Option<u64>,
    per_second: Option<f64>,
    mean_ns: Option<u64>,
    min_ns: Option<u64>,
    p50_ns: Option<u64>,
    p90_ns: Option<u64>,
    p95_ns: Option<u64>,
    p99_ns: Option<u64>,
    p99_9_ns: Option<u64>,
    max_ns: Option<u64>,
    /// Of a row that is about one box.
    #[serde(rename = "box")]
    of_box: Option<Cow<'a, str>>,
    /// Of a row `all`: the command line that made it, without secrets.
    command: Option<Cow<'a, str>>,
    /// Of a row `all`: where it ran, and the versions.
    machine: Option<String>,
}

/// Writes `report`: for each run a row `all`, a row `result` for each result with its rows `span`, a row `all_spans`
/// for the spans of one name over all results, and a row `interval` for each interval; then those of each box, if they
/// are known.
pub fn write(report: &Report, to: impl Write) -> io::Result<()> {
    let mut rows = csv::Writer::from_writer(to);
    for (i, run) in report.runs.iter().enumerate() {
        let mut of_run = rows_of(i + 1, run);
        of_run[0].command = report.command.as_deref().map(cell);
        of_run[0].machine = Some(cell(&words::machine(report)).into_owned());
        of_run.into_iter().try_for_each(|row| rows.serialize(row))?;
    }
    rows.flush()
}

fn rows_of<'a>(number: usize, run: &'a RunReport) -> Vec<CsvRow<'a>> {
    let row = |row, s: &Summary| CsvRow {
        run: number,
        task: cell(&run.task.path),
        row,
        operations: s.count,
        mean_ns: s.mean,
        min_ns: s.min,
        p50_ns: s.p50,
        p90_ns: s.p90,
        p95_ns: s.p95,
        p99_ns: s.p99,
        p99_9_ns: s.p99_9,
        max_ns: s.max,
        ..CsvRow::default()
    };
    let span = |name, of: &'a SpanReport| CsvRow {
        span: Some(of.name.in_cell()),
        not_ok: of.failed,
        per_second: of.throughput,
        ..row(name, &of.latency_ns)
    };
    let counts = &run.operations;
    let mut rows = vec![CsvRow {
        started: Some(run.timeline.buckets.iter().map(|bucket| bucket.started).sum()),
        dropped: Some(counts.dropped),
        not_ok: Some(counts.not_ok()),
        length_ns: run.throughput_window_ns,
        per_second: run.throughput,
        ..row("all", &run.latency_ns)
    }];
    for of in &run.results {
        let (result, outcome) = (Some(of.result.in_cell()), Some(of.outcome));
        rows.push(CsvRow {
            result: result.clone(),
            outcome,
            per_second: of.throughput,
            ..row("result", &of.latency_ns)
        });
        rows.extend(of.spans.iter().map(|of| CsvRow { result: result.clone(), outcome, ..span("span", of) }));
    }
    rows.extend(run.spans.iter().map(|of| span("all_spans", of)));
    let interval = |bucket: &'_ BucketReport| CsvRow {
        start_ns: Some(bucket.start_ns),
        length_ns: bucket.length_ns,
        partial: Some(bucket.partial),
        started: Some(bucket.started),
        dropped: Some(bucket.dropped),
        not_ok: Some(bucket.failed),
        per_second: Some(curves::rate(run, bucket)),
        ..row("interval", &bucket.latency_ns)
    };
    rows.extend(run.timeline.buckets.iter().map(interval));
    for of in &run.boxes {
        let its = of.timeline.iter().flat_map(|timeline| &timeline.buckets);
        rows.extend(its.map(|bucket| CsvRow { of_box: Some(cell(&of.name)), ..interval(bucket) }));
    }
    rows
}
