//! Boxes that die, stand still or leave during a run.

use std::time::Duration;

use serde_json::Value;

use super::{Agent, NatsServer, Target, boxes, nothing_is_left, three, under_way};
use crate::support::{ran, signal, workers};

#[test]
fn a_box_that_dies_costs_only_what_it_held() {
    let server = NatsServer::start();
    let mut agents = three(&server);
    let target = Target::start(Duration::from_millis(5));
    let run = under_way(&server, &target, &["-n", "6000", "-t", "2", "-c", "5"]);
    agents[1].process.kill().unwrap();
    let ran = ran(run.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    ran.adds_up();
    let (completed, lost) = (ran.figure("/operations/completed"), ran.figure("/operations/lost"));
    assert_eq!(completed + lost, 6_000);
    // The target saw all that were confirmed, and none of them twice.
    let asked = target.once();
    assert!((completed..=6_000).contains(&asked), "{asked} were asked for, {completed} confirmed");
    let gone = boxes(&ran);
    assert_eq!(gone.iter().map(|of| of["lost"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true, false]);
    let faults = ran.report["runs"][0]["faults"].to_string();
    assert!(faults.contains("box_lost") && faults.contains("the box b2 was lost"), "{faults}");
    nothing_is_left(&server, &agents);
}

/// How many operations an open run has in the tests below, 300 a second.
const OFFERED: u64 = 4_800;

/// An open run of sixteen seconds, of whose second box something happens after about two.
fn open_run_with(happen: impl FnOnce(&mut Agent)) {
    let server = NatsServer::start();
    let mut agents = three(&server);
    let target = Target::start(Duration::ZERO);
    let run = under_way(&server, &target, &["-d", "16s", "--rate", "300/s", "-c", "20", "--by-box"]);
    happen(&mut agents[1]);
    let ran = ran(run.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    ran.adds_up();
    let of = |what: &str| ran.figure(&format!("/operations/{what}"));
    assert_eq!((of("offered"), of("completed") + of("lost") + of("dropped")), (OFFERED, OFFERED));
    let (asked, completed) = (target.once(), of("completed"));
    assert!((completed..=completed + of("lost")).contains(&asked), "{asked} were asked for, {completed} confirmed");
    // Another box goes on behind the six seconds that were leased, within seven. Some of a second is for the machine.
    let missed = of("lost") + of("dropped");
    assert!(missed < 100 * 8, "{missed} were missed of a third of 300 per second");
    let gone = boxes(&ran);
    assert_eq!(gone.iter().map(|of| of["lost"].as_bool().unwrap()).collect::<Vec<_>>(), [false, true, false]);
    // At the end all of the rate is there.
    let buckets = ran.report["runs"][0]["timeline"]["buckets"].as_array().unwrap();
    let last = |of: &str| {
        buckets[buckets.len() - 13..buckets.len() - 1].iter().map(|at| at[of].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((last("due"), last("started")), (900, 900), "of the last three seconds");
    nothing_is_left(&server, &agents);
}

#[test]
fn the_rate_of_an_open_run_is_whole_again_after_a_box_has_died() {
    open_run_with(|agent| agent.process.kill().unwrap());
}

#[test]
fn a_box_that_stands_still_in_an_open_run_starts_nothing_twice() {
    open_run_with(|agent| {
        let workers = workers(&agent.process);
        for &process in workers.iter().chain([&agent.process.id()]) {
            signal("STOP", process);
        }
        std::thread::sleep(Duration::from_secs(12));
        for &process in workers.iter().chain([&agent.process.id()]) {
            signal("CONT", process);
        }
    });
}

#[test]
fn a_box_that_leaves_gives_its_numbers_back() {
    let server = NatsServer::start();
    let [stays, also_stays, leaves] = three(&server);
    let target = Target::start(Duration::from_millis(5));
    // It goes on for longer than a box may be silent: nothing is awaited of one that has left.
    let run = under_way(&server, &target, &["-d", "9s", "--pause", "20ms", "-t", "2", "-c", "5"]);
    let said = leaves.leave();
    assert!(said.contains("leaving: the operations in flight may end"), "{said}");
    let ran = ran(run.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
    assert_eq!(ran.adds_up().figure("/operations/completed"), target.once());
    let kinds: Vec<_> = ran.report["runs"][0]["faults"].as_array().unwrap().iter().map(|of| &of["kind"]).collect();
    assert_eq!((kinds.as_slice(), ran.figure("/operations/lost")), (&[&Value::from("box_left")][..], 0));
    assert!(boxes(&ran).iter().all(|of| of["lost"] == false), "{:#?}", boxes(&ran));
    nothing_is_left(&server, &[stays, also_stays]);
}

#[test]
fn the_loss_of_a_box_can_end_the_run() {
    let server = NatsServer::start();
    let mut agents = three(&server);
    let target = Target::start(Duration::from_millis(5));
    let run = under_way(&server, &target, &["-d", "60s", "--pause", "20ms", "-c", "5", "--on-loss", "abort"]);
    agents[1].process.kill().unwrap();
    let ran = ran(run.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    ran.adds_up();
    target.once();
    let faults = ran.report["runs"][0]["faults"].to_string();
    assert!(faults.contains("the run was stopped, as --on-loss abort says"), "{faults}");
    assert_eq!(ran.report["runs"][0]["workers"].as_array().unwrap().len(), 3, "nobody replaces the worker");
    nothing_is_left(&server, &agents);
}

#[test]
fn numbers_of_a_lost_box_can_be_executed_again() {
    let server = NatsServer::start();
    let mut agents = three(&server);
    let target = Target::start(Duration::from_millis(5));
    let run = under_way(&server, &target, &["-n", "6000", "-t", "2", "-c", "5", "--on-loss", "rerun"]);
    agents[1].process.kill().unwrap();
    let ran = ran(run.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    assert_eq!((ran.adds_up().figure("/operations/completed"), ran.figure("/operations/lost")), (6_000, 0));
    let twice = &ran.report["runs"][0]["possibly_executed_twice"];
    let twice: Vec<(u64, u64)> = serde_json::from_value(twice.clone()).unwrap();
    let is_told = |number: u64| twice.iter().any(|&(from, to)| (from..=to).contains(&number));
    for (path, times) in target.asked.lock().unwrap().iter() {
        let number: u64 = path.trim_start_matches('/').parse().unwrap();
        assert!(*times == 1 || (*times == 2 && is_told(number)), "{path} {times} times");
    }
    assert_eq!(target.asked.lock().unwrap().len(), 6_000);
}
