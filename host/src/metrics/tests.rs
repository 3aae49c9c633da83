//! Tests of counting and merging, by tables and properties.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Observed {
    number: u64,
    lag_ns: Option<u64>,
    start_ns: u64,
    service_ns: u64,
    outcome: Outcome,
    result: String,
    reason: Option<String>,
    span: Option<(String, u64)>,
}

fn count(operations: &[Observed]) -> Metrics {
    let mut recorder = Recorder::default();
    for operation in operations {
        let mut spans = Spans::default();
        if let Some((name, ns)) = &operation.span {
            spans.record(name, *ns);
        }
        recorder.record(&Sample {
            number: operation.number,
            due_ns: operation.lag_ns.map(|lag_ns| operation.start_ns.saturating_sub(lag_ns)),
            start_ns: operation.start_ns,
            end_ns: operation.start_ns + operation.service_ns,
            outcome: operation.outcome,
            result: &operation.result,
            reason: operation.reason.as_deref(),
            spans: &spans,
            split: None,
        });
    }
    recorder.take()
}

fn operation() -> impl Strategy<Value = Observed> {
    let outcome = prop::sample::select(vec![Outcome::Ok, Outcome::Failed, Outcome::Trapped, Outcome::TimedOut]);
    let span = prop::option::of(("[ab]", 0..1_000_000_u64));
    let start = (prop::option::of(0..1_000_000_000_u64), 0..400_000_000_000_u64);
    let fields = (any::<u64>(), start, 0..5_000_000_000_u64, outcome, "[a-c]", span);
    fields.prop_map(|(number, (lag_ns, start_ns), service_ns, outcome, result, span)| Observed {
        number,
        lag_ns,
        start_ns,
        service_ns,
        outcome,
        reason: (outcome == Outcome::Failed).then(|| format!("because of {result}")),
        result,
        span,
    })
}

/// What two observers of the same operations must agree on: everything except the order in which things were first
/// seen.
fn facts(metrics: &Metrics) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut results: Vec<_> = metrics
        .results()
        .iter()
        .map(|r| {
            let mut spans: Vec<_> = r.spans.iter().cloned().collect();
            spans.sort_by(|a, b| a.name.cmp(&b.name));
            ((r.result.clone(), r.outcome), (r.first_number, r.reasons.clone(), r.measured.clone(), spans))
        })
        .collect();
    results.sort_by(|a, b| a.0.cmp(&b.0));
    let buckets: Vec<_> = metrics
        .timeline()
        .buckets()
        .map(|(start_ns, bucket)| {
            let mut by_result: Vec<_> = (metrics.results().iter())
                .enumerate()
                .map(|(id, r)| (r.result.clone(), r.outcome, bucket.results.get(id).copied().unwrap_or(0)))
                .collect();
            by_result.sort();
            (start_ns, bucket.started, bucket.worst_lag_ns, bucket.latency.clone(), by_result)
        })
        .collect();
    (results, metrics.timeline().interval_ns(), buckets, metrics.window(), metrics.folded(), metrics.scheduled.clone())
}

