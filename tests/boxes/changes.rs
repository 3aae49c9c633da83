//! Boxes that come and go between the runs of a command, or before a run has begun.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::again::Home;
use super::{Agent, NatsServer, Target, nothing_is_left, start, three};
use crate::support::{Ran, gorgon, guest, ran, signal, wait_until, workers};

/// A file with a suite of `runs` runs of 2,000 operations each, which ask the target for numbers of their own.
fn suite(directory: &Path, target: &Target, runs: u32) -> String {
    let [_, env, _, allow] = target.args();
    let (name, value) = env.split_once('=').unwrap();
    let runs: String = (0..runs).map(|i| format!("[[run]]\nname = \"r{i}\"\nfirst = {}\n\n", i * 2_000)).collect();
    let text = format!(
        "[defaults]\ntask = \"{}\"\noperations = 2000\nthreads = 2\nconcurrency = 5\nallow = [\"{allow}\"]\n\
         env = {{ {name} = \"{value}\" }}\n\n{runs}",
        guest("getter").display()
    );
    let file = directory.join("suite.toml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn box_of(server: &NatsServer, name: &str) -> Agent {
    Agent::start(&server.url(), name, &["--allow", "all", "--max-processes", "4"])
}

fn has_begun(run: &mut Child, target: &Target, operations: usize) {
    wait_until("a run is under way", || {
        assert!(run.try_wait().unwrap().is_none(), "it has ended");
        target.asked.lock().unwrap().len() > operations
    });
}

/// The names of the boxes of each run, and the faults that say which were not there.
fn boxes(ran: &Ran) -> Vec<(Vec<String>, Vec<String>)> {
    let text = |of: &Value, key: &str| of[key].as_str().unwrap().to_owned();
    let of_run = |run: &Value| {
        let boxes = run["boxes"].as_array().unwrap().iter().map(|of| text(of, "name")).collect();
        let faults = run["faults"].as_array().unwrap().iter().filter(|fault| fault["kind"] == "box_absent");
        (boxes, faults.map(|fault| text(fault, "message")).collect())
    };
    ran.report["runs"].as_array().unwrap().iter().map(of_run).collect()
}

#[test]
fn a_suite_goes_on_with_the_boxes_that_are_there() {
    let server = NatsServer::start();
    let mut agents = three(&server);
    let (home, target) = (Home::new(&server), Target::start(Duration::from_millis(20)));
    let directory = tempfile::tempdir().unwrap();
    let suite = suite(directory.path(), &target, 3);
    let args = ["suite", &suite, "--boxes", "3", "--orphan-timeout", "60s", "--json", "-"];
    let mut first = home.gorgon(&args).spawn().unwrap();
    has_begun(&mut first, &target, 500);
    // The second box dies, and the third one is started again: neither is part of this run any more.
    for agent in &mut agents[1..] {
        agent.process.kill().unwrap();
        agent.process.wait().unwrap();
    }
    agents[2] = box_of(&server, "b3");
    // The second run has two boxes. A new one comes while the run goes on, and has a place in the next run.
    has_begun(&mut first, &target, 2_500);
    let _late = box_of(&server, "b4");
    let command = home.command();
    has_begun(&mut first, &target, 4_200);
    // Whoever takes over in the third run knows whose entries are whose.
    first.kill().unwrap();
    let said = String::from_utf8(first.wait_with_output().unwrap().stderr).unwrap();
    assert!(
        said.contains("the run now has 2 boxes instead of 3 (b2: it is not there; b3 was started again)"),
        "{said}"
    );
    assert!(said.contains("the run now has 3 boxes (b2: it is not there; b4 takes part from now on)"), "{said}");
    let ran = ran(home.gorgon(&["attach", &command]).output().unwrap());
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let missing = vec!["the run had 2 boxes instead of 3 (b2: it is not there; b3 was started again)".to_owned()];
    let replaced = vec!["the run had 3 boxes (b2: it is not there; b4 takes part from now on)".to_owned()];
    assert_eq!(
        boxes(&ran),
        [(names(&["b1", "b2", "b3"]), vec![]), (names(&["b1", "b3"]), missing), (names(&["b1", "b3", "b4"]), replaced)]
    );
    let of = |run: &Value, key: &str| run["operations"][key].as_u64().unwrap();
    let sums: Vec<_> =
        ran.report["runs"].as_array().unwrap().iter().map(|run| of(run, "completed") + of(run, "lost")).collect();
    assert_eq!(sums, [2_000; 3]);
    assert!(ran.report["runs"].as_array().unwrap()[1..].iter().all(|run| of(run, "lost") == 0));
    let lost = of(&ran.report["runs"][0], "lost");
    assert!((6_000 - lost..=6_000).contains(&target.once()));
    nothing_is_left(&server, &agents);
}

#[test]
fn a_run_begins_again_without_a_box_that_is_lost_before() {
    let server = NatsServer::start();
    let mut agents = three(&server);
    let args = ["-n", "300", "-t", "2", "--env", "PREPARING_MS=1500", "--", "results"];
    let run = start(&server, &guest("hoarder"), &args).spawn().unwrap();
    wait_until("it prepares", || !workers(&agents[0].process).is_empty());
    agents[1].process.kill().unwrap();
    let ran = ran(run.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("the box b2 was lost before the run began; the run begins again"), "{}", ran.stderr);
    let missing = "the run had 2 boxes instead of 3 (b2: it is not there)".to_owned();
    assert_eq!(boxes(&ran), [(vec!["b1".to_owned(), "b3".to_owned()], vec![missing])]);
    assert_eq!(ran.adds_up().figure("/operations/completed"), 300);
    nothing_is_left(&server, &agents);
}

#[test]
fn a_search_goes_on_with_the_boxes_that_are_there() {
    let server = NatsServer::start();
    let mut agents = three(&server);
    let target = Target::start(Duration::from_millis(5));
    let mut command = gorgon();
    command.arg("find").arg(guest("getter")).args(["--on", &server.url(), "--json", "-", "--slo", "p99<2s"]);
    command.args(["--to", "200", "--from", "100", "--probe", "2s", "--budget", "1m"]).args(target.args());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut find = command.spawn().unwrap();
    has_begun(&mut find, &target, 300);
    agents[1].process.kill().unwrap();
    let output = find.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("the run now has 2 boxes instead of 3 (b2: it is not there)"), "{said}");
    // The answer is not that of three boxes, and says so.
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let changes = report["boxes"].as_array().unwrap().iter().map(|of| of["message"].as_str().unwrap());
    assert!(changes.into_iter().any(|of| of == "the run had 2 boxes instead of 3 (b2: it is not there)"), "{report:#}");
    nothing_is_left(&server, &agents);
}

