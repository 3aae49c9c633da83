//! Workers that are stopped (SIGSTOP) neither end nor answer, and nothing may wait for them forever.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Ran, gorgon, guest, lives, ran, signal, spawn, wait_until, workers};

/// A run with two workers, one of which is stopped as soon as both run operations. Returns the run and the stopped
/// process.
fn with_one_stopped(args: &[&str]) -> (Child, u32) {
    let sleeps = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=20"];
    let gorgon = spawn(&guest("sleeper"), &[&["-p", "2", "-t", "2", "--quiet"], args, &sleeps].concat());
    wait_until("both operate", || workers(&gorgon).into_iter().filter(operates).count() == 2);
    let stopped = workers(&gorgon)[0];
    signal("STOP", stopped);
    (gorgon, stopped)
}

/// Whether a worker runs operations.
fn operates(worker: &u32) -> bool {
    std::fs::read_to_string(format!("/proc/{worker}/comm")).is_ok_and(|name| name.trim() == "gorgon running")
}

/// Waits for a run whose stopped worker is killed and loses the numbers it held.
fn finish(gorgon: Child, stopped: u32, code: i32) -> Ran {
    let ran = ran(gorgon.wait_with_output().unwrap());
    assert_eq!(ran.adds_up().code, Some(code), "{}", ran.stderr);
    assert!(!lives(stopped), "nothing is left behind");
    assert!(ran.figure("/operations/lost") > 0, "{}", ran.stderr);
    ran
}

fn faults(ran: &Ran) -> Vec<(&str, &str)> {
    let faults = ran.report["runs"][0]["faults"].as_array().unwrap();
    faults.iter().map(|fault| (fault["kind"].as_str().unwrap(), fault["message"].as_str().unwrap())).collect()
}

#[test]
fn a_duration_ends_a_run_with_a_stopped_worker() {
    let (gorgon, stopped) = with_one_stopped(&["-d", "1s", "--timeout", "1s"]);
    let ran = finish(gorgon, stopped, 11);
    let faults = faults(&ran);
    assert!(faults.iter().any(|(kind, _)| *kind == "worker_died"), "{faults:?}");
    // The user did not stop the run.
    assert_eq!(ran.report["partial"], Value::Bool(false));
}

#[test]
fn two_stops_end_a_run_with_a_stopped_worker() {
    let (gorgon, stopped) = with_one_stopped(&["-n", "1000000"]);
    signal("INT", gorgon.id());
    wait_until("it ends", || {
        // Two pending signals of one kind are delivered as one.
        if lives(gorgon.id()) {
            let _ = std::process::Command::new("kill")
                .args(["-INT", &gorgon.id().to_string()])
                .stderr(Stdio::null())
                .status();
        }
        !lives(gorgon.id())
    });
    finish(gorgon, stopped, 130);
}

#[test]
fn a_silent_worker_is_named_then_killed_and_replaced() {
    let (gorgon, stopped) = with_one_stopped(&["-n", "3000", "--timeout", "1s"]);
    let ran = finish(gorgon, stopped, 11);
    let faults = faults(&ran);
    let named = format!("worker process {stopped} said nothing for 10 s");
    assert!(faults.iter().any(|(kind, message)| *kind == "silent" && message.starts_with(&named)), "{faults:?}");
    let died = faults.iter().find(|(kind, _)| *kind == "worker_died").unwrap_or_else(|| panic!("{faults:?}"));
    assert!(died.1.contains("it had said nothing for 21 s"), "{}", died.1);
    assert_eq!(ran.figure("/operations/lost") + ran.figure("/operations/completed"), 3_000);
}

#[test]
fn a_stopped_hook_does_not_delay_a_stop() {
    let prepares = crate::support::endless_prepare();
    let gorgon = gorgon()
        .arg("run")
        .arg(prepares.path())
        .args(["--json", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("prepare runs", || !workers(&gorgon).is_empty());
    let worker = workers(&gorgon)[0];
    signal("STOP", worker);
    signal("INT", gorgon.id());
    let ran = ran(gorgon.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.figure("/operations/offered")), (Some(130), 0));
    assert!(!lives(worker));
}

/// The stalls in a report: what stood still, and for how many nanoseconds.
fn stalls(ran: &Ran) -> Vec<(&str, u64)> {
    let stalls = ran.report["runs"][0]["generator"]["stalls"].as_array().unwrap();
    stalls.iter().map(|of| (of["what"].as_str().unwrap(), of["length_ns"].as_u64().unwrap())).collect()
}

#[test]
fn what_stood_still_is_said_with_its_length() {
    let length = Duration::from_millis(1_500);
    let sleeps = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=5"];
    for (whom, wanted, sentence) in [
        ("all", &["controller", "worker"][..], "stalled: all of gorgon stood still for "),
        ("controller", &["controller", "numbers"], "stalled: the controller stood still for "),
        ("worker", &["worker"], "stalled: worker process "),
    ] {
        let run = spawn(&guest("sleeper"), &[&["-p", "2", "-d", "4s", "--no-progress"], &sleeps[..]].concat());
        wait_until("both operate", || workers(&run).into_iter().filter(operates).count() == 2);
        let stopped = match whom {
            "all" => [vec![run.id()], workers(&run)].concat(),
            "controller" => vec![run.id()],
            _ => vec![workers(&run)[0]],
        };
        for &process in &stopped {
            signal("STOP", process);
        }
        // Nothing waits for this: it is how long they are stopped.
        std::thread::sleep(length);
        for &process in stopped.iter().rev() {
            signal("CONT", process);
        }
        let ran = ran(run.wait_with_output().unwrap());
        assert_eq!(ran.adds_up().code, Some(0), "{whom}: {}", ran.stderr);
        let stalls = stalls(&ran);
        // Instances run out of numbers a little after the controller has stopped.
        let long = stalls.iter().filter(|(_, ns)| u128::from(*ns) + 200_000_000 >= length.as_nanos());
        let what: BTreeSet<&str> = long.map(|(what, _)| *what).collect();
        assert_eq!(what, wanted.iter().copied().collect(), "{whom}: {stalls:?}");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        serde_json::to_writer(&mut file, &ran.report).unwrap();
        let text = gorgon().arg("report").arg(file.path()).output().unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains(sentence), "{whom}: {text}");
    }
}
