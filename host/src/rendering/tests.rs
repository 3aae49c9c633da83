//! Tests the formats for other programs, on made-up runs.

use super::{csv, json, junit, markdown, openmetrics};
use crate::judging::compare::Comparison;
use crate::judging::verdict::{self, Expression, Missing};
use crate::report::find::FindReport;
use crate::report::tests::{environment, record};
use crate::report::{Report, SuiteReport};

#[test]
fn a_report_survives_writing_and_reading() {
    let report = Report::new(environment(), &[record(4), record(1)]);
    let mut bytes = Vec::new();
    json::write(&report, &mut bytes).unwrap();
    let read: Report = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(read, report);
}

/// `GORGON_BLESS=1` rewrites the schemas.
#[test]
fn the_schemas_in_the_documentation_are_up_to_date() {
    the_schema::<Report>("report");
    the_schema::<FindReport>("find");
    the_schema::<Comparison>("compare");
}

fn the_schema<T: schemars::JsonSchema>(name: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/{name}.schema.json"));
    let schema = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    let text = serde_json::to_string_pretty(&schema.into_root_schema_for::<T>()).unwrap() + "\n";
    if std::env::var_os("GORGON_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} is out of date: GORGON_BLESS=1 rewrites it", path.display());
}

#[test]
fn csv_has_a_row_for_everything() {
    let report = Report::new(environment(), &[record(4)]);
    let mut bytes = Vec::new();
    csv::write(&report, &mut bytes).unwrap();
    insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
}

#[test]
fn junit_has_a_test_for_every_verdict() {
    let mut report = Report::new(environment(), &[record(4)]);
    let judge = |missing, texts: &[&str]| {
        let expressions: Vec<Expression> = texts.iter().map(|text| text.parse().unwrap()).collect();
        verdict::of_run(&expressions, missing, 0, &report.runs[0])
    };
    report.verdicts = judge(Missing::Fail, &["p99>1us", "p99>1h", "failed>0.1%", "result(50).p99>1s"]);
    report.verdicts.extend(judge(Missing::Pass, &["result(500).p99>1h", "span(logout).failed>1%"]));
    report.runs[0].operations.dropped = 40;
    let mut bytes = Vec::new();
    junit::write(&report, &mut bytes).unwrap();
    insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
}

#[test]
fn a_suite_that_was_stopped_says_what_is_missing() {
    let mut report = Report::new(environment(), &[record(4), record(1), record(4)]);
    report.suite = Some(SuiteReport { name: Some("night".into()), description: None, repetitions: 3, pause_ns: 0 });
    report.runs.iter_mut().for_each(|run| {
        run.faults.clear();
        run.operations.lost = 0;
        run.partial = Some(false);
    });
    (report.partial, report.runs[2].partial, report.planned_runs) = (true, Some(true), Some(6));
    let mut bytes = Vec::new();
    junit::write(&report, &mut bytes).unwrap();
    let xml = String::from_utf8(bytes).unwrap();
    assert_eq!(xml.matches("it did not reach the end of its plan").count(), 1, "{xml}");
    assert_eq!(xml.matches("<error message=\"3 of 6 runs never began\">").count(), 1, "{xml}");
    // Each test is known by its two names.
    let known = regex::Regex::new("<testcase (name=\"[^\"]*\" classname=\"[^\"]*\")").unwrap();
    let mut names: Vec<&str> = known.captures_iter(&xml).map(|of| of.get(1).unwrap().as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), count), (7, 7), "{xml}");
    report.runs.truncate(1);
    report.runs[0].partial = Some(true);
    let mut bytes = Vec::new();
    markdown::report(&report, &mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.starts_with("### ⚠️ partial: `night`, 1 of 6 runs\n"), "{text}");
    assert!(text.contains("run 1 did not reach the end of its plan, 5 of 6 runs never began"), "{text}");
}

#[test]
fn openmetrics_escapes_what_a_task_says() {
    let mut report = Report::new(environment(), &[record(4)]);
    report.total.results[0].result = "a \"quoted\" \\ line\nbreak".into();
    insta::assert_snapshot!(openmetrics::render(&report));
}
