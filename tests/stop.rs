//! Runs that are stopped: what was done is reported, what was cut is named, and the counts add up.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Ran, endless_prepare, gorgon, guest, lives, operation, processor_time, ran, signal, spawn, validate, wait_until,
    watch, workers,
};

const SLEEPY: [&str; 4] = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=50"];

/// Whether a process catches SIGINT (signal 2), according to the kernel.
fn catches_interrupts(gorgon: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gorgon.id())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 0b10 != 0)
}

/// Waits until the sleeper reports that its first operation has begun.
pub(crate) fn wait_for_the_first(gorgon: &mut Child) -> BufReader<std::process::ChildStderr> {
    let mut stderr = BufReader::new(gorgon.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "began\n");
    stderr
}

/// Whether a run has reached its first operations, which is when its workers change their names.
fn is_running(gorgon: &Child) -> bool {
    let name = |worker: &u32| std::fs::read_to_string(format!("/proc/{worker}/comm")).unwrap_or_default();
    workers(gorgon).iter().any(|worker| name(worker).trim() == "gorgon running")
}

fn finish(gorgon: Child, left: Option<BufReader<std::process::ChildStderr>>) -> Ran {
    let mut rest = String::new();
    left.map(|mut stderr| stderr.read_to_string(&mut rest));
    let mut ran = ran(gorgon.wait_with_output().unwrap());
    ran.stderr.push_str(&rest);
    ran.adds_up();
    ran
}

#[test]
fn operations_in_flight_may_end() {
    for name in ["INT", "TERM"] {
        let args = [&["-n", "100000", "-p", "2", "-t", "2"][..], &SLEEPY].concat();
        let mut gorgon = spawn(&guest("sleeper"), &args);
        let stderr = wait_for_the_first(&mut gorgon);
        let all = workers(&gorgon);
        signal(name, gorgon.id());
        let ran = finish(gorgon, Some(stderr));
        assert_eq!((ran.code, &ran.report["partial"]), (Some(130), &Value::Bool(true)), "{}", ran.stderr);
        let completed = ran.figure("/operations/completed");
        assert!((1..1_000).contains(&completed), "{completed}");
        assert_eq!((ran.figure("/operations/in_flight"), ran.figure("/operations/lost")), (0, 0));
        assert!(ran.stderr.contains("stopping: operations in flight may end"), "{}", ran.stderr);
        assert!(!all.into_iter().any(lives));
    }
}

#[test]
fn a_second_stop_cuts_operations_and_names_their_ages() {
    // One is in a loop, which a runtime cannot interrupt, and one in a wait, which an epoch cannot interrupt.
    let loops = operation("(loop (br 0))");
    let sleeps = guest("sleeper");
    for (task, args) in [
        (loops.path(), &["--timeout", "0"][..]),
        (&sleeps, &["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=3600000"]),
    ] {
        let gorgon = spawn(task, &[&["-n", "50", "-p", "2", "-t", "3"], args].concat());
        wait_until("it runs", || workers(&gorgon).len() == 2 && is_running(&gorgon));
        signal("INT", gorgon.id());
        signal("INT", gorgon.id());
        // Two pending signals of one kind are delivered as one.
        wait_until("it ends", || {
            signal_if_alive(&gorgon);
            !lives(gorgon.id())
        });
        let ran = finish(gorgon, None);
        assert_eq!(ran.code, Some(130), "{}", ran.stderr);
        assert_eq!((ran.figure("/operations/completed"), ran.figure("/operations/lost")), (0, 0), "{}", ran.stderr);
        let in_flight = ran.figure("/operations/in_flight");
        assert!((1..=6).contains(&in_flight), "{in_flight}");
        let cut = ran.report["runs"][0]["cut"].as_array().unwrap();
        assert_eq!(cut.len() as u64, in_flight);
        assert!(cut.iter().all(|cut| cut["age_ns"].as_u64().is_some_and(|age| age > 0)));
    }
}

fn signal_if_alive(gorgon: &Child) {
    let _ = std::process::Command::new("kill").args(["-INT", &gorgon.id().to_string()]).stderr(Stdio::null()).status();
}

#[test]
fn patience_ends_after_five_seconds() {
    let endless = operation("(loop (br 0))");
    let gorgon = spawn(endless.path(), &["-n", "9", "--timeout", "0"]);
    wait_until("it runs", || is_running(&gorgon));
    // Once the run goes on, only the operation's loop uses that much processor time.
    let worker = workers(&gorgon)[0];
    let before = processor_time(worker).unwrap();
    wait_until("the operation has begun", || processor_time(worker) > Some(before + Duration::from_millis(100)));
    signal("INT", gorgon.id());
    let ran = finish(gorgon, None);
    assert_eq!((ran.code, ran.figure("/operations/in_flight")), (Some(130), 1), "{}", ran.stderr);
    // The operation began before the stop, so it is older than the grace period.
    assert!(ran.figure("/cut/0/age_ns") >= 5_000_000_000);
}

