//! Reports that were edited, copied, cut short, or written by an older version.

use super::*;

#[test]
fn a_run_is_not_compared_with_itself_and_counts_once() {
    let (run, other) = (steady(1_000_000, 20), steady(1_100_000, 20));
    let error = refused(&input("a.json", std::slice::from_ref(&run)), input("b.json", std::slice::from_ref(&run)));
    assert!(error.starts_with("`a.json`, run 1 and `b.json`, run 1 are the same run: compare different"), "{error}");
    let (twice, others) =
        (input("a.json", &[run.clone(), run]), input("b.json", &[other.clone(), steady(1_090_000, 20)]));
    let error = refused(&twice, others);
    assert!(error.starts_with("`a.json`, run 1 and `a.json`, run 2 are the same run"), "{error}");
    let forced = compare(&twice, &[input("b.json", &[other])], Scruples::Note, 0, None).unwrap();
    assert!(forced.pairs[0].notes[0].ends_with("are the same run: the intervals are not to be trusted"), "{forced:?}");
}

/// Every number of a JSON value, by its path.
fn numbers(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| numbers(value, &format!("{path}/{name}"), found));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| numbers(value, &format!("{path}/{i}"), found));
        }
        serde_json::Value::Number(_) => found.push(path.to_owned()),
        _ => {}
    }
}

