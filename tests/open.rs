//! The open model: operations start on a schedule, and are timed from when they were due.

use serde_json::Value;

use crate::stop::wait_for_the_first;
use crate::support::{guest, operation, ran, run, signal, spawn, wait_until, workers};

fn buckets(report: &Value) -> Vec<Value> {
    report["runs"][0]["timeline"]["buckets"].as_array().cloned().unwrap_or_default()
}

#[test]
fn every_slot_is_run_once_by_any_process() {
    for (task, shape, arrivals) in [
        (guest("hello"), ["-p", "1", "-t", "1"], "constant"),
        (guest("hello"), ["-p", "3", "-t", "2"], "poisson"),
        (guest("sleeper"), ["-p", "2", "-c", "4"], "constant"),
    ] {
        let mut args = vec!["-n", "1001", "--rate", "2000/s", "--arrivals", arrivals, "--first", "17"];
        args.extend(shape);
        let ran = run(&task, &args);
        ran.adds_up();
        assert_eq!((ran.code, ran.figure("/operations/completed")), (Some(0), 1_001), "{}", ran.stderr);
        assert_eq!(ran.figure("/service_ns/count"), 1_001);
        assert_eq!(ran.figure("/schedule_lag_ns/count"), 1_001);
        // Half a second of slots takes at least half a second, even with enough instances to run them all at once.
        assert!(ran.figure("/elapsed_ns") > 400_000_000);
    }
}

#[test]
fn a_ramp_starts_the_integral_of_its_rate() {
    let ran = run(&guest("hello"), &["--stages", "1s:1000/s,1s:1000/s", "-p", "2"]);
    ran.adds_up();
    // 500 in the first second and 1,000 in the next.
    assert_eq!((ran.code, ran.figure("/operations/completed")), (Some(0), 1_500));
    let started = |from: u64, to: u64| -> u64 {
        let within = |bucket: &&Value| (from..to).contains(&bucket["start_ns"].as_u64().unwrap_or_default());
        buckets(&ran.report).iter().filter(within).filter_map(|bucket| bucket["started"].as_u64()).sum()
    };
    // Late operations are counted in a later interval, and on a busy machine there may be some.
    assert!(started(0, 1_000_000_000) <= 501);
    assert_eq!(started(0, u64::MAX), 1_500);
}

#[test]
fn the_rate_of_a_schedule_is_over_its_time() {
    for (load, window_ns, operations, throughput, intervals) in [
        (&["--rate", "0.5/s", "-d", "2s"][..], 2_000_000_000_u64, 1, 0.5, 8),
        (&["--stages", "1s:4/s,1s:0/s", "--fail-if", "throughput<1.9"], 2_000_000_000, 4, 2.0, 8),
        (&["--rate", "2/s", "-d", "1500ms", "-p", "2"], 1_500_000_000, 3, 2.0, 6),
    ] {
        let ran = run(&guest("hello"), load);
        ran.adds_up();
        assert_eq!((ran.code, ran.figure("/operations/completed")), (Some(0), operations), "{load:?}");
        assert_eq!(ran.figure("/throughput_window_ns"), window_ns, "{load:?}");
        assert_eq!(ran.report["runs"][0]["throughput"].as_f64(), Some(throughput), "{load:?}");
        assert_eq!(ran.report["total"]["throughput"].as_f64(), Some(throughput), "{load:?}");
        assert_eq!(self::buckets(&ran.report).len(), intervals, "{load:?}");
    }
    let ran = run(&guest("hello"), &["--rate", "0.5/s", "-d", "2s", "--fail-if", "throughput<0.6"]);
    assert_eq!(ran.code, Some(10), "one operation in two seconds is half a one per second: {}", ran.stderr);
}

