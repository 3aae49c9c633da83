//! Worker processes that die: what they held is named, the run goes on, nobody is left behind.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use crate::support::{gorgon, guest, operation, ran};

/// The worker processes of a running gorgon.
fn workers(of: &Child) -> Vec<i32> {
    let children = format!("/proc/{0}/task/{0}/children", of.id());
    let text = std::fs::read_to_string(children).unwrap_or_default();
    text.split_whitespace().filter_map(|process| process.parse().ok()).collect()
}

fn kill(process: i32) {
    let killed = std::process::Command::new("kill").args(["-9", &process.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

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
    // The first operation's greeting says that the run is under way.
    let mut stderr = BufReader::new(gorgon.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert_eq!(line, "began\n");
    let victim = workers(&gorgon)[0];
    kill(victim);
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
    assert_eq!(ran.report["runs"][0]["workers"].as_array().unwrap().len(), 3, "two, and one in place of the dead");
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
    let begin = std::time::Instant::now();
    for orphan in orphans {
        // An ended process that nobody has waited for yet is still listed, as a zombie.
        let alive = || {
            let stat = std::fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        while alive() {
            assert!(begin.elapsed().as_secs() < 10, "worker {orphan} goes on without its controller");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_thread_inside_a_long_operation_delays_nobodys_deltas() {
    let first_never_ends = operation("(if (i64.eqz (local.get $n)) (then (loop (br 0))))");
    let gorgon = gorgon()
        .arg("run")
        .arg(first_never_ends.path())
        .args(["-n", "1001", "-t", "2", "--timeout", "0", "--json", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while workers(&gorgon).is_empty() {
        std::thread::yield_now();
    }
    // Not to wait for something, but the very promise: what the other thread has done is confirmed by now.
    std::thread::sleep(std::time::Duration::from_secs(3));
    kill(workers(&gorgon)[0]);
    let ran = ran(gorgon.wait_with_output().unwrap());
    assert_eq!(ran.adds_up().figure("/operations/completed"), 1_000);
    assert_eq!(ran.report["runs"][0]["faults"][0]["numbers"], serde_json::json!([[0, 0]]));
}