#[test]
fn an_edited_report_is_refused_or_changes_no_figure() {
    let (a, b) = (steady(1_000_000, 20), steady(1_100_000, 20));
    let original = compared(&a, &b).pairs.remove(0).figures;
    let report = serde_json::to_value(Report::new(environment(), &[b])).unwrap();
    let mut paths = Vec::new();
    numbers(&report["runs"][0], "/runs/0", &mut paths);
    let mut rng = Rng::with_seed(10);
    let mut refused = 0;
    for _ in 0..400 {
        let path = rng.choice(&paths).unwrap();
        let value = rng.choice([0.into(), 1.into(), u64::MAX.into(), 1e300.into(), serde_json::Value::Null]).unwrap();
        let mut edited = report.clone();
        *edited.pointer_mut(path).unwrap() = value.clone();
        let Ok(edited) = crate::judging::read::report(edited.to_string().as_bytes()) else {
            refused += 1;
            continue;
        };
        let b = ReportSet { reports: vec![("b.json".into(), edited)] };
        let a = input("a.json", std::slice::from_ref(&a));
        match compare(&a, &[b], Scruples::Note, 0, None) {
            Err(_) => refused += 1,
            // What the figures do not depend on may say anything. The time that the run computed widens intervals.
            Ok(comparison) => {
                let figures = &comparison.pairs[0].figures;
                for (edited, original) in figures.iter().zip(&original) {
                    // A throughput says over which time it was taken, to a nanosecond.
                    let values = [edited.a, edited.b].into_iter().zip([original.a, original.b]);
                    let are_equal = values.into_iter().all(|(edited, original)| match (edited, original) {
                        (Some(edited), Some(original)) => (edited / original - 1.0).abs() < 1e-6,
                        (edited, original) => edited == original,
                    });
                    assert!(are_equal && edited.finding == original.finding, "{path} = {value}: {edited:?}");
                }
                assert!(plain(&comparison).contains(&comparison.pairs[0].levels()));
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

#[test]
fn contradictions_are_named() {
    type Edit = fn(&mut RunReport);
    let edits: [(Edit, &str); 9] = [
        (|run| run.timeline.buckets[3].completed = 7, "timeline.buckets[3].results` do not add up"),
        (|run| run.timeline.buckets[3].failed = 99, "timeline.buckets[3].failed` is more than completed"),
        (|run| run.timeline.buckets[3].failed = 5, "timeline.buckets` do not add up to the operations"),
        (|run| run.operations.ok += 1, "operations.completed` is"),
        (|run| run.timeline.buckets[3].latency_ns.sum = Some(1 << 80), "timeline.buckets[3].latency_ns.sum` is"),
        (
            |run| {
                let summary = &mut run.timeline.buckets[3].latency_ns;
                (summary.sum, summary.mean) = (None, None);
            },
            "timeline.buckets[3].latency_ns.mean` and sum are not those of hdr",
        ),
        (|run| run.timeline.buckets[3].start_ns += 1, "timeline.buckets[3].start_ns` is"),
        (|run| run.timeline.interval_ns = 0, "timeline.interval_ns` is 0"),
        (|run| run.throughput_window_ns = Some(1), "throughput` is"),
    ];
    for (edit, problem) in edits {
        let mut report = Report::new(environment(), &[steady(1_100_000, 20)]);
        edit(&mut report.runs[0]);
        let read = crate::judging::read::report(serde_json::to_string(&report).unwrap().as_bytes());
        let error = read.unwrap_err().to_string();
        let begin = format!("the report cannot be true: `runs[0].{problem}");
        assert!(error.starts_with(&begin) && error.ends_with("edited?"), "{error}");
    }
    let mut empty = input("b.json", &[steady(1_100_000, 20)]);
    empty.reports[0].1.runs.clear();
    assert_eq!(
        refused(&input("a.json", &[steady(1_000_000, 20)]), empty),
        "`b.json` has no run: nothing can be compared"
    );
    // Reports of older versions have a mean and no sum.
    let mut old = input("b.json", &[steady(1_100_000, 20)]);
    old.reports[0].1.runs[0].timeline.buckets.iter_mut().for_each(|bucket| bucket.latency_ns.sum = None);
    let comparison = compare(&input("a.json", &[steady(1_000_000, 20)]), &[old], Scruples::Refuse, 0, None).unwrap();
    assert_eq!(comparison.pairs[0].figures[1].b, Some(1_100_000.0));
}

#[test]
fn a_report_of_an_older_version_can_be_compared() {
    let (a, b) = (steady(1_000_000, 20), steady(1_100_000, 20));
    let mut old = serde_json::to_value(Report::new(environment(), std::slice::from_ref(&b))).unwrap();
    let mut without = |path: &str, fields: &[&str]| {
        let of = old.pointer_mut(path).unwrap().as_object_mut().unwrap();
        for &field in fields {
            assert!(of.remove(field).is_some(), "{field}");
        }
    };
    without("/environment", &["kernel", "processor", "cpu_limit"]);
    without("/runs/0", &["files", "throughput_window_ns"]);
    without("/runs/0/plan", &["calls"]);
    let old = crate::judging::read::report(old.to_string().as_bytes()).unwrap();
    let old = ReportSet { reports: vec![("b.json".into(), old)] };
    let a_side = input("a.json", std::slice::from_ref(&a));
    let pair = compare(&a_side, &[old], Scruples::Refuse, 0, None).unwrap().pairs.remove(0);
    let same = compared(&a, &b).pairs.remove(0);
    assert_eq!((pair.sentence, pair.notes), (same.sentence, same.notes));
}

#[test]
fn reports_that_cannot_be_compared_are_refused_with_a_reason() {
    let good = || input("a.json", &[steady(1_000_000, 20)]);
    let mut partial = input("b.json", &[steady(1_000_000, 20)]);
    partial.reports[0].1.partial = true;
    let mut broken = input("b.json", &[steady(1_000_000, 20)]);
    broken.reports[0].1.runs[0].timeline.buckets[3].latency_ns.hdr = Some("no".into());
    let mut more = steady(1_000_000, 20);
    replan(&mut more, |plan| plan.shape.threads = 9);
    for (b, problem) in [
        (partial, "`b.json` is partial"),
        (broken, "`b.json`, run 1: the histogram of an interval cannot be read"),
        (input("b.json", &[steady(1_000_000, 3)]), "`b.json`, run 1 has 4 intervals of 250 ms, some perhaps empty"),
        (input("b.json", &[steady(1_000_000, 20), more]), "`a.json` has runs of 1 tasks or plans, and `b.json` of 2"),
    ] {
        let error = refused(&good(), b);
        assert!(error.contains(problem), "{error}");
    }
}