proptest! {
    #[test]
    fn merged_parts_are_the_whole(operations in prop::collection::vec(operation(), 0..60), cut in 0..60_usize) {
        let (left, right) = operations.split_at(cut.min(operations.len()));
        let mut merged = count(left);
        merged += &count(right);
        prop_assert_eq!(facts(&merged), facts(&count(&operations)));
        let mut turned = count(right);
        turned += &count(left);
        prop_assert_eq!(facts(&turned), facts(&merged));
    }

    #[test]
    fn merging_is_associative(parts in prop::array::uniform3(prop::collection::vec(operation(), 0..20))) {
        let [a, b, c] = parts.map(|part| count(&part));
        let sum = |x: &Metrics, y: &Metrics| { let mut sum = x.clone(); sum += y; sum };
        prop_assert_eq!(facts(&sum(&sum(&a, &b), &c)), facts(&sum(&a, &sum(&b, &c))));
    }

    /// Operations on several boxes, sent in parts that arrive in any order, make the histograms of one process, bit for
    /// bit.
    #[test]
    fn boxes_make_the_histograms_of_one_process(
        operations in prop::collection::vec((operation(), 0..9_usize), 0..120),
        order in prop::collection::vec(any::<prop::sample::Index>(), 9),
    ) {
        let part = |of: usize| -> Vec<_> {
            operations.iter().filter(|(_, part)| *part == of).map(|(operation, _)| operation.clone()).collect()
        };
        let mut left: Vec<Vec<u8>> = (0..9).map(|of| postcard::to_stdvec(&count(&part(of))).unwrap()).collect();
        let mut merged = Metrics::default();
        for next in order {
            let frame = left.swap_remove(next.index(left.len()));
            merged += &postcard::from_bytes(&frame).unwrap();
        }
        let one = count(&operations.into_iter().map(|(operation, _)| operation).collect::<Vec<_>>());
        for measure in Measure::ALL {
            let bytes = [&merged, &one].map(|of| postcard::to_stdvec(&of.measured(measure)).unwrap());
            prop_assert_eq!(&bytes[0], &bytes[1]);
        }
    }

    #[test]
    fn every_term_adds_up(operations in prop::collection::vec(operation(), 0..60)) {
        let metrics = count(&operations);
        let n = operations.len() as u64;
        prop_assert_eq!(metrics.completed(), n);
        prop_assert_eq!(metrics.measured(Measure::Latency).count(), n);
        let buckets: Vec<_> = metrics.timeline().buckets().map(|(_, bucket)| bucket).collect();
        prop_assert!(buckets.len() <= MAX_BUCKETS);
        prop_assert_eq!(buckets.iter().map(|b| b.started).sum::<u64>(), n);
        prop_assert_eq!(buckets.iter().flat_map(|b| &b.results).sum::<u64>(), n);
    }

    #[test]
    fn metrics_go_on_counting_after_the_wire(operations in prop::collection::vec(operation(), 0..20)) {
        let bytes = postcard::to_stdvec(&count(&operations)).unwrap();
        let mut arrived: Metrics = postcard::from_bytes(&bytes).unwrap();
        arrived += &count(&operations);
        let twice = [operations.clone(), operations].concat();
        prop_assert_eq!(facts(&arrived), facts(&count(&twice)));
    }
}

fn returning(number: u64, result: String) -> Observed {
    Observed {
        number,
        lag_ns: None,
        start_ns: number,
        service_ns: 1,
        outcome: Outcome::Ok,
        result,
        reason: None,
        span: None,
    }
}

#[test]
fn too_many_distinct_results_are_folded_and_reported() {
    let operations: Vec<_> = (0..5_000).map(|n| returning(n, format!("result {n}"))).collect();
    let metrics = count(&operations);
    assert_eq!(metrics.results().len(), MAX_RESULTS + 1);
    assert_eq!(metrics.completed(), 5_000);
    assert_eq!(metrics.folded(), 4_000);
    assert_eq!(metrics.results().last().map(|r| (r.result.raw(), r.measured.operations())), Some((OTHER, 4_000)));

    let mut twice = metrics.clone();
    twice += &metrics;
    assert_eq!((twice.completed(), twice.folded(), twice.results().len()), (10_000, 8_000, MAX_RESULTS + 1));
}

#[test]
fn a_long_result_is_cut_at_a_character() {
    let metrics = count(&[returning(0, "é".repeat(5_000_000)), returning(1, format!("x{}", "é".repeat(200)))]);
    let lengths: Vec<_> = metrics.results().iter().map(|r| r.result.raw().len()).collect();
    assert_eq!(lengths, [256, 255]);
}

#[test]
fn an_hour_is_at_most_three_hundred_buckets() {
    let seconds: Vec<_> = (0..3_600)
        .map(|second| Observed { start_ns: second * 1_000_000_000, ..returning(second, "ok".into()) })
        .collect();
    let metrics = count(&seconds);
    assert_eq!(metrics.timeline().interval_ns(), 16_000_000_000);
    assert_eq!(metrics.timeline().buckets().len(), 225);
}
