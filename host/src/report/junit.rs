//! The report as JUnit XML, for what shows tests: a test suite per run, and in it a test per verdict, and one that the run
//! was complete.

use std::io::{self, Write};
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as Xml, TestCase, TestCaseStatus, TestSuite};

use super::verdict::Verdict;
use super::{Report, RunReport};

/// Writes `report`.
pub fn write(report: &Report, mut to: impl Write) -> io::Result<()> {
    let mut xml = Xml::new("gorgon");
    for (i, run) in report.runs.iter().enumerate() {
        let mut suite = TestSuite::new(format!("run {}: {}", i + 1, run.task.path));
        suite.set_time(Duration::from_nanos(run.elapsed_ns));
        suite.add_test_case(complete(report, run));
        suite.add_test_cases(
            report.verdicts.iter().filter(|verdict| verdict.run == i).map(|verdict| test(run, verdict)),
        );
        xml.add_test_suite(suite);
    }
    writeln!(to, "{}", xml.to_string().map_err(io::Error::other)?.trim_end())?;
    to.flush()
}

/// Whether all that was planned was done.
fn complete(report: &Report, run: &RunReport) -> TestCase {
    let mut problems: Vec<&str> =
        run.faults.iter().filter(|fault| fault.is_incomplete()).map(|fault| fault.message.as_str()).collect();
    problems.extend((run.operations.lost > 0).then_some("operations are lost"));
    problems.extend(report.partial.then_some("it was stopped before its end"));
    let status = match problems.is_empty() {
        true => TestCaseStatus::success(),
        false => with_message(NonSuccessKind::Error, problems.join("; ")),
    };
    case("the run is complete", run, status)
}

fn test(run: &RunReport, verdict: &Verdict) -> TestCase {
    let status = match (verdict.shown_value(), verdict.held) {
        (Some(value), true) => {
            with_message(NonSuccessKind::Failure, format!("{} holds: it is {value}", verdict.expression))
        }
        (Some(_), false) => TestCaseStatus::success(),
        (None, _) => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message("there are not enough operations for that figure");
            skipped
        }
    };
    case(&format!("not {}", verdict.expression), run, status)
}

fn with_message(kind: NonSuccessKind, message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}

fn case(name: &str, run: &RunReport, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(&run.task.path);
    case.set_time(Duration::from_nanos(run.elapsed_ns));
    case
}
