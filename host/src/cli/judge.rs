//! Flags that judge a report, and the exit code that follows from it.

use clap::Args;

use super::{Exit, values};
use crate::judging::verdict::{self, Expression, Missing};
use crate::report::{Report, RunReport, Verdict};

/// What fails a run.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Verdicts")]
pub(super) struct FailFlags {
    /// Exit with 10 if this holds: p99>250ms, failed>0.1%, throughput<500, ok.p99>250ms, result(500)>5,
    /// span(login).p95>80ms, worst(p99, 10s)>1s for the worst 10 s; failed counts every operation that was not ok
    #[arg(long, value_name = "EXPR")]
    pub(super) fail_if: Vec<Expression>,

    /// Whether to exit with 10 if --fail-if asks for a time, rate or share of what never occurred
    #[arg(long, value_name = "fail|pass", value_parser = values::missing, default_value = "fail")]
    missing: Missing,
}

impl FailFlags {
    /// The verdicts on run number `i` of a report.
    pub(super) fn judge(&self, i: usize, run: &RunReport) -> Vec<Verdict> {
        verdict::of_run(&self.fail_if, self.missing, i, run)
    }
}

/// Says which expressions are nearly always a mistake, each once.
pub(super) fn warn<'a>(expressions: impl IntoIterator<Item = &'a Expression>) {
    let mut said = Vec::new();
    for advice in expressions.into_iter().filter_map(Expression::advice) {
        if !said.contains(&advice) {
            super::say(&format!("warning: {advice}"));
            said.push(advice);
        }
    }
}

impl Exit {
    /// What a finished report means.
    pub(super) fn of(report: &Report) -> Self {
        if report.is_incomplete() {
            Self::Incomplete
        } else if report.verdicts.iter().any(|verdict| verdict.failed) {
            Self::Failed
        } else {
            Self::Done
        }
    }
}
