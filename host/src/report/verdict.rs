//! Promises that a run must keep: `p99>250ms`, `failed>0.1%`, `throughput<500`.
//!
//! An expression names a figure of the report, compares it, and holds or does not; `--fail-if` fails a run for which it
//! holds. A figure that does not exist makes none hold, and is said to be unknown.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Counts, RunReport, Summary};

/// A comparison of one figure with one value.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    figure: Figure,
    comparison: Comparison,
    value: f64,
}

/// What came of an expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The expression, as it was written.
    pub expression: String,
    /// The run it was held against, by its place in the report.
    pub run: usize,
    /// Whether it holds.
    pub held: bool,
    /// The figure: nanoseconds, a share between 0 and 1, operations, or operations per second; null where it does not
    /// exist.
    pub value: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
enum Figure {
    Latency(fn(&Summary) -> Option<u64>),
    Share(fn(&Counts) -> u64),
    Operations(fn(&Counts) -> u64),
    Throughput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// What is wrong with an expression.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("in `{expression}`: {problem}")]
pub struct ExpressionError {
    expression: String,
    problem: String,
}

type LatencyFigure = (&'static str, fn(&Summary) -> Option<u64>);
type CountFigure = (&'static str, fn(&Counts) -> u64);

const LATENCIES: [LatencyFigure; 9] = [
    ("min", |s| s.min),
    ("mean", |s| s.mean),
    ("avg", |s| s.mean),
    ("p50", |s| s.p50),
    ("p90", |s| s.p90),
    ("p95", |s| s.p95),
    ("p99", |s| s.p99),
    ("p99.9", |s| s.p99_9),
    ("max", |s| s.max),
];

const COUNTS: [CountFigure; 4] = [
    ("failed", |c| c.completed - c.ok),
    ("trapped", |c| c.trapped),
    ("timed_out", |c| c.timed_out),
    ("lost", |c| c.lost),
];

const THROUGHPUT: &str = "throughput";

impl Expression {
    /// Holds the expression against the run at place `run` of a report.
    pub fn judge(&self, run: usize, report: &RunReport) -> Verdict {
        let value = match self.figure {
            Figure::Latency(of) => of(&report.latency_ns).map(|ns| ns as f64),
            Figure::Operations(of) => Some(of(&report.operations) as f64),
            Figure::Share(of) => {
                let counts = &report.operations;
                (counts.offered > 0).then(|| of(counts) as f64 / counts.offered as f64)
            }
            Figure::Throughput => report.throughput,
        };
        let held = value.is_some_and(|value| match self.comparison {
            Comparison::Above => value > self.value,
            Comparison::AtLeast => value >= self.value,
            Comparison::Below => value < self.value,
            Comparison::AtMost => value <= self.value,
        });
        Verdict { expression: self.text.clone(), run, held, value }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let error = |problem| ExpressionError { expression: text.to_owned(), problem };
        let at = text.find(['<', '>']).ok_or_else(|| {
            error("there is no `>` or `<`: write a figure, a comparison and a value, such as `p99>250ms`".into())
        })?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (comparison, rest) = match rest.as_bytes() {
            [b'>', b'=', ..] => (Comparison::AtLeast, &rest[2..]),
            [b'>', ..] => (Comparison::Above, &rest[1..]),
            [_, b'=', ..] => (Comparison::AtMost, &rest[2..]),
            _ => (Comparison::Below, &rest[1..]),
        };
        let (figure, value) = figure(name, rest.trim()).map_err(error)?;
        Ok(Self { text: text.to_owned(), figure, comparison, value })
    }
}

/// The figure called `name`, and `value` in its unit; or what is wrong with one of them.
fn figure(name: &str, value: &str) -> Result<(Figure, f64), String> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    if let Some((_, of)) = LATENCIES.iter().find(|(latency, _)| *latency == name) {
        let parsed: Option<Duration> = humantime::parse_duration(value).ok();
        let parsed = parsed.ok_or_else(|| format!("`{value}` is not a duration: write `250ms` or `1s`"))?;
        return Ok((Figure::Latency(*of), parsed.as_nanos() as f64));
    }
    if let Some((_, of)) = COUNTS.iter().find(|(count, _)| *count == name) {
        let figure = match value.strip_suffix('%') {
            Some(percent) => number(percent).map(|percent| (Figure::Share(*of), percent / 100.0)),
            None => number(value).map(|operations| (Figure::Operations(*of), operations)),
        };
        return figure.ok_or_else(|| format!("`{value}` is neither a share nor a number: write `0.1%` or `5`"));
    }
    if name == THROUGHPUT {
        let parsed = number(value.trim_end_matches("/s"));
        let parsed = parsed.ok_or_else(|| format!("`{value}` is not a rate: write `500` or `500/s`"))?;
        return Ok((Figure::Throughput, parsed));
    }
    let names = LATENCIES.iter().map(|(name, _)| *name).chain(COUNTS.iter().map(|(name, _)| *name)).chain([THROUGHPUT]);
    Err(format!("`{name}` is not a figure: there are {}", names.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_written() {
        for (text, value) in [
            ("p99>250ms", 250e6),
            ("p99.9 >= 1s", 1e9),
            ("failed>0.1%", 0.001),
            ("failed > 5", 5.0),
            ("throughput<500", 500.0),
            ("throughput<=1.5/s", 1.5),
            ("lost>0", 0.0),
        ] {
            let expression: Expression = text.parse().unwrap();
            assert!((expression.value - value).abs() < 1e-9, "{text}: {}", expression.value);
        }
    }

    #[test]
    fn what_cannot_says_why() {
        for (text, problem) in [
            ("p99", "there is no `>` or `<`"),
            ("p98>1s", "`p98` is not a figure: there are min, "),
            ("p99>fast", "`fast` is not a duration"),
            ("failed>many", "`many` is neither a share nor a number"),
            ("failed>-1", "`-1` is neither a share nor a number"),
            ("throughput<x", "`x` is not a rate"),
            (">1s", "`` is not a figure"),
        ] {
            let error = text.parse::<Expression>().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(text), "{error}");
        }
    }
}
