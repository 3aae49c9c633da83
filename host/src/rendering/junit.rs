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
    let runs = || report.runs.iter().enumerate();
    let names = names(report);
    let suites: Vec<_> =
        runs().map(|(i, run)| Suite::of_run(report, i, run, &names[i])).chain(unbegun(report)).collect();
    let all = || suites.iter().flat_map(|suite| &suite.tests);
    let xml = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"))
        testsuites name="gorgon" tests=(all().count()) failures=(failures(all())) errors=(errors(all())) {
            @for suite in &suites { (suite.markup(report)) }
        }
    };
    writeln!(to, "{}", xml.into_string())?;
    to.flush()
}

/// The tests of a run.
struct Suite {
    name: String,
    /// The name that its tests have beside their own, by which they are known from one report to the next.
    class: String,
    /// In seconds.
    time: String,
    /// As RFC 3339, without a zone.
    began_at: String,
    tests: Vec<TestCase>,
}

impl Suite {
    fn of_run(report: &Report, i: usize, run: &RunReport, name: &str) -> Self {
        Self {
            name: format!("run {}: {name}", i + 1),
            class: name.to_owned(),
            time: format!("{:.3}", run.elapsed_ns as f64 / 1e9),
            began_at: run.started_at.trim_end_matches('Z').to_owned(),
            tests: tests(report, i, run),
        }
    }

    fn markup(&self, report: &Report) -> Markup {
        let Self { name, class, time, began_at, tests } = self;
        let skipped = tests.iter().filter(|test| matches!(test.status, Status::Skipped(_))).count();
        let machine = ("machine", words::machine(report));
        let properties = report.command.iter().map(|command| ("command", command.clone())).chain([machine]);
        html! {
            "\n  "
            testsuite name=(xml(name)) tests=(tests.len()) failures=(failures(tests)) errors=(errors(tests))
                skipped=(skipped) time=(time) timestamp=(xml(began_at)) {
                "\n    "
                properties {
                    @for (name, value) in properties { property name=(name) value=(xml(&value)) {} }
                }
                @for test in tests {
                    "\n    "
                    testcase name=(xml(&test.name)) classname=(xml(class)) time=(time) { @match &test.status {
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
}

/// The names of all runs; those of several runs that are alike have the number of the repetition, too.
fn names(report: &Report) -> Vec<String> {
    let alike: Vec<String> = report.runs.iter().map(words::short).collect();
    let times = |runs: &[String], name: &String| runs.iter().filter(|other| *other == name).count();
    let are_repeated = report.suite.as_ref().is_some_and(|suite| suite.repetitions > 1);
    let name = |(i, name): (usize, &String)| match times(&alike, name) {
        1 if !are_repeated => name.clone(),
        _ => format!("{name}, repetition {}", times(&alike[..=i], name)),
    };
    alike.iter().enumerate().map(name).collect()
}

/// The runs that never began, if there are any.
fn unbegun(report: &Report) -> Option<Suite> {
    let never = report.runs_never_begun();
    let planned = report.runs.len() as u64 + never;
    let says = format!("{} of {} never began", count(never), counted(planned, "run"));
    let test = TestCase { name: "all runs began".into(), status: Status::Error(says) };
    (never > 0).then(|| Suite {
        name: "all runs".into(),
        class: "all runs".into(),
        time: "0.000".into(),
        began_at: report.runs.last().map_or("", |last| last.started_at.trim_end_matches('Z')).to_owned(),
        tests: vec![test],
    })
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
    [complete(report, i, run), some_ok(run)].into_iter().chain(judged).collect()
}

/// Whether the run completed its plan.
fn complete(report: &Report, i: usize, run: &RunReport) -> TestCase {
    let faults = run.faults.iter().filter(|fault| fault.is_incomplete());
    let mut problems: Vec<&str> = faults.map(|fault| fault.message.as_str()).collect();
    let counts = &run.operations;
    let of_all = |n: u64, what: &str| {
        (n > 0).then(|| format!("{} of {} {what}", count(n), counted(counts.offered, "operation")))
    };
    let (lost, dropped) = (of_all(counts.lost, "were lost"), of_all(counts.dropped, "were dropped"));
    problems.extend([&lost, &dropped].into_iter().flatten().map(String::as_str));
    problems.extend(report.is_run_partial(i).then_some("it did not reach the end of its plan"));
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
    let status = match run.operations.completed {
        _ if ok > 0 => Status::Passed(says),
        0 if run.partial == Some(true) => Status::Skipped("the run was stopped before an operation had ended".into()),
        _ => Status::Failed(says),
    };
    TestCase { name: "some operations are ok".into(), status }
}

fn judged(verdict: &Verdict, report: &Report) -> TestCase {
    let says = words::verdict(verdict, report).text(str::to_owned);
    let status = match verdict.judged_by {
        _ if verdict.failed => Status::Failed(says),
        None if verdict.value.is_none() => Status::Skipped(says),
        _ => Status::Passed(says),
    };
    // The same may be asked for during the run and at its end.
    let when = if verdict.origin == VerdictOrigin::AbortIf { ", at any time" } else { "" };
    TestCase { name: format!("{}{when}", words::requirement(verdict)), status }
}