#[test]
fn after_its_last_stage_a_run_ends_or_keeps_the_rate_until_its_limit() {
    for (stages, end, operations) in [
        ("200ms:1000/s", &[][..], 100),
        ("200ms:1000/s", &["-d", "400ms"], 300),
        ("200ms:1000/s", &["-n", "250"], 250),
        ("200ms:1000/s", &["-d", "100ms"], 25),
        // There are no more, because the rate falls to zero: operations are due when its integral is 0, 1, … 200.
        ("200ms:1000/s,201ms:0/s", &["-n", "1000"], 201),
    ] {
        let ran = run(&guest("hello"), &[&["--stages", stages], end].concat());
        ran.adds_up();
        assert_eq!((ran.code, ran.figure("/operations/completed")), (Some(0), operations), "{stages} {end:?}");
    }
}

#[test]
fn a_slot_beyond_the_bound_is_dropped_and_counted() {
    // An operation is due every millisecond, one may be in flight, and number 10 takes half a second.
    let stall = operation(
        r#"(local $i i64)
           (if (i64.eq (local.get $n) (i64.const 10)) (then
               (loop $again
                   (local.set $i (i64.add (local.get $i) (i64.const 1)))
                   (br_if $again (i64.lt_u (local.get $i) (i64.const 400000000))))))"#,
    );
    let ran = run(stall.path(), &["--rate", "1000/s", "-d", "1500ms", "--max-in-flight", "20"]);
    ran.adds_up();
    assert_eq!((ran.code, ran.figure("/operations/offered")), (Some(0), 1_500));
    assert!(ran.figure("/operations/dropped") > 10, "{:#}", ran.report["runs"][0]["operations"]);
    let dropped: u64 = buckets(&ran.report).iter().filter_map(|bucket| bucket["dropped"].as_u64()).sum();
    assert_eq!(dropped, ran.figure("/operations/dropped"));
    // Without a bound they wait: all are run, and late.
    let ran = run(stall.path(), &["--rate", "1000/s", "-d", "1500ms"]);
    assert_eq!(ran.adds_up().figure("/operations/completed"), 1_500);
    assert!(ran.figure("/latency_ns/p90") > ran.figure("/service_ns/p90"));
    let reasons = ran.report["runs"][0]["generator"]["reasons"].to_string();
    assert!(reasons.contains("waited for an instance"), "{reasons}");
}

#[test]
fn at_the_end_due_operations_get_no_longer_than_the_timeout() {
    // Each takes half a second, and four per second are due for one second. Two are run by then, and one more per half
    // second.
    let sleep = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=500"];
    let ran = run(&guest("sleeper"), &[&["--rate", "4/s", "-d", "1s", "--timeout", "700ms"], &sleep[..]].concat());
    ran.adds_up();
    assert_eq!(ran.figure("/operations/offered"), 4);
    assert_eq!(ran.figure("/operations/completed") + ran.figure("/operations/dropped"), 4);
    assert!(ran.figure("/operations/completed") >= 2);
}

#[test]
fn slots_of_a_dead_worker_are_lost_and_later_ones_run_by_another() {
    let mut running = spawn(&guest("sleeper"), &["--rate", "2000/s", "-d", "2s", "-p", "2", "-c", "2"]);
    let mut stderr = wait_for_the_first(&mut running);
    signal("KILL", workers(&running)[0]);
    std::io::Read::read_to_end(&mut stderr, &mut Vec::new()).expect("it ends");
    let ran = ran(running.wait_with_output().expect("it ends"));
    assert_eq!(ran.adds_up().code, Some(11));
    // Every slot is accounted for: those due before the death are lost, and a replacement runs the later ones.
    assert_eq!(ran.figure("/operations/offered"), 4_000);
    assert!(ran.figure("/operations/completed") > 3_000, "{:#}", ran.report["runs"][0]["operations"]);
}

#[test]
fn a_stop_ends_a_schedule() {
    let running = spawn(&guest("hello"), &["--rate", "1000/s", "-p", "2", "-n", "1000000"]);
    wait_until("workers", || workers(&running).len() == 2);
    signal("TERM", running.id());
    let ran = ran(running.wait_with_output().expect("it ends"));
    assert_eq!(ran.code, Some(130));
    ran.adds_up();
}

