//! Each number of a run is run exactly once, according to the guest and to the report.

use std::ops::Range;

use crate::support::{Ran, guest, run};

/// The numbers that the guests have seen, from their lines `saw A-B`, as ascending ranges.
fn seen(stderr: &str) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = stderr
        .lines()
        .filter_map(|line| {
            let (from, to) = line.strip_prefix("saw ")?.split_once('-')?;
            Some(from.parse().ok()?..to.parse::<u64>().ok()? + 1)
        })
        .collect();
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// Asserts that the guests saw each of `numbers` once, and that the report says so.
fn assert_exact(ran: &Ran, numbers: Range<u64>) {
    let seen = seen(&ran.stderr);
    assert_eq!(seen.first().map(|range| range.start), Some(numbers.start));
    assert_eq!(seen.last().map(|range| range.end), Some(numbers.end));
    for pair in seen.windows(2) {
        assert_eq!(pair[0].end, pair[1].start, "a number is missing, or was seen twice");
    }
    assert_eq!(ran.adds_up().figure("/operations/completed"), numbers.end - numbers.start);
    assert_eq!(ran.report["runs"][0]["faults"], serde_json::json!([]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn every_number_is_seen_once_in_every_shape() {
    let recorder = guest("recorder");
    for shape in ["1x1", "3x7", "4x10"] {
        for n in [1, 7, 4_000, 1_000_003] {
            let first = n / 3;
            let (n, start) = (n.to_string(), first.to_string());
            let ran = run(&recorder, &["-n", &n, "--shape", shape, "--first", &start]);
            assert_exact(&ran, first..first + n.parse::<u64>().unwrap());
            assert_eq!(ran.figure("/results/0/first_number"), first);
        }
    }
}

#[test]
fn slow_operations_among_fast_ones_do_not_distort_the_count() {
    let env = ["--env", "GORGON_SLEEP_EVERY=700", "--env", "GORGON_SLEEP_MS=1500"];
    for shape in ["1x1", "3x7"] {
        let n = if shape == "1x1" { "1400" } else { "4000" };
        let ran = run(&guest("sleeper"), &[&["-n", n, "--shape", shape][..], &env].concat());
        assert_exact(&ran, 0..n.parse().unwrap());
        assert_eq!(ran.report["runs"][0]["task"]["lane"], "io");
        assert!(ran.figure("/latency_ns/max") >= 1_500_000_000);
        // The six slow operations run in parallel. If a thread waited for numbers that a sleeping thread holds, fewer
        // than three operations would run at a time on average. A busy machine lengthens both sides of this comparison.
        if shape == "3x7" {
            let latency = &ran.report["runs"][0]["latency_ns"];
            let sum_ns = latency["mean"].as_f64().unwrap() * latency["count"].as_f64().unwrap();
            assert!(sum_ns > 3.0 * ran.figure("/elapsed_ns") as f64, "{sum_ns} {}", ran.figure("/elapsed_ns"));
        }
    }
}

#[test]
fn a_suite_is_exact_in_each_run_and_in_total() {
    let ran = run(&guest("hello"), &["-n", "1001", "--shape", "1x2", "--shape", "2x1", "--shape", "2x3"]);
    ran.adds_up();
    assert_eq!(ran.report["runs"].as_array().map(Vec::len), Some(3));
    assert_eq!(ran.report["total"]["operations"]["completed"], 3_003);
    let total = ran.report["total"]["results"].as_array().unwrap();
    let counts: Vec<_> =
        total.iter().map(|r| (r["result"].as_str().unwrap(), r["operations"].as_u64().unwrap())).collect();
    assert_eq!(counts, [("even", 1_503), ("odd", 1_500)]);
}

#[test]
fn a_duration_ends_a_run_and_every_number_is_seen() {
    let ran = run(&guest("recorder"), &["-d", "500ms", "-p", "2", "-t", "2"]);
    ran.adds_up();
    assert_eq!(ran.code, Some(0));
    let numbers: u64 = seen(&ran.stderr).iter().map(|range| range.end - range.start).sum();
    assert_eq!(numbers, ran.figure("/operations/completed"));
    assert!(ran.figure("/elapsed_ns") >= 490_000_000);
    assert_eq!(ran.report["runs"][0]["operations"]["planned"], serde_json::Value::Null);

    let bounded = run(&guest("hello"), &["-d", "30s", "-n", "100"]);
    assert_eq!(bounded.adds_up().figure("/operations/completed"), 100);
}

#[test]
fn a_wait_that_a_timer_ends_is_known_exactly_however_busy_the_thread_is() {
    // Forty operations in flight sleep 20 ms each; the thread wakes for many of them at the same time.
    let env = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=20"];
    let ran = run(&guest("sleeper"), &[&["-n", "800", "-c", "40"][..], &env].concat());
    assert_eq!(ran.adds_up().code, Some(0), "{}", ran.stderr);
    let per_operation = |part: &str| ran.figure(&format!("/time/{part}")) as f64 / 800.0 / 1e6;
    // The time from the call for the timer to the time at which it was due. If the thread loses its processor before it
    // begins to wait, the wait is a little shorter.
    assert!((18.0..20.1).contains(&per_operation("waiting_ns")), "{}", ran.report["runs"][0]["time"]);
    assert!(per_operation("uncertain_ns") < 0.1, "{}", ran.report["runs"][0]["time"]);
}

#[test]
fn as_many_operations_are_in_flight_as_there_are_instances() {
    // Both workers get their numbers when the run begins, so that the counts do not depend on who is faster.
    let sleep = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=500"];
    let ran = run(&guest("sleeper"), &[&["-n", "40", "-p", "2", "-c", "20"][..], &sleep].concat());
    let workers = ran.adds_up().report["runs"][0]["workers"].as_array().cloned().unwrap_or_default();
    let shares: Vec<_> = workers.iter().map(|worker| worker["operations"].as_u64()).collect();
    assert_eq!(shares, [Some(20), Some(20)]);
}
