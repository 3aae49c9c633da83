//! The report as OpenMetrics text, which Prometheus and similar programs scrape while a run goes on.

use std::fmt::{self, Write as _};

use crate::guest_text::visible;
use crate::report::{Report, Summary, curves, words};

/// The media type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All runs of `report` together.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = all(report, &mut text);
    text
}

fn all(report: &Report, to: &mut String) -> fmt::Result {
    let counts = &report.total.operations;
    family(to, "gorgon_operations", "counter", "Operations that ended, by result and outcome.")?;
    for result in &report.total.results {
        let (name, outcome) = (escape(result.result.raw()), words::outcome(result.outcome).replace(' ', "_"));
        writeln!(to, "gorgon_operations_total{{result=\"{name}\",outcome=\"{outcome}\"}} {}", result.operations)?;
    }
    family(to, "gorgon_offered", "counter", "Operations that were due.")?;
    writeln!(to, "gorgon_offered_total {}", counts.offered)?;
    family(to, "gorgon_dropped", "counter", "Operations that were due and never started.")?;
    writeln!(to, "gorgon_dropped_total {}", counts.dropped)?;
    family(to, "gorgon_lost", "counter", "Operations that were handed out and never confirmed.")?;
    writeln!(to, "gorgon_lost_total {}", counts.lost)?;
    family(to, "gorgon_runs", "gauge", "Runs that have begun.")?;
    writeln!(to, "gorgon_runs {}", report.runs.len())?;
    family(to, "gorgon_elapsed_seconds", "gauge", "The total duration of the runs.")?;
    writeln!(to, "# UNIT gorgon_elapsed_seconds seconds\ngorgon_elapsed_seconds {}", seconds(report.total.elapsed_ns))?;
    family(to, "gorgon_latency_seconds", "histogram", "How long operations took.")?;
    writeln!(to, "# UNIT gorgon_latency_seconds seconds")?;
    histogram(to, &report.total.latency_ns)?;
    writeln!(to, "# EOF")
}

fn family(to: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(to, "# TYPE {name} {kind}\n# HELP {name} {help}")
}

fn histogram(to: &mut String, summary: &Summary) -> fmt::Result {
    let (bounds, counts) = curves::buckets(summary);
    let mut below = 0;
    for (bound, count) in bounds.into_iter().zip(counts) {
        below += count;
        writeln!(to, "gorgon_latency_seconds_bucket{{le=\"{}\"}} {below}", seconds(bound))?;
    }
    writeln!(to, "gorgon_latency_seconds_bucket{{le=\"+Inf\"}} {}", summary.count)?;
    writeln!(to, "gorgon_latency_seconds_count {}", summary.count)?;
    writeln!(to, "gorgon_latency_seconds_sum {}", summary.sum() as f64 / 1e9)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// Escapes the value of a label: a backslash, a quote and a newline.
fn escape(text: &str) -> String {
    visible(text).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