#[test]
fn a_warm_up_is_reported_separately_with_its_own_numbers() {
    let task = guest("recorder");
    for args in [&["-n", "50", "-p", "2"][..], &["-n", "50", "--rate", "1000/s", "-p", "2", "-t", "2"]] {
        let args = [args, &["--warmup", "30"]].concat();
        let ran = run(&task, &args);
        ran.adds_up();
        assert_eq!((ran.code, ran.figure("/operations/completed")), (Some(0), 50), "{}", ran.stderr);
        assert_eq!(ran.figure("/warmup/operations"), 30);
        assert!(ran.figure("/warmup/elapsed_ns") > 0);
        let mut seen: Vec<u64> = Vec::new();
        for line in ran.stderr.lines().filter_map(|line| line.strip_prefix("saw ")) {
            let (from, to) = line.split_once('-').expect("a range");
            seen.extend(from.parse::<u64>().expect("a number")..=to.parse().expect("a number"));
        }
        seen.sort_unstable();
        assert_eq!(seen[..50], (0..50).collect::<Vec<_>>());
        assert_eq!(seen[50..], (1 << 63..(1 << 63) + 30).collect::<Vec<_>>());
        // What both processes print is shown once, and counted.
        let of_line = |line: &str| match line.strip_prefix("printed 2 times: ") {
            Some(again) => again.strip_prefix("warm ")?.parse::<u64>().ok(),
            None => line.strip_prefix("warm ")?.parse::<u64>().ok(),
        };
        let warm = ran.stderr.lines().filter_map(of_line);
        assert_eq!(warm.sum::<u64>(), 30, "the host tells which operations are of the warm-up: {}", ran.stderr);
        assert!(!ran.stderr.contains("teardown is warm: true"), "{}", ran.stderr);
    }
}

#[test]
fn a_pause_and_a_ramp_pace_a_closed_run() {
    let ran = run(&guest("hello"), &["-n", "10", "-t", "2", "--pause", "20ms..30ms"]);
    assert_eq!(ran.adds_up().figure("/operations/completed"), 10);
    // Ten operations on two threads: at least four pauses each, if they share evenly.
    assert!(ran.figure("/elapsed_ns") >= 80_000_000, "{}", ran.figure("/elapsed_ns"));
    let ran = run(&guest("hello"), &["-d", "400ms", "-p", "2", "--ramp", "400ms", "--pause", "90ms"]);
    // The last pause reaches beyond the end, but no operation is missing.
    assert_eq!(ran.adds_up().code, Some(0), "{}", ran.stderr);
    let workers = ran.report["runs"][0]["workers"].as_array().expect("an array").len();
    assert_eq!(workers, 2);
}

#[test]
fn a_run_is_aborted_as_soon_as_it_breaks_a_promise() {
    let ran = run(&guest("hello"), &["-d", "2h", "--pause", "1ms", "--expect", "odd", "--abort-if", "failed>30%"]);
    ran.adds_up();
    assert_eq!(ran.code, Some(10), "{}", ran.stderr);
    assert_eq!((&ran.report["partial"], &ran.report["verdicts"][0]["held"]), (&Value::Bool(true), &Value::Bool(true)));
    // This is long before the planned end; a busy machine does not add an hour.
    assert!(ran.figure("/elapsed_ns") < 3_600_000_000_000);
}

#[test]
fn a_rate_that_cannot_be_kept_ends_on_time() {
    let slow = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=100", "--timeout", "300ms"];
    for arrivals in ["constant", "poisson"] {
        for bound in [&[][..], &["--max-in-flight", "1000000"]] {
            let load = ["--rate", "100000000/s", "-d", "500ms", "--arrivals", arrivals];
            let ran = run(&guest("sleeper"), &[&load[..], &slow, bound].concat());
            ran.adds_up();
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            // Within five standard deviations of a Poisson count.
            let offered = ran.figure("/operations/offered");
            assert!(offered.abs_diff(50_000_000) < 36_000, "{offered}");
            assert!(ran.figure("/operations/dropped") > 49_000_000);
        }
    }
}
