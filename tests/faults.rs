//! Workers that die: the report names the numbers they held, the run goes on, and no process is left behind.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use crate::support::{gorgon, guest, lives, operation, processor_time, ran, signal, spawn, wait_until, watch, workers};

#[test]
fn a_worker_that_is_killed_is_replaced_and_its_numbers_are_named() {
    let task = guest("sleeper");
    let mut gorgon = gorgon()
        .arg("run")
        .arg(&task)
        .args(["-n", "400", "-p", "2", "-t", "4", "--json", "-"])
        .args(["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=20"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The output of the first operation shows that the run has started.
    let mut stderr = BufReader::new(gorgon.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "began\n");
    let victim = workers(&gorgon)[0];
    signal("KILL", victim);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let ran = ran(gorgon.wait_with_output().unwrap());
    ran.adds_up();
    assert_eq!(ran.code, Some(11), "{rest}");
    let (lost, completed) = (ran.figure("/operations/lost"), ran.figure("/operations/completed"));
    assert!((1..200).contains(&lost), "{lost}");
    assert_eq!(lost + completed, 400);
    let fault = &ran.report["runs"][0]["faults"][0];
    let named: u64 =
        fault["numbers"].as_array().unwrap().iter().map(|r| r[1].as_u64().unwrap() - r[0].as_u64().unwrap() + 1).sum();
    assert_eq!(named, lost);
    assert!(fault["message"].as_str().unwrap().contains("was killed"), "{fault}");
    assert_eq!(ran.report["runs"][0]["workers"].as_array().unwrap().len(), 3, "two, and one replacement");
}

#[test]
fn no_worker_outlives_its_controller() {
    let endless = operation("(loop (br 0))");
    let mut gorgon = gorgon()
        .arg("run")
        .arg(endless.path())
        .args(["-p", "2", "--timeout", "0", "-n", "9"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while workers(&gorgon).len() < 2 {
        std::thread::yield_now();
    }
    let orphans = workers(&gorgon);
    gorgon.kill().unwrap();
    gorgon.wait().unwrap();
    // Their operations compute without an end, so a worker that waits for something before it ends uses processor time.
    let begun: Vec<_> = orphans.iter().map(|&orphan| processor_time(orphan)).collect();
    let mut used = begun.clone();
    wait_until("workers end without their controller", || {
        for (used, &orphan) in used.iter_mut().zip(&orphans) {
            *used = processor_time(orphan).or(*used);
        }
        !orphans.iter().any(|&orphan| lives(orphan))
    });
    for (begun, used) in begun.into_iter().zip(used) {
        let more = used.unwrap_or_default().saturating_sub(begun.unwrap_or_default());
        assert!(more < Duration::from_secs(1), "a worker computed for {more:?} after its controller was gone");
    }
}

#[test]
fn a_run_whose_workers_keep_dying_ends_and_says_why() {
    let endless = operation("(loop (br 0))");
    let mut gorgon = spawn(endless.path(), &["-n", "100", "-p", "2", "--timeout", "0"]);
    wait_until("it ends", || {
        for worker in workers(&gorgon) {
            // The worker may have ended already.
            let _ = std::process::Command::new("kill").args(["-9", &worker.to_string()]).stderr(Stdio::null()).status();
        }
        gorgon.try_wait().unwrap().is_some()
    });
    let output = gorgon.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(11) => {
            let ran = ran(output);
            assert_eq!(ran.adds_up().figure("/operations/completed"), 0);
            assert!(stderr.contains("no more are replaced in this run"), "{stderr}");
            assert!(stderr.contains("were never started"), "{stderr}");
        }
        // All of them died before the run began.
        code => assert!(code == Some(1) && stderr.contains("ended before the run began"), "{code:?} {stderr}"),
    }
}

#[test]
fn a_worker_that_is_stopped_for_a_while_loses_nothing() {
    let gorgon = spawn(
        &guest("sleeper"),
        &["-n", "400", "-p", "2", "-t", "2", "--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=10"],
    );
    wait_until("both workers are there", || workers(&gorgon).len() == 2);
    let worker = workers(&gorgon)[0];
    signal("STOP", worker);
    // The pause is the fault under test, not a wait for something.
    std::thread::sleep(Duration::from_secs(3));
    signal("CONT", worker);
    let ran = ran(gorgon.wait_with_output().unwrap());
    assert_eq!(ran.adds_up().figure("/operations/completed"), 400);
    assert_eq!((ran.code, ran.figure("/operations/lost")), (Some(0), 0), "{}", ran.stderr);
}

#[test]
fn a_long_operation_does_not_delay_the_deltas_of_other_threads() {
    let first_never_ends = operation("(if (i64.eqz (local.get $n)) (then (loop (br 0))))");
    let watched = watch(first_never_ends.path(), &["-n", "1001", "-t", "2", "--timeout", "0"]);
    // The first operation is still in its loop, but the operations of the other thread are confirmed.
    wait_until("the other thread's operations are confirmed", || watched.completed() == 1_000);
    signal("KILL", workers(&watched.gorgon)[0]);
    let ran = watched.finish();
    assert_eq!(ran.adds_up().figure("/operations/completed"), 1_000);
    assert_eq!(ran.report["runs"][0]["faults"][0]["numbers"], serde_json::json!([[0, 0]]));
}