#[test]
fn a_run_without_any_box_ends() {
    let server = NatsServer::start();
    let mut agents = three(&server);
    let target = Target::start(Duration::from_millis(5));
    for of_run in [&["-d", "60s", "--rate", "300/s"][..], &["-n", "100000"]] {
        let before = target.asked.lock().unwrap().len();
        let (first, of_target) = (before.to_string(), target.args());
        let args = [of_run, &["--first", &first, "-t", "2", "-c", "5", "--boxes", "3"]].concat();
        let args: Vec<&str> = args.into_iter().chain(of_target.iter().map(String::as_str)).collect();
        let mut run = start(&server, &guest("getter"), &args).spawn().unwrap();
        has_begun(&mut run, &target, before + 300);
        for agent in &mut agents {
            agent.process.kill().unwrap();
            agent.process.wait().unwrap();
        }
        let killed = Instant::now();
        let ran = ran(run.wait_with_output().unwrap());
        assert!(killed.elapsed() < Duration::from_secs(30), "{:?}", killed.elapsed());
        assert_eq!((ran.code, &ran.report["partial"]), (Some(11), &true.into()), "{}", ran.stderr);
        let faults = ran.report["runs"][0]["faults"].as_array().unwrap();
        let of_kind = |kind: &str| faults.iter().filter(|fault| fault["kind"] == kind).count();
        assert_eq!((of_kind("box_lost"), of_kind("not_started"), of_kind("silent")), (3, 1, 0), "{faults:#?}");
        let planned = if of_run[0] == "-n" { 100_000 } else { 18_000 };
        // The message has the time of the run, too, which is shorter.
        let not_started = faults.iter().find(|fault| fault["kind"] == "not_started").unwrap()["message"].to_string();
        let numbers = not_started.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok());
        let never = numbers.max().unwrap();
        assert_eq!(ran.adds_up().figure("/operations/offered") + never, planned, "{faults:#?}");
        agents = three(&server);
    }
    nothing_is_left(&server, &agents);
}