#[test]
fn a_duration_waits_for_operations_in_flight_up_to_the_timeout() {
    let endless = operation("(if (i64.eq (local.get $n) (i64.const 3)) (then (loop (br 0))))");
    let ran = crate::support::run(endless.path(), &["-d", "200ms", "-t", "2", "--timeout", "700ms"]);
    assert_eq!((ran.adds_up().code, ran.figure("/operations/timed_out")), (Some(0), 1), "{}", ran.stderr);
    assert_eq!(ran.figure("/cut/0/number"), 3);
    assert!(ran.figure("/cut/0/age_ns") >= 690_000_000);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let mut again = gorgon();
    again.arg("run").arg(endless.path()).args(["-d", "100ms", "--timeout", "400ms", "--json"]).arg(&file);
    let text = String::from_utf8(again.output().unwrap().stdout).unwrap();
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let age_ms = report["runs"][0]["cut"][0]["age_ns"].as_f64().unwrap() / 1e6;
    assert!(age_ms >= 390.0, "{age_ms}");
    // The text has the same age, with three digits.
    let age = if age_ms < 999.5 { format!("{age_ms:.0} ms") } else { format!("{:.2} s", age_ms / 1e3) };
    assert!(text.contains(&format!("1 operation cut at the end, at the age of {age}")), "{age}: {text}");
}

#[test]
fn a_stop_ends_a_command_whose_report_nobody_reads() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let mut gorgon = gorgon();
    // The page does not fit into the pipe, and nobody reads it.
    gorgon.arg("run").arg(guest("noop")).args(["-n", "1000", "--html", "-", "--json"]).arg(&file);
    let mut gorgon = gorgon.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Files come first.
    wait_until("the file is written", || std::fs::metadata(&file).is_ok());
    let mut ended = None;
    wait_until("it ends", || {
        // A signal just before the page is written is taken for a stop of the runs, which have ended already.
        signal("INT", gorgon.id());
        ended = gorgon.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.and_then(|status| status.code()), Some(130));
    let report: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(report["runs"][0]["operations"]["completed"], 1_000);
    // The pipe holds only the beginning of the page.
    let mut page = String::new();
    gorgon.stdout.take().unwrap().read_to_string(&mut page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && !page.contains("</html>"), "{} bytes", page.len());
}

#[test]
fn a_stop_before_the_first_operation_reports_no_operations() {
    let prepares = endless_prepare();
    let gorgon = spawn(prepares.path(), &[]);
    wait_until("prepare runs", || !workers(&gorgon).is_empty());
    signal("INT", gorgon.id());
    let ran = finish(gorgon, None);
    assert_eq!((ran.code, ran.figure("/operations/offered")), (Some(130), 0));
}

#[test]
fn a_stop_at_any_moment_leaves_a_report_that_adds_up() {
    for i in 0..200_u64 {
        let shape = ["1x1", "2x3", "3x1"][i as usize % 3];
        let gorgon = spawn(&guest("noop"), &["-n", "100000000", "--shape", shape, "--quiet"]);
        wait_until("it listens", || catches_interrupts(&gorgon));
        // Any moment: before the workers exist, while they start, or during the run.
        std::thread::sleep(Duration::from_micros(i * 997 % 60_000));
        signal("INT", gorgon.id());
        let ran = finish(gorgon, None);
        assert_eq!((ran.code, &ran.report["partial"]), (Some(130), &Value::Bool(true)), "{i}: {}", ran.stderr);
        for run in ran.report["runs"].as_array().unwrap() {
            let (completed, in_flight) = (&run["operations"]["completed"], &run["operations"]["in_flight"]);
            assert_eq!(run["operations"]["lost"], 0, "{i}: {completed} {in_flight} {}", ran.stderr);
        }
    }
}

#[test]
fn a_snapshot_survives_its_controller() {
    let mut watched = watch(&guest("noop"), &["-d", "60s", "-p", "2"]);
    // Each snapshot replaces the previous one.
    for _ in 0..3 {
        let known = watched.completed();
        wait_until("a snapshot with more operations", || watched.completed() > known);
    }
    watched.gorgon.kill().unwrap();
    watched.gorgon.wait().unwrap();
    let ran = Ran { code: None, report: watched.report(), stderr: String::new() };
    validate(&ran.report);
    assert_eq!(ran.report["partial"], true);
    let of = |key: &str| ran.figure(&format!("/operations/{key}"));
    assert_eq!(of("offered"), of("completed") + of("dropped") + of("lost") + of("in_flight"));
    assert_eq!(of("completed"), ran.figure("/latency_ns/count"));
    // At most one temporary file remains: the one that was being written at that moment.
    assert!(std::fs::read_dir(watched.directory()).unwrap().count() <= 2);
}
