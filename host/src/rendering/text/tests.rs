//! Snapshots of the text report, and its width.

use super::{Detail, SpanRows, write};
use crate::judging::verdict::{self, Expression, Missing};
use crate::rendering::lines::{COLUMNS, cut, width};
use crate::report::Report;
use crate::report::tests::{environment, http_record, open_record, record, wide_record};

/// The report without styles. Each of its lines fits, except commands, which are there to be copied.
fn plain(report: &Report, spans: SpanRows) -> String {
    let mut styled = Vec::new();
    let detail = Detail { spans, histogram: spans == SpanRows::ByResult, columns: COLUMNS };
    write(report, detail, anstream::StripStream::new(&mut styled)).unwrap();
    let text = String::from_utf8(styled).unwrap();
    for line in text.lines().filter(|line| !line.contains(" again: gorgon test ")) {
        assert!(width(line) <= COLUMNS, "{} columns: {line}", width(line));
    }
    text
}

/// The verdicts of each run on these expressions.
fn judged(mut report: Report, expressions: &[&str]) -> Report {
    let expressions: Vec<Expression> = expressions.iter().map(|text| text.parse().unwrap()).collect();
    let runs = report.runs.iter().enumerate();
    report.verdicts = runs.flat_map(|(i, run)| verdict::of_run(&expressions, Missing::Fail, i, run)).collect();
    report
}

#[test]
fn a_run_of_every_outcome() {
    let report = judged(Report::new(environment(), &[record(4)]), &["p99>1us", "failed>5%", "result(500).p99>1s"]);
    insta::assert_snapshot!(plain(&report, SpanRows::Together));
    insta::assert_snapshot!("spans_beneath_their_results", plain(&report, SpanRows::ByResult));
}

#[test]
fn wide_names_and_big_figures_fit() {
    let mut report = Report::new(environment(), &[wide_record()]);
    report.runs[0].results[0].reproduce = Some("gorgon test task.wasm --number 0".into());
    let report =
        judged(report, &["span(login).p99>1s", "worst(result(\"a_name_without_any_space\"), 10s)>1%", "p99.999>1h"]);
    insta::assert_snapshot!(plain(&report, SpanRows::Together));
    plain(&report, SpanRows::ByResult);
}

#[test]
fn a_suite_has_a_table_of_its_runs_first() {
    let mut report = Report::new(environment(), &[record(1), record(2), wide_record()]);
    report.runs[2].name = Some("a run with a name that is longer than the table has room for".into());
    let mut report = judged(report, &["p99>1ms"]);
    report.partial = true;
    insta::assert_snapshot!(plain(&report, SpanRows::Together));
}

#[test]
fn an_open_run_that_could_not_keep_to_its_schedule() {
    insta::assert_snapshot!(plain(&Report::new(environment(), &[open_record()]), SpanRows::Together));
}

#[test]
fn requests_have_a_table() {
    let report =
        judged(Report::new(environment(), &[http_record()]), &["http.p95>1ms", "http.failed>1%", "http.requests<1"]);
    insta::assert_snapshot!(plain(&report, SpanRows::Together));
}

#[test]
fn a_run_of_nothing() {
    let mut nothing = record(1);
    nothing.metrics = Default::default();
    let report = judged(Report::new(environment(), &[nothing]), &["p99>1s", "result(500)>0"]);
    insta::assert_snapshot!(plain(&report, SpanRows::Together));
}

#[test]
fn a_text_is_cut_to_its_columns() {
    for (text, most, wanted) in
        [("short", 8, "short"), ("a long name", 8, "a long…"), ("登录名字", 5, "登录…"), ("登录", 4, "登录")]
    {
        assert_eq!(cut(text, most), wanted);
    }
}
