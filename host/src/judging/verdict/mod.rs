//! Promises that a run must keep: `p99>250ms`, `failed>0.1%`, `worst(throughput, 10s)<500`.
//!
//! An expression compares a figure of the report with a value, and holds or does not; `--fail-if` fails a run for which
//! it holds. `parse.rs` has the syntax, `bounds.rs` the bounds and directions that are mistakes, `peers/` what users of
//! other tools write instead, and `figure.rs` the figures.
//!
//! A count of what never occurred is 0. A time, a rate or a share of it does not exist, so the expression cannot be
//! judged, which fails the run unless [`Missing::Pass`] is chosen.

mod bounds;
mod figure;
mod parse;
mod peers;
mod slo;

use std::fmt;

use crate::report::find::{DrawnFigure, Promise};
use crate::report::{Basis, Moment, RunReport, Verdict, VerdictOrigin};
use figure::{Measured, Problem};
pub use parse::ExpressionError;
pub use slo::Slo;

/// What fails every run: none of its operations was ok.
const NONE_OK: &str = "ok<1";

/// A comparison of one figure with one value.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    figure: Subject,
    comparison: Operator,
    value: f64,
}

/// What becomes of an expression about something that never occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// It fails the run.
    #[default]
    Fail,
    /// The report says so, and the run does not fail.
    Pass,
}

/// Whether an expression says what is bad, as `--fail-if` does, or what is good, as a promise does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// A run for which it holds has failed.
    Bad,
    /// A run for which it holds has kept it.
    Good,
}

/// A quantity of some operations.
#[derive(Clone, Debug, PartialEq)]
struct Subject {
    of: Scope,
    quantity: Quantity,
    /// If given, the run is split into windows of this length, and the worst one counts.
    window_ns: Option<u64>,
}

