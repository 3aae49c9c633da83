//! The report as JUnit XML, for programs that show tests. Each run is a test suite, with a test per verdict and one for
//! whether the run was complete.
//!
//! JUnit has many dialects; this one follows the schema of Jenkins.

use std::io::{self, Write};

use maud::{Markup, PreEscaped, html};

use crate::guest_text::xml;
use crate::report::units::{count, counted};
use crate::report::{Report, RunReport, Verdict, VerdictOrigin, words};

/// A test and its result.
struct TestCase {
    name: String,
    status: Status,
}

/// How a test ended, each with a sentence.
enum Status {
    Passed(String),
    /// A verdict failed the run.
    Failed(String),
    /// The run did not complete its plan.
    Error(String),
    /// A verdict could not be judged, and that was accepted.
    Skipped(String),
}

/// Writes `report`.
pub fn write(report: &Report, mut to: impl Write) -> io::Result<()> {
    let suites: Vec<_> = report.runs.iter().enumerate().map(|(i, run)| (run, tests(report, i, run))).collect();
    let all = || suites.iter().flat_map(|(_, tests)| tests);
    let xml = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
        testsuites name="gorgon" tests=(all().count()) failures=(failures(all())) errors=(errors(all())) {
            @for (i, (run, tests)) in suites.iter().enumerate() { (suite(i, run, tests, report)) }
        }
    };
    writeln!(to, "{}", xml.into_string())?;
    to.flush()
}

fn suite(i: usize, run: &RunReport, tests: &[TestCase], report: &Report) -> Markup {
    let skipped = tests.iter().filter(|test| matches!(test.status, Status::Skipped(_))).count();
    let (named, time) = (words::short(run), format!("{:.3}", run.elapsed_ns as f64 / 1e9));
    let named = xml(&named);
    let machine = ("machine", words::machine(report));
    let properties = report.command.iter().map(|command| ("command", command.clone())).chain([machine]);
    html! {
        "\n  "
        testsuite name=(format!("run {}: {named}", i + 1)) tests=(tests.len()) failures=(failures(tests))
            errors=(errors(tests)) skipped=(skipped) time=(time) timestamp=(xml(run.started_at.trim_end_matches('Z'))) {
            "\n    "
            properties {
                @for (name, value) in properties { property name=(name) value=(xml(&value)) {} }
            }
            @for test in tests {
                "\n    "
                testcase name=(xml(&test.name)) classname=(named) time=(time) { @match &test.status {
                    Status::Passed(how) => system-out { (xml(how)) },
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
    let asked = of_run.filter(|verdict| verdict.origin != VerdictOrigin::BuiltIn);
    let judged = asked.map(|verdict| judged(verdict, report));
    [complete(report, run), some_ok(run)].into_iter().chain(judged).collect()
}

/// Whether the run completed its plan.
fn complete(report: &Report, run: &RunReport) -> TestCase {
    let faults = run.faults.iter().filter(|fault| fault.is_incomplete());
    let mut problems: Vec<&str> = faults.map(|fault| fault.message.as_str()).collect();
    let counts = &run.operations;
    let of_all = |n: u64, what: &str| {
        (n > 0).then(|| format!("{} of {} {what}", count(n), counted(counts.offered, "operation")))
    };
    let (lost, dropped) = (of_all(counts.lost, "were lost"), of_all(counts.dropped, "were dropped"));
    problems.extend([&lost, &dropped].into_iter().flatten().map(String::as_str));
    problems.extend(report.partial.then_some("it did not reach the end of its plan"));
    let status = match problems.as_slice() {
        [] => Status::Passed(words::headline(run)),
        problems => Status::Error(problems.join("; ")),
    };
    TestCase { name: "the run is complete".into(), status }
}

/// Whether at least one operation was ok. Without one the report has a verdict that nobody asked for.
fn some_ok(run: &RunReport) -> TestCase {
    let (ok, all) = (run.operations.ok, counted(run.operations.completed, "operation"));
    let says = format!("{} of {all} ok", count(ok));
    let status = if ok > 0 { Status::Passed(says) } else { Status::Failed(says) };
    TestCase { name: "some operations are ok".into(), status }
}

fn judged(verdict: &Verdict, report: &Report) -> TestCase {
    let says = words::verdict(verdict, report).text(str::to_owned);
    let status = match verdict.judged_by {
        _ if verdict.failed => Status::Failed(says),
        None if verdict.value.is_none() => Status::Skipped(says),
        _ => Status::Passed(says),
    };
    TestCase { name: words::requirement(verdict), status }
}
