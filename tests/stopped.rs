//! Workers that are stopped (SIGSTOP) neither end nor answer, and nothing may wait for them forever.

use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::{Ran, gorgon, guest, lives, ran, signal, spawn, wait_until, workers};

/// A run with two workers, one of which is stopped as soon as both run operations. Returns the run and the stopped
/// process.
fn with_one_stopped(args: &[&str]) -> (Child, u32) {
    let sleeps = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=20"];
    let gorgon = spawn(&guest("sleeper"), &[&["-p", "2", "-t", "2", "--quiet"], args, &sleeps].concat());
    let operate = |worker: &u32| {
        std::fs::read_to_string(format!("/proc/{worker}/comm")).is_ok_and(|name| name.trim() == "gorgon running")
    };
    wait_until("both operate", || workers(&gorgon).iter().filter(|worker| operate(worker)).count() == 2);
    let stopped = workers(&gorgon)[0];
    signal("STOP", stopped);
    (gorgon, stopped)
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
