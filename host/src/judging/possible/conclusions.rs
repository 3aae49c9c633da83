//! What a report concludes: its verdicts, and whether the machine was the limit.

use super::flaw::{Checked, TOLERANCE, all, at_most, flaw};
use crate::judging::verdict::Expression;
use crate::report::{Generator, RunReport, Verdict, VerdictOrigin};

/// The most reasons of a generator; each has one cause.
const MOST_REASONS: usize = 100;

/// A verdict says what its expression says of its figure, and its figure is that of its run.
pub(super) fn verdict(verdict: &Verdict, runs: &[RunReport]) -> Checked {
    let Some(run) = runs.get(verdict.run) else {
        return flaw("run", format!("is {}, and there are {} runs, from 0", verdict.run, runs.len()));
    };
    // What this version cannot read, another one wrote; nothing is concluded from it.
    let Ok(expression) = verdict.expression.parse::<Expression>() else { return Ok(()) };
    if let Some(bound) = verdict.bound.filter(|&bound| !is_near(bound, expression.bound())) {
        return flaw("bound", format!("is {bound}, and not that of the expression"));
    }
    let Some(figure) = verdict.value.or(verdict.maximum) else {
        return if verdict.held { flaw("held", "is true, and there is no figure") } else { Ok(()) };
    };
    if expression.holds_for(figure) != verdict.held {
        return flaw("held", format!("is {}, and the figure is {figure}", verdict.held));
    }
    // An `--abort-if` was judged while the run went on.
    if verdict.origin == VerdictOrigin::AbortIf {
        return Ok(());
    }
    let again = expression.judge(verdict.run, run);
    match again.value.or(again.maximum) {
        Some(is) if !is_near(is, figure) => flaw("value", format!("is {figure}, and {is} in the run")),
        _ => Ok(()),
    }
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()) + f64::EPSILON
}

/// A machine that was the limit was one somehow.
pub(super) fn generator(generator: &Generator) -> Checked {
    let Generator { limited, limits, reasons, stalls, .. } = generator;
    at_most(reasons.len(), MOST_REASONS, "reasons")?;
    at_most(limits.len(), MOST_REASONS, "limits")?;
    if !limits.is_empty() && !limited {
        return flaw("limited", "is false, and there are limits");
    }
    if *limited && limits.is_empty() && reasons.is_empty() {
        return flaw("limited", "is true, and there are neither limits nor reasons");
    }
    all(stalls, "stalls", |_| Ok(()))
}
