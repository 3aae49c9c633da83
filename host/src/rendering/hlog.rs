//! The report as an HdrHistogram interval log, which HdrHistogram's tools read. It has one histogram per interval, in
//! nanoseconds; the maximum is in milliseconds. The runs of a suite have the tags `run1`, `run2` and so on.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag};

use crate::guest_text::line;
use crate::report::{Report, curves, words};

/// Nanoseconds per unit of the log's maxima, which by custom are milliseconds.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// Writes `report`.
pub fn write(report: &Report, mut to: impl Write) -> io::Result<()> {
    let starts: Vec<SystemTime> =
        report.runs.iter().filter_map(|run| humantime::parse_rfc3339(&run.started_at).ok()).collect();
    let first = starts.first().copied().unwrap_or(SystemTime::UNIX_EPOCH);
    let mut serializer = V2DeflateSerializer::new();
    let mut head = IntervalLogWriterBuilder::new();
    head.add_comment("gorgon: durations of operations in nanoseconds, by interval; Interval_Max in milliseconds");
    let machine = words::machine(report);
    let made = report.command.as_ref().map(|command| format!("{command}, on {machine}")).unwrap_or(machine);
    let made = line(&made);
    head.add_comment(&made);
    head.with_start_time(first).with_base_time(first).with_max_value_divisor(MAX_VALUE_DIVISOR);
    let mut log = head.begin_log_with(&mut to, &mut serializer)?;
    for (i, run) in report.runs.iter().enumerate() {
        let tag = format!("run{}", i + 1);
        let tag = Tag::new(&tag).filter(|_| report.runs.len() > 1);
        let since = starts.get(i).and_then(|start| start.duration_since(first).ok()).unwrap_or_default();
        for (bucket, ends) in run.timeline.buckets.iter().zip(curves::ends_ns(run)) {
            let some = bucket.latency_ns.histogram().filter(|histogram| !histogram.is_empty());
            let Some(histogram) = some else { continue };
            let begins = since + Duration::from_nanos(bucket.start_ns);
            log.write_histogram(&histogram, begins, Duration::from_nanos(ends - bucket.start_ns), tag).map_err(
                |error| match error {
                    IntervalLogWriterError::IoError(error) => error,
                    IntervalLogWriterError::SerializeError(error) => io::Error::other(error.to_string()),
                },
            )?;
        }
    }
    to.flush()
}
