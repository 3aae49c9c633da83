//! Tests the formats for other programs, on made-up runs.

use super::{csv, json, junit, openmetrics};
use crate::judging::compare::Comparison;
use crate::judging::verdict::{self, Expression, Missing};
use crate::report::Report;
use crate::report::find::FindReport;
use crate::report::tests::{environment, record};

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
fn openmetrics_escapes_what_a_task_says() {
    let mut report = Report::new(environment(), &[record(4)]);
    report.total.results[0].result = "a \"quoted\" \\ line\nbreak".into();
    insta::assert_snapshot!(openmetrics::render(&report));
}