/// Which operations, or which of their times, a figure covers.
#[derive(Clone, Debug, PartialEq)]
enum Scope {
    Run,
    /// The operations that were ok.
    Ok,
    Result(String),
    Span(String),
    Service,
    Lag,
    /// The HTTP requests of all operations.
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Quantity {
    Time(Time),
    Counted(Count, CountedAs),
    Throughput,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Time {
    Min,
    Mean,
    Max,
    /// Between 0 and 1.
    Quantile(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// Every operation of the scope.
    All,
    Ok,
    /// Those that were not ok.
    Failed,
    Trapped,
    TimedOut,
    Lost,
    Dropped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountedAs {
    Number,
    /// The share of all operations that were due; in a window, of those that ended there; for a span, of the span's
    /// operations.
    Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// The verdicts on a run: those of its expressions, after the one on a run in which no operation was ok.
pub fn of_run(fail_if: &[Expression], missing: Missing, run: usize, report: &RunReport) -> Vec<Verdict> {
    let judged = |expression: &Expression| {
        let verdict = expression.judge(run, report);
        // A run that was stopped before an operation had ended says nothing about the target.
        let was_stopped = report.partial == Some(true) && report.operations.completed == 0;
        let is_excused = verdict.judged_by.is_none() && (missing == Missing::Pass || was_stopped);
        Verdict { failed: verdict.failed && !is_excused, ..verdict }
    };
    none_ok(run, report).into_iter().chain(each_once(fail_if).map(judged)).collect()
}

/// Each expression once: a suite may ask for what its runs ask for, too.
pub fn each_once(expressions: &[Expression]) -> impl Iterator<Item = &Expression> {
    let is_new = |(i, of): &(usize, &Expression)| !expressions[..*i].iter().any(|earlier| earlier.means(of));
    expressions.iter().enumerate().filter(is_new).map(|(_, of)| of)
}

/// The verdict that no operation was ok, if that is so.
fn none_ok(run: usize, report: &RunReport) -> Option<Verdict> {
    if report.partial == Some(true) && report.operations.completed == 0 {
        return None;
    }
    let verdict = NONE_OK.parse::<Expression>().ok()?.judge(run, report);
    verdict.held.then_some(Verdict { origin: VerdictOrigin::BuiltIn, ..verdict })
}

impl Expression {
    /// Parses an expression; if it is wrong, the error suggests one with the given sense.
    pub fn parse(text: &str, sense: Sense) -> Result<Self, ExpressionError> {
        parse::parse(text, sense)
    }

    /// Whether two expressions say the same, however they are written.
    fn means(&self, other: &Self) -> bool {
        (&self.figure, self.comparison, self.value) == (&other.figure, other.comparison, other.value)
    }

    /// Checks the expression against run number `run` of a report.
    pub fn judge(&self, run: usize, report: &RunReport) -> Verdict {
        self.verdict(run, self.figure.value(report, self.comparison, Moment::Ended))
    }

    /// Checks an expression of `--abort-if` against a run that still goes on. The expression cannot be judged yet by
    /// figures of fewer than a hundred operations, by rates over less than a second, and by figures that later
    /// operations may undo: `failed<5`, `max<1s`, a percentile that has too few. A count or a maximum that exceeds its
    /// bound is known at once. A rate covers the time up to the last completed operation, so it does not notice that
    /// operations have stopped completing.
    pub fn judge_early(&self, run: usize, report: &RunReport) -> Verdict {
        self.as_abort(self.verdict(run, self.figure.value(report, self.comparison, Moment::Running)))
    }

    /// Checks an expression of `--abort-if` against a run that has ended without it. What never occurred would not have
    /// aborted the run either.
    pub fn judge_late(&self, run: usize, report: &RunReport) -> Verdict {
        self.as_abort(self.judge(run, report))
    }

    fn as_abort(&self, verdict: Verdict) -> Verdict {
        Verdict { origin: VerdictOrigin::AbortIf, failed: verdict.held, ..verdict }
    }

    fn verdict(&self, run: usize, measured: Result<Measured, Problem>) -> Verdict {
        let unjudged = Verdict {
            expression: self.text.clone(),
            run,
            origin: VerdictOrigin::FailIf,
            held: false,
            failed: true,
            value: None,
            judged_by: None,
            maximum: None,
            samples: None,
            problem: None,
            unit: Some(self.figure.unit()),
            bound: Some(self.value),
            advice: self.advice(),
        };
        let Measured { value, basis, samples } = match measured {
            Ok(measured) => measured,
            Err(problem) => return Verdict { problem: Some(problem.to_string()), ..unjudged },
        };
        let held = self.holds_for(value);
        let (figure, maximum) = match basis {
            Basis::Value => (Some(value), None),
            Basis::Maximum => (None, Some(value)),
        };
        Verdict { held, failed: held, value: figure, judged_by: Some(basis), maximum, samples, ..unjudged }
    }

    /// Whether it holds if its figure is `value`.
    pub(in crate::judging) fn holds_for(&self, value: f64) -> bool {
        match self.comparison {
            Operator::Above => value > self.value,
            Operator::AtLeast => value >= self.value,
            Operator::Below => value < self.value,
            Operator::AtMost => value <= self.value,
        }
    }

    /// What its figure is compared with.
    pub(in crate::judging) fn bound(&self) -> f64 {
        self.value
    }

    /// The expression as a promise: its figure, if that can be drawn, and its bound.
    pub fn promise(&self) -> Promise {
        let drawn = match (&self.figure.of, self.figure.quantity, self.figure.window_ns) {
            (Scope::Run, Quantity::Time(_), None) => Some(DrawnFigure::Latency),
            (Scope::Run, Quantity::Counted(Count::Failed, CountedAs::Share), None) => Some(DrawnFigure::Failed),
            _ => None,
        };
        Promise { expression: self.text.clone(), is_implied: false, drawn, unit: self.figure.unit(), bound: self.value }
    }
}

/// Adds what verdicts in older reports lack.
pub fn complete(verdicts: &mut [Verdict]) {
    for verdict in verdicts.iter_mut() {
        verdict.failed |= verdict.held;
        if verdict.unit.is_none()
            && let Ok(expression) = verdict.expression.parse::<Expression>()
        {
            (verdict.unit, verdict.bound) = (Some(expression.figure.unit()), Some(expression.value));
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Operator {
    fn is_upward(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }
}

#[cfg(test)]
mod tests;
