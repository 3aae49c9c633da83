//! Tests how expressions are parsed, and how they judge a made-up run.

use super::figure::EARLY_NS;
use super::*;
use crate::report::Report;
use crate::report::tests::{environment, http_record, record};

fn expression(text: &str) -> Expression {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// 2,000 operations in 500 ms. 20 of them failed, 20 trapped and 20 timed out; every second one has a span `login`.
/// Operation number n takes 100 µs + 10 n ns.
fn run() -> RunReport {
    Report::new(environment(), &[record(1)]).runs.remove(0)
}

#[test]
fn valid_expressions_parse() {
    for (text, value) in [
        ("p99>250ms", 250e6),
        ("p99.9 >= 1s", 1e9),
        ("p97.5>1ms", 1e6),
        (" avg < 1s ", 1e9),
        ("failed>0.1%", 0.001),
        ("failed > 5", 5.0),
        ("dropped>0", 0.0),
        ("throughput<500", 500.0),
        ("throughput<=1.5/s", 1.5),
        ("throughput<30/m", 0.5),
        ("lost>0", 0.0),
        ("min<=0", 0.0),
        ("result(500)>1%", 0.01),
        ("result(200).p99>1s", 1e9),
        ("result( HTTP 500 )>3", 3.0),
        (r#"result("a (b) > \"c\"") > 1%"#, 0.01),
        ("span(GET /a>b).failed>1%", 0.01),
        ("service.p99>80ms", 80e6),
        ("lag.max>1ms", 1e6),
        ("worst(p99, 10s)>1s", 1e9),
        ("p99>1.5s", 1.5e9),
        ("throughput<1,500/s", 1_500.0),
        ("ok<99%", 0.99),
        ("ok.p99>1s", 1e9),
        ("ok.throughput<5", 5.0),
        ("worst(ok.throughput, 1,000ms)<5", 5.0),
        ("worst ( result(\"x,y)\") , 500ms ) >= 2", 2.0),
    ] {
        let expression = expression(text);
        assert!((expression.value - value).abs() < 1e-9, "{text}: {}", expression.value);
        assert_eq!(expression.to_string(), text);
    }
    let quoted = expression(r#"result("a (b) > \"c\"") > 1%"#);
    assert_eq!(quoted.figure.of, Scope::Result(r#"a (b) > "c""#.into()));
}

#[test]
fn an_invalid_expression_says_why() {
    for (text, problem) in [
        ("p99", "there is no `>` or `<`"),
        ("p101>1s", "`p101` is not a figure: there are p50, "),
        ("p>1s", "`p` is not a figure"),
        ("p99>fast", "`fast` is not a duration"),
        ("failed>many", "`many` is neither a share nor a number"),
        ("failed>-1", "`-1` is neither a share nor a number"),
        ("throughput<x", "`x` is not a rate"),
        (">1s", "`` is not a figure"),
        ("result(500>1%", "`result(` is not closed"),
        ("result(\"a)>1%", "`result(` is not closed"),
        ("span(login)>1s", "`span(login)` is not a figure: write `span(login).p99`"),
        ("span(login).throughput>1", "`span(login).throughput` does not exist: there are its times and `failed`"),
        ("result(200).failed>1", "`result(200).failed` does not exist"),
        ("service.failed>1%", "`service.failed` does not exist: there are only times"),
        ("worst(p99)>1s", "such as `worst(p99, 10s)`"),
        ("worst(p99, 0s)>1s", "such as `worst(p99, 10s)`"),
        ("worst(span(login).p99, 10s)>1s", "`worst(span(login).p99, 10s)` does not exist: per interval there are"),
        ("worst(result(200).p99, 10s)>1s", "does not exist"),
        ("worst(lag.p99, 1s)>1ms", "does not exist"),
        ("worst(trapped, 1s)>1", "does not exist"),
        ("worst(worst(p99, 1s), 1s)>1", "`worst` is not a figure"),
        (
            "ok.failed>1%",
            "`ok.failed` does not exist: there are their times, their throughput, and their count as `ok`",
        ),
        ("p99>1,5s", "the comma in `1,5s` does not group three digits: write `1.5s`"),
        ("p99,9>1s", "a fraction has a point, not a comma: write `p99.9>1s`"),
        ("p99>0", "always holds, because a time is always above 0"),
        ("failed>0,5%", "the comma in `0,5%` does not group three digits: write `0.5%`"),
        ("worst(p99, 1,5s)>1s", "the comma in `1,5s` does not group three digits: write `1.5s`"),
        ("p(95)<200", "here that is `p95>200ms`: say what is bad"),
        ("error_rate<0.01", "here that is `failed>1%`: say what is bad"),
        ("p95>200", "here that is `p95>200ms`: say what is bad"),
        ("failed==0", "here that is `failed>0`: say what is bad"),
        ("error_rate<0,5%", "here that is `failed>0.5%`: say what is bad"),
        ("throughput<1k", "here that is `throughput<1000`: say what is bad"),
        ("error_rate<1", "write the share in percent, such as `failed>0.1%`"),
        ("failed>0.01", "`0.01` is a fraction of an operation: write a share as `failed>1%`, or a whole number"),
        ("ok<0.5", "write a share as `ok<50%`"),
        ("http.failed>0.01", "write a share as `http.failed>1%`"),
        ("worst(failed, 10s) > 0.5", "write a share as `worst(failed, 10s) >50%`"),
        ("failed>1.5", "`1.5` is a fraction of an operation: write a share as `failed>1.5%`"),
        (
            "failed>101%",
            "can never hold, because a share is from 0% to 100%: give a bound within that, such as `failed>1%`",
        ),
        ("failed>100%", "can never hold"),
        ("ok<=100%", "always holds"),
        ("ok<101%", "always holds"),
        (
            "ok<0",
            "can never hold, because a number of operations is never below 0: give a bound within that, such as `ok<1`",
        ),
        ("failed>=0", "always holds"),
        ("p99>=0", "always holds"),
        ("throughput<0", "can never hold"),
        ("p99>1s && failed>1%", "give one comparison at a time: the flag can be repeated"),
    ] {
        let error = text.parse::<Expression>().unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains(text), "{error}");
    }
}

#[test]
fn figures_of_a_run() {
    let run = run();
    for (text, value) in [
        ("p50>1s", run.latency_ns.p50.map(|ns| ns as f64)),
        ("p99.9>1s", run.latency_ns.p99_9.map(|ns| ns as f64)),
        ("p99.9>1s", run.latency_ns.p99_9.map(|ns| ns as f64)),
        ("p99.99>1s", None),
        ("ok<1", Some(1_940.0)),
        ("ok<99%", Some(1_940.0 / 2_003.0)),
        ("ok.min>1s", Some(100_030.0)),
        ("ok.throughput<1", Some(1_940.0 * 1e9 / (run.elapsed_ns as f64))),
        ("worst(ok, 1h)<1", Some(1_940.0)),
        ("p0>1s", Some(100_000.0)),
        ("p100>1s", Some(119_990.0)),
        ("min>1s", Some(100_000.0)),
        ("mean>1s", run.latency_ns.mean.map(|ns| ns as f64)),
        ("failed>1%", Some(60.0 / 2_003.0)),
        ("failed>1", Some(60.0)),
        ("trapped>1", Some(20.0)),
        ("lost>1", Some(3.0)),
        ("dropped>1", Some(0.0)),
        ("throughput<1", run.throughput),
        ("result(500)>1%", Some(20.0 / 2_003.0)),
        ("result(501)>1%", Some(0.0)),
        ("result(501).p99>1s", None),
        ("result(501).throughput<1", None),
        ("result(501)>1", Some(0.0)),
        ("span(logout).failed>1", Some(0.0)),
        ("result(500).max>1s", Some(119_000.0)),
        ("result(500).throughput<1", run.results.iter().find(|result| result.result == "500").unwrap().throughput),
        ("span(login).max>1s", Some(41_998.0)),
        ("span(login).failed>1%", Some(40.0 / 1_000.0)),
        ("span(logout).failed>1%", None),
        ("service.p50>1s", run.service_ns.p50.map(|ns| ns as f64)),
        ("lag.p50>1s", None),
    ] {
        assert_eq!(expression(text).judge(0, &run).value, value, "{text}");
    }
}

#[test]
fn what_never_occurred_cannot_be_judged() {
    let run = run();
    for (text, problem) in [
        ("result(50).p99>1s", "no operation had the result `50`; the nearest that occurred is `500`"),
        ("result(501).throughput>1", "no operation had the result `501`; the nearest that occurred is `500`"),
        ("span(log in).p50>1s", "no operation had the span `log in`; the nearest that occurred is `login`"),
        ("span(logout).failed>1%", "no operation had the span `logout`; the nearest that occurred is `login`"),
        ("lag.p50>1s", "in a closed run operations are due when they start"),
    ] {
        let verdict = expression(text).judge(0, &run);
        assert!(verdict.failed && !verdict.held && verdict.value.is_none(), "{text}");
        assert!(verdict.problem.as_ref().unwrap().starts_with(problem), "{text}: {:?}", verdict.problem);
        let [excused] = of_run(&[expression(text)], Missing::Pass, 0, &run).try_into().unwrap();
        assert_eq!(excused, Verdict { failed: false, ..verdict }, "{text}");
    }
    let mut empty = run;
    (empty.results, empty.operations, empty.latency_ns.count) = (Vec::new(), Default::default(), 0);
    empty.timeline.buckets.clear();
    for (text, problem) in [
        ("p99>1s", "no operation ended"),
        ("failed>1%", "no operation was due"),
        ("ok.p99>1s", "no operation was ok"),
        ("span(login).p99>1s", "no operation had the span `login`; none occurred"),
    ] {
        assert_eq!(expression(text).judge(0, &empty).problem.as_deref(), Some(problem), "{text}");
    }
    for text in ["result(500)>0", "failed>0", "dropped>0", "worst(failed, 1s)>0"] {
        let verdict = expression(text).judge(0, &empty);
        assert_eq!((verdict.value, verdict.failed), (Some(0.0), false), "{text}");
    }
}

#[test]
fn a_percentile_of_too_few_is_judged_by_the_maximum() {
    let run = run();
    // 20 operations had the result 500, and the slowest of them took 119 µs.
    for (text, held, value, maximum) in [
        ("result(500).p99>118us", true, None, Some(119_000.0)),
        ("result(500).p99>120us", false, None, Some(119_000.0)),
        ("result(500).p99<120us", true, None, Some(119_000.0)),
        ("p99.99>120us", false, None, Some(119_990.0)),
    ] {
        let verdict = expression(text).judge(0, &run);
        assert_eq!((verdict.held, verdict.failed, verdict.judged_by), (held, held, Some(Basis::Maximum)), "{text}");
        assert_eq!((verdict.value, verdict.maximum), (value, maximum), "{text}");
    }
    let verdict = expression("result(500).p95>1us").judge(0, &run);
    assert_eq!((verdict.judged_by, verdict.samples, verdict.maximum), (Some(Basis::Value), Some(20), None));
    assert_eq!(expression("p99.99>1ns").judge_early(0, &run).judged_by, None, "more operations may follow");
}

#[test]
fn requests_are_judged_apart_from_operations() {
    let run = Report::new(environment(), &[http_record()]).runs.remove(0);
    for (text, value) in [
        ("http.min>1s", Some(20_000.0)),
        ("http.max>1s", Some(58_990.0)),
        ("http.failed>1%", Some(0.05)),
        ("http.failed>1", Some(200.0)),
        ("http.requests<1", Some(4_000.0)),
        ("http.throughput<1", Some(2.0 * run.throughput.unwrap())),
    ] {
        assert_eq!(expression(text).judge(0, &run).value, value, "{text}");
    }
    let mut run = run;
    let problem = |text: &str, run: &RunReport| expression(text).judge(0, run).problem;
    run.network.as_mut().unwrap().failed = None;
    assert!(problem("http.failed>1%", &run).is_some_and(|problem| problem.contains("an earlier version")));
    run.network = None;
    assert_eq!(problem("http.p95>1s", &run).as_deref(), Some("the task made no HTTP request"));
    assert_eq!(problem("http.throughput<1", &run).as_deref(), Some("the task made no HTTP request"));
    assert_eq!(expression("http.failed>0").judge(0, &run).value, Some(0.0));
    let error = "http.lost>1".parse::<Expression>().unwrap_err().to_string();
    assert!(error.contains("`http.lost` does not exist: there are the times of requests"), "{error}");
}

#[test]
fn a_run_in_which_no_operation_was_ok_has_failed() {
    let mut run = run();
    assert_eq!(of_run(&[], Missing::Fail, 0, &run), []);
    (run.operations.ok, run.operations.failed) = (0, 2_000);
    let verdicts = of_run(&[expression("p99>1h")], Missing::Pass, 3, &run);
    let [none_ok, p99] = verdicts.as_slice() else { panic!("{verdicts:?}") };
    assert_eq!((none_ok.origin, none_ok.failed, none_ok.run), (VerdictOrigin::BuiltIn, true, 3));
    assert!(!p99.failed);
}

#[test]
fn an_expression_that_was_to_abort_the_run_is_judged_at_its_end() {
    let run = run();
    let late = |text: &str| expression(text).judge_late(0, &run);
    assert!(expression("throughput<1,000,000").judge_early(0, &run).judged_by.is_none());
    assert!(late("throughput<1,000,000").failed);
    assert!(!late("result(501).p99>1s").failed, "what never occurred would not have aborted it");
}

#[test]
fn comparisons_hold_or_do_not() {
    let run = run();
    for (text, held) in [
        ("failed>60", false),
        ("failed>=60", true),
        ("failed<60", false),
        ("failed<=60", true),
        ("lag.p50<1s", false),
        ("lag.p50>0", false),
        ("span(login).p50>40us", true),
    ] {
        assert_eq!(expression(text).judge(3, &run), Verdict { held, ..expression(text).judge(3, &run) }, "{text}");
    }
}

#[test]
fn the_worst_interval() {
    let mut run = run();
    let value = |text: &str, run: &RunReport| expression(text).judge(0, run).value;
    // The end of the run cuts the second of the two intervals short.
    assert_eq!(value("worst(p50, 250ms)>1s", &run), run.timeline.buckets[0].latency_ns.p50.map(|ns| ns as f64));
    assert_eq!(value("worst(throughput, 1h)<1", &run), Some(2_000.0 * 1e9 / run.elapsed_ns as f64));
    run.timeline.buckets[1].length_ns = Some(250_000_000);
    let ended = run.timeline.buckets[0].completed as f64;
    assert_eq!(value("worst(throughput, 250ms)<1", &run), Some(ended * 4.0));
    assert_eq!(value("worst(p50, 250ms)>1s", &run), run.timeline.buckets[1].latency_ns.p50.map(|ns| ns as f64));
    assert_eq!(value("worst(p50, 250ms)<1s", &run), run.timeline.buckets[0].latency_ns.p50.map(|ns| ns as f64));
    // A window is rounded up to whole intervals. A window that is the only one counts even if the run's end cuts it
    // short.
    assert_eq!(value("worst(max, 300ms)>1s", &run), Some(119_990.0));
    assert_eq!(value("worst(failed, 1h)>1", &run), Some(60.0));
    assert_eq!(value("worst(result(500), 1h)>1%", &run), Some(0.01));
    // The percentile of a longer window is that of its operations together, between those of its parts.
    run.timeline.buckets.iter_mut().for_each(|bucket| bucket.latency_ns.p50 = None);
    assert_eq!(value("worst(p50, 500ms)>1s", &run), value("p50>1s", &run));
    let verdict = expression("worst(p50, 1s)>1s").judge_early(0, &run);
    assert_eq!((verdict.value, verdict.held), (None, false), "the only window is not whole yet");
}

#[test]
fn a_running_run_is_judged_by_settled_figures_only() {
    let mut run = run();
    let value = |text: &str, run: &RunReport| expression(text).judge_early(0, run).value;
    for (text, is_known) in [
        ("p99>1s", true),
        ("result(500).p99>1s", false),
        ("result(500).max>1s", true),
        ("result(500)>1%", true),
        ("span(login).failed>1%", true),
        ("max>1s", true),
        ("max<1s", false),
        ("failed>5", true),
        ("failed<5", false),
        ("min<1s", true),
        ("min>1s", false),
        ("throughput<500", false),
        ("worst(failed, 250ms)>1%", true),
    ] {
        assert_eq!(value(text, &run).is_some(), is_known, "{text}");
    }
    run.elapsed_ns = EARLY_NS;
    assert!(value("throughput<500", &run).is_some());
    (run.operations.completed, run.operations.ok) = (99, 39);
    run.latency_ns.count = 99;
    for (text, is_known) in [("p99>1s", false), ("failed>1%", false), ("failed>5", true), ("max>1s", true)] {
        assert_eq!(value(text, &run).is_some(), is_known, "{text}");
    }
    assert!(expression("max>1us").judge_early(0, &run).held);
}

#[test]
fn a_direction_that_is_nearly_always_a_mistake_is_named() {
    for (text, advice) in [
        ("p95<50ms", "`p95<50ms` fails a run that is fast: if slow is bad, write `p95>50ms`"),
        ("http.max <= 1s", "`http.max <= 1s` fails a run that is fast: if slow is bad, write `http.max >= 1s`"),
        (
            "lag.p99<1ms",
            "`lag.p99<1ms` fails a run whose operations start on time: if late is bad, write `lag.p99>1ms`",
        ),
        ("throughput>500", "`throughput>500` fails a run that does much: if little is bad, write `throughput<500`"),
        ("ok>99%", "`ok>99%` fails a run in which many are ok: if few are bad, write `ok<99%`"),
        ("failed<1%", "`failed<1%` fails a run with few of these: if many are bad, write `failed>1%`"),
        (
            "worst(failed, 1s)<1",
            "`worst(failed, 1s)<1` fails a run with few of these: if many are bad, write `worst(failed, 1s)>1`",
        ),
    ] {
        assert_eq!(expression(text).advice().as_deref(), Some(advice), "{text}");
        assert_eq!(expression(text).judge(0, &run()).advice.as_deref(), Some(advice));
    }
    for text in
        ["p95>50ms", "throughput<500", "ok<99%", "failed>1%", "result(200)>1", "result(200)<1", "http.requests>1"]
    {
        assert_eq!(expression(text).advice(), None, "{text}");
    }
}
