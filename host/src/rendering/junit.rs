//! The report as JUnit XML, for programs that show tests. Each run is a test suite, with a test per verdict and one for
//! whether the run was complete.
//!
//! JUnit has many dialects; this one follows the schema of Jenkins.

use std::io::{self, Write};

use maud::{Markup, PreEscaped, html};

use crate::guest_text::xml;
use crate::report::{Report, RunReport, Verdict, words};

/// A test and its result.
struct TestCase {
    name: String,
    status: Status,
}

enum Status {
    Passed,
    /// A verdict's expression holds.
    Failed(String),
    /// The run did not complete its plan.
    Error(String),
    /// The figure does not exist.
    Skipped(String),
}

/// Writes `report`.
pub fn write(report: &Report, mut to: impl Write) -> io::Result<()> {
    let suites: Vec<_> = report.runs.iter().enumerate().map(|(i, run)| (run, tests(report, i, run))).collect();
    let all = || suites.iter().flat_map(|(_, tests)| tests);
    let xml = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
        testsuites name="gorgon" tests=(all().count()) failures=(failures(all())) errors=(errors(all())) {
            @for (i, (run, tests)) in suites.iter().enumerate() { (suite(i, run, tests)) }
        }
    };
    writeln!(to, "{}", xml.into_string())?;
    to.flush()
}

fn suite(i: usize, run: &RunReport, tests: &[TestCase]) -> Markup {
    let skipped = tests.iter().filter(|test| matches!(test.status, Status::Skipped(_))).count();
    let (path, time) = (xml(&run.task.path), format!("{:.3}", run.elapsed_ns as f64 / 1e9));
    html! {
        "\n  "
        testsuite name=(format!("run {}: {path}", i + 1)) tests=(tests.len()) failures=(failures(tests))
            errors=(errors(tests)) skipped=(skipped) time=(time) timestamp=(xml(run.started_at.trim_end_matches('Z'))) {
            @for test in tests {
                "\n    "
                testcase name=(xml(&test.name)) classname=(path) time=(time) { @match &test.status {
                    Status::Passed => {}
                    Status::Failed(why) => failure message=(xml(why)) {},
                    Status::Error(why) => error message=(xml(why)) {},
                    Status::Skipped(why) => skipped { (xml(why)) },
                } }
            }
            "\n  "
        }
    }
}

fn failures<'a>(tests: impl IntoIterator<Item = &'a TestCase>) -> usize {
    tests.into_iter().filter(|test| matches!(test.status, Status::Failed(_))).count()
}

fn errors<'a>(tests: impl IntoIterator<Item = &'a TestCase>) -> usize {
    tests.into_iter().filter(|test| matches!(test.status, Status::Error(_))).count()
}

fn tests(report: &Report, i: usize, run: &RunReport) -> Vec<TestCase> {
    let of_run = report.verdicts.iter().filter(|verdict| verdict.run == i);
    [complete(report, run)].into_iter().chain(of_run.map(judged)).collect()
}

/// Whether the run completed its plan.
fn complete(report: &Report, run: &RunReport) -> TestCase {
    let faults = run.faults.iter().filter(|fault| fault.is_incomplete());
    let mut problems: Vec<&str> = faults.map(|fault| fault.message.as_str()).collect();
    problems.extend((run.operations.lost > 0).then_some("operations are lost"));
    problems.extend(report.partial.then_some("it was stopped before its end"));
    let status = if problems.is_empty() { Status::Passed } else { Status::Error(problems.join("; ")) };
    TestCase { name: "the run is complete".into(), status }
}

fn judged(verdict: &Verdict) -> TestCase {
    let says = words::verdict(verdict, 1).text(str::to_owned);
    let status = match (verdict.value, verdict.held) {
        (Some(_), true) => Status::Failed(says),
        (Some(_), false) => Status::Passed,
        (None, _) => Status::Skipped(says),
    };
    TestCase { name: format!("not {}", verdict.expression), status }
}