#[test]
fn two_agents_of_one_name_are_left_out() {
    let server = NatsServer::start();
    let [_first, second, third] = three(&server);
    drop(third);
    // While the other one stands still, nobody says that the name is taken.
    signal("STOP", second.process.id());
    let _twin = box_of(&server, "b2");
    signal("CONT", second.process.id());
    let ran = ran(start(&server, &guest("noop"), &["-n", "3000"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("b2 is left out: two agents have this name: end one of them"), "{}", ran.stderr);
    assert_eq!(boxes(&ran), [(vec!["b1".to_owned()], vec![])]);
}

#[test]
fn boxes_are_free_once_nobody_can_go_on_with_their_command() {
    let server = NatsServer::start();
    let agents = three(&server);
    let home = Home::new(&server);
    let are_free = || {
        let output = home.gorgon(&["boxes", "--json"]).output().unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        listed["boxes"].as_array().unwrap().iter().all(|of| of["unfit"].is_null())
    };
    // Its controller dies, and it is removed.
    let mut run = home.run(&server, &guest("noop"), &["-d", "60s", "--orphan-timeout", "10m"]);
    wait_until("it runs", || agents.iter().all(|agent| !workers(&agent.process).is_empty()));
    let command = home.command();
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until("it is alone", || home.commands() == [(command.clone(), "alone".to_owned())]);
    assert!(!are_free());
    assert!(home.gorgon(&["runs", "--prune", &command]).status().unwrap().success());
    wait_until("the boxes are free", are_free);
    nothing_is_left(&server, &agents);
    // It is stopped while it goes into the background.
    let streams = server.store().join("jetstream/$G/streams");
    let run = home.run(&server, &guest("noop"), &["-d", "60s", "--detach"]);
    wait_until("its journal is there", || {
        let names = std::fs::read_dir(&streams).into_iter().flatten().flatten();
        names.map(|entry| entry.file_name().into_string().unwrap()).any(|name| name.starts_with("GORGON_"))
    });
    signal("INT", run.id());
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), home.commands()), (Some(130), vec![]), "{said}");
    wait_until("the boxes are free", are_free);
    nothing_is_left(&server, &agents);
}

#[test]
fn a_command_that_is_stopped_while_it_begins_is_not_left_behind() {
    let server = NatsServer::start();
    let agents = three(&server);
    let home = Home::new(&server);
    let streams = server.store().join("jetstream/$G/streams");
    for _ in 0..2 {
        let run = home.run(&server, &guest("noop"), &["-d", "60s"]);
        wait_until("its journal is there", || {
            let names = std::fs::read_dir(&streams).into_iter().flatten().flatten();
            names.map(|entry| entry.file_name().into_string().unwrap()).any(|name| name.starts_with("GORGON_"))
        });
        signal("INT", run.id());
        signal("INT", run.id());
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(home.commands(), []);
        nothing_is_left(&server, &agents);
    }
}

#[test]
fn an_agent_that_leaves_while_a_command_begins_is_left_out() {
    let server = NatsServer::start();
    let [first, second, third] = three(&server);
    let args = ["-n", "300", "-t", "2", "--env", "PREPARING_MS=1500", "--", "results"];
    let run = start(&server, &guest("hoarder"), &args).spawn().unwrap();
    wait_until("it prepares", || !workers(&first.process).is_empty());
    second.leave();
    let ran = ran(run.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let missing = "the run had 2 boxes instead of 3 (b2: it is not there)".to_owned();
    assert_eq!(boxes(&ran), [(vec!["b1".to_owned(), "b3".to_owned()], vec![missing])]);
    assert_eq!(ran.adds_up().figure("/operations/completed"), 300);
    nothing_is_left(&server, &[first, third]);
}
