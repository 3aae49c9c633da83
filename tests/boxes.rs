//! Runs over boxes: real agents, a real NATS server, and a target that notes each number it is asked for.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gorgon::cluster::presence::Presence;
use serde_json::Value;

mod again;
mod changes;
mod links;
mod losses;
mod security;

use crate::support::nats::{Agent, NatsServer};
use crate::support::proxy::{Done, Proxy};
use crate::support::{Ran, gorgon, guest, lives, ran, servers, signal, wait_until, workers};

/// A target, and how often each path was asked for.
struct Target {
    address: SocketAddr,
    asked: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Target {
    /// Answers after `delay`.
    fn start(delay: Duration) -> Self {
        Self::start_at("127.0.0.1", delay)
    }

    fn start_at(address: &str, delay: Duration) -> Self {
        let asked = Arc::new(Mutex::new(BTreeMap::new()));
        let noted = Arc::clone(&asked);
        let (address, _) = servers::listen_at(address, move |stream| {
            let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            loop {
                let mut line = String::new();
                if !std::io::BufRead::read_line(&mut reader, &mut line).is_ok_and(|bytes| bytes > 0) {
                    return;
                }
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                if !servers::read_head(&mut reader) {
                    return;
                }
                *noted.lock().unwrap().entry(path).or_insert(0) += 1;
                std::thread::sleep(delay);
                if std::io::Write::write_all(&mut stream, servers::OK).is_err() {
                    return;
                }
            }
        });
        Self { address, asked }
    }

    /// How many numbers it was asked for; none of them twice.
    fn once(&self) -> u64 {
        let asked = self.asked.lock().unwrap();
        let twice: Vec<_> = asked.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        asked.len() as u64
    }

    fn args(&self) -> [String; 4] {
        let url = format!("http://{}", self.address);
        ["--env".into(), format!("URL={url}"), "--allow".into(), url]
    }
}

/// Starts `gorgon run` on the boxes of `server`.
fn start(server: &NatsServer, task: &Path, args: &[&str]) -> Command {
    let mut command = gorgon();
    command.arg("run").arg(task).args(["--json", "-", "--on", &server.url()]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(server: &NatsServer, task: &Path, args: &[&str]) -> Ran {
    ran(start(server, task, args).output().unwrap())
}

/// A run on three boxes that asks the target for each number, and is under way.
fn under_way(server: &NatsServer, target: &Target, of_run: &[&str]) -> Child {
    let args = target.args();
    let all: Vec<&str> =
        of_run.iter().copied().chain(["--boxes", "3"]).chain(args.iter().map(String::as_str)).collect();
    let run = start(server, &guest("getter"), &all).spawn().unwrap();
    wait_until("it runs", || target.asked.lock().unwrap().len() > 600);
    run
}

fn three(server: &NatsServer) -> [Agent; 3] {
    ["b1", "b2", "b3"].map(|name| Agent::start(&server.url(), name, &["--allow", "all", "--max-processes", "4"]))
}

fn boxes(ran: &Ran) -> Vec<Value> {
    ran.report["runs"][0]["boxes"].as_array().unwrap().clone()
}

/// Nothing of a run is left: no worker, and no stream.
fn nothing_is_left(server: &NatsServer, agents: &[Agent]) {
    wait_until("no worker is left", || agents.iter().all(|agent| workers(&agent.process).is_empty()));
    let streams = server.store().join("jetstream/$G/streams");
    wait_until("no journal is left", || {
        let names = std::fs::read_dir(&streams).into_iter().flatten().flatten();
        !names.map(|entry| entry.file_name().into_string().unwrap()).any(|name| name.starts_with("GORGON_"))
    });
}

#[test]
fn an_undisturbed_run_over_three_boxes_is_exact() {
    let server = NatsServer::start();
    let agents = three(&server);
    let listed = gorgon().args(["boxes", "--on", &server.url(), "--json"]).output().unwrap();
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let names: Vec<_> = listed["boxes"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b1", "b2", "b3"]);

    let args = ["-n", "400000", "-p", "2", "-t", "2", "--boxes", "3", "--warmup", "500"];
    let ran = run(&server, &guest("noop"), &args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.adds_up();
    assert_eq!((ran.figure("/operations/completed"), ran.figure("/warmup/operations")), (400_000, 500));
    assert_eq!(ran.figure("/plan/boxes"), 3);
    let boxes = boxes(&ran);
    let of = |key: &str| boxes.iter().map(|of| of[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((of("operations"), of("workers"), of("refused_frames")), (400_000, 6, 0));
    for of in &boxes {
        assert!(of["start_skew_ns"].as_u64().unwrap() < 200_000_000, "{of}");
        assert!(of["clock_offset_ns"].as_i64().unwrap().abs() < 100_000_000, "{of}");
    }
    nothing_is_left(&server, &agents);
    for agent in agents {
        let said = agent.leave();
        assert!(said.contains("taking part in a run") && said.contains("its part of the run is over"), "{said}");
    }
}

#[test]
fn messages_that_are_repeated_delayed_swapped_and_not_acknowledged_change_nothing() {
    let server = NatsServer::start();
    let proxy = Proxy::before(server.port());
    let url = proxy.url();
    let agents = ["b1", "b2", "b3"].map(|name| Agent::start(&url, name, &["--allow", "all", "--max-processes", "4"]));
    for of_run in [&["-n", "8000"][..], &["-d", "6s", "--rate", "1500/s"]] {
        let target = Target::start(Duration::from_millis(5));
        let mut command = gorgon();
        command
            .arg("run")
            .arg(guest("getter"))
            .args(["--json", "-", "--on", &url, "-t", "2", "-c", "5", "--boxes", "3"]);
        let ran = ran(command.args(of_run).args(target.args()).output().unwrap());
        assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
        let completed = ran.adds_up().figure("/operations/completed");
        assert_eq!((ran.figure("/operations/lost"), target.once()), (0, completed));
        assert!(completed == 8_000 || completed + ran.figure("/operations/dropped") == 9_000, "{completed}");
        nothing_is_left(&server, &agents);
    }
    let Done { repeated, delayed, swallowed } = &*proxy.done;
    for (what, times) in [("repeated", repeated), ("delayed", delayed), ("swallowed", swallowed)] {
        assert!(times.load(Ordering::Relaxed) > 3, "{what}");
    }
}

#[test]
fn an_agent_that_comes_later_is_left_alone() {
    let server = NatsServer::start();
    let agents = three(&server);
    let target = Target::start(Duration::from_millis(10));
    let args = target.args();
    let mut all = vec!["-n", "9000", "-t", "2", "-c", "5"];
    all.extend(args.iter().map(String::as_str));
    let early = start(&server, &guest("getter"), &all).spawn().unwrap();
    wait_until("it runs", || target.asked.lock().unwrap().len() > 600);
    let later = Agent::start(&server.url(), "b4", &["--allow", "all"]);
    let ran = ran(early.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
    assert_eq!((ran.adds_up().figure("/operations/completed"), target.once()), (9_000, 9_000));
    let names: Vec<_> = boxes(&ran).iter().map(|of| of["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["b1", "b2", "b3"]);
    nothing_is_left(&server, &agents);
    // The next run has it.
    let next = run(&server, &guest("noop"), &["-n", "100", "--boxes", "4"]);
    assert_eq!((next.code, boxes(&next).len()), (Some(0), 4), "{}", next.stderr);
    drop(later);
}

#[test]
fn an_open_run_over_three_boxes_keeps_its_rate() {
    let server = NatsServer::start();
    let _agents = three(&server);
    let target = Target::start(Duration::ZERO);
    let args = target.args();
    let mut all = vec!["-d", "4s", "--rate", "300/s", "-c", "20", "--boxes", "3"];
    all.extend(args.iter().map(String::as_str));
    let ran = run(&server, &guest("getter"), &all);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    ran.adds_up();
    assert_eq!((ran.figure("/operations/completed"), target.once()), (1_200, 1_200));
}

#[test]
fn hooks_run_once_and_data_reaches_every_box() {
    let server = NatsServer::start();
    let _agents = three(&server);
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("rows.csv");
    std::fs::write(&data, "name\nada\ngrace\n").unwrap();
    let task = guest("results");
    let ran = run(&server, &task, &["-n", "300", "--data", data.to_str().unwrap(), "--boxes", "3", "--", "3"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.report["runs"][0]["files"][0]["role"], "data");
    assert_eq!(ran.adds_up().figure("/operations/completed"), 300);
}

#[test]
fn a_server_that_is_killed_and_comes_back_costs_nothing() {
    let mut server = NatsServer::start();
    let agents = three(&server);
    let target = Target::start(Duration::from_millis(5));
    let run = under_way(&server, &target, &["-n", "6000", "-t", "2", "-c", "5"]);
    server.kill();
    server.start_again();
    let ran = ran(run.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
    assert_eq!((ran.adds_up().figure("/operations/completed"), target.once()), (6_000, 6_000));
    nothing_is_left(&server, &agents);
}

#[test]
fn workers_end_soon_after_their_controller() {
    let server = NatsServer::start();
    let agents = three(&server);
    let mut run = start(&server, &guest("noop"), &["-d", "120s", "--boxes", "3"]).spawn().unwrap();
    wait_until("it runs", || agents.iter().all(|agent| !workers(&agent.process).is_empty()));
    run.kill().unwrap();
    run.wait().unwrap();
    let begin = Instant::now();
    wait_until("no worker is left", || agents.iter().all(|agent| workers(&agent.process).is_empty()));
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert!(agents.iter().all(|agent| lives(agent.process.id())));
}

/// A small disk, for as long as this lives.
struct Disk(std::path::PathBuf);

impl Disk {
    /// Mounts a disk of `size` at `path`; `None` if the system does not allow that.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(path);
        if !mount.output().is_ok_and(|output| output.status.success()) {
            println!("SKIPPED: the system mounts no disk in memory");
            return None;
        }
        Some(Self(path.to_owned()))
    }

    /// Leaves no room on it.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("fills-the-disk")).unwrap();
        for size in [65_536, 512] {
            while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_run_with_what_was_known() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(directory.path(), "24m") else { return };
    let server = NatsServer::start_in(directory, "127.0.0.1");
    let agents = three(&server);
    let target = Target::start(Duration::from_millis(5));
    let args = target.args();
    let mut all = vec!["-d", "120s", "-t", "2", "-c", "5", "--boxes", "3", "--journal-max", "4MiB"];
    all.extend(args.iter().map(String::as_str));
    let run = start(&server, &guest("getter"), &all).spawn().unwrap();
    wait_until("it runs", || target.asked.lock().unwrap().len() > 15_000);
    disk.fill();
    let begin = Instant::now();
    let ran = ran(run.wait_with_output().unwrap());
    assert!(begin.elapsed() < Duration::from_secs(100), "{:?}", begin.elapsed());
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    ran.adds_up();
    let faults = ran.report["runs"][0]["faults"].to_string();
    assert!(faults.contains("the journal has no room") || faults.contains("the journal is gone"), "{faults}");
    let (completed, asked) = (ran.figure("/operations/completed"), target.once());
    assert!(completed > 0 && asked >= completed, "{asked} were asked for, {completed} completed");
    wait_until("no worker is left", || agents.iter().all(|agent| workers(&agent.process).is_empty()));
}

#[test]
fn a_run_over_boxes_is_judged_and_kept_up_to_date_like_any_other() {
    let server = NatsServer::start();
    let agents = three(&server);
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    let args = ["-d", "60s", "--pause", "5ms", "--boxes", "3", "--abort-if", "ok>500", "--fail-if", "max>1h"];
    let mut command = start(&server, &guest("noop"), &args);
    command.args(["--metrics", "127.0.0.1:0", "--html"]).arg(&page);
    let ran = ran(command.output().unwrap());
    assert_eq!(ran.code, Some(10), "{}", ran.stderr);
    ran.adds_up();
    let verdicts = ran.report["verdicts"].as_array().unwrap();
    let held: Vec<_> = verdicts.iter().map(|verdict| verdict["held"].as_bool().unwrap()).collect();
    assert_eq!(held, [false, true], "{verdicts:#?}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Boxes") && page.contains("began late"));
    nothing_is_left(&server, &agents);
}

/// A histogram of the report.
fn histogram(summary: &Value) -> Option<hdrhistogram::Histogram<u64>> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(summary["hdr"].as_str()?).unwrap();
    Some(hdrhistogram::serialization::Deserializer::new().deserialize(&mut &bytes[..]).unwrap())
}

/// Its counts, each with its duration.
fn counts(histogram: &hdrhistogram::Histogram<u64>) -> Vec<(u64, u64)> {
    histogram.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect()
}

/// The durations of all intervals of a box are those of the box, and those of all boxes are those of the run.
#[test]
fn the_boxes_over_time_are_the_run() {
    let server = NatsServer::start();
    let agents = three(&server);
    let directory = tempfile::tempdir().unwrap();
    let files = ["page.html", "table.csv"].map(|name| directory.path().join(name));
    let mut command = start(&server, &guest("noop"), &["-d", "2s", "--pause", "1ms", "--boxes", "3", "--by-box"]);
    command.arg("--html").arg(&files[0]).arg("--csv").arg(&files[1]);
    let ran = ran(command.output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let run = &ran.report["runs"][0];
    let boxes = boxes(&ran);
    let whole = histogram(&run["latency_ns"]).unwrap();
    let mut merged = whole.clone();
    merged.reset();
    for of in &boxes {
        let buckets = of["timeline"]["buckets"].as_array().unwrap();
        assert_eq!(buckets.len(), run["timeline"]["buckets"].as_array().unwrap().len());
        let mut its = merged.clone();
        its.reset();
        buckets.iter().filter_map(|bucket| histogram(&bucket["latency_ns"])).for_each(|part| its.add(part).unwrap());
        assert_eq!(counts(&its), counts(&histogram(&of["latency_ns"]).unwrap()));
        assert_eq!(its.len(), of["operations"].as_u64().unwrap());
        merged.add(its).unwrap();
    }
    assert_eq!(counts(&merged), counts(&whole));

    let table = std::fs::read_to_string(&files[1]).unwrap();
    let of_b2 = table.lines().filter(|line| line.contains(",interval,") && line.ends_with(",b2,,")).count();
    assert_eq!(of_b2, run["timeline"]["buckets"].as_array().unwrap().len());
    let page = std::fs::read_to_string(&files[0]).unwrap();
    assert!(page.contains("Throughput by box") && page.contains("p99 by box"));
    let report = directory.path().join("report.json");
    std::fs::write(&report, serde_json::to_vec(&ran.report).unwrap()).unwrap();
    let text = gorgon().arg("report").arg(&report).output().unwrap();
    assert_eq!(text.status.code(), Some(0), "{}", String::from_utf8_lossy(&text.stderr));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("ops/s over time, up to") && text.lines().any(|line| line.starts_with("b3  ")), "{text}");

    // What cannot be true is refused.
    let mut false_report = ran.report.clone();
    false_report["runs"][0]["boxes"][1]["timeline"]["buckets"][0]["started"] = 1.into();
    false_report["runs"][0]["boxes"][1]["timeline"]["interval_ns"] = 1.into();
    std::fs::write(&report, serde_json::to_vec(&false_report).unwrap()).unwrap();
    let refused = gorgon().arg("report").arg(&report).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("`runs[0].boxes[1].timeline"), "{said}");
    nothing_is_left(&server, &agents);
}

#[test]
fn what_strangers_say_of_themselves_is_shown_as_text() {
    let server = NatsServer::start();
    let hostile = "\u{1b}]52;c;aGk=\u{7}\u{9b}31m\u{202e}x\u{0}";
    let presence = Presence {
        name: "b1".into(),
        version: hostile.into(),
        protocol: 1,
        session: 1,
        boot: hostile.into(),
        cpus: 1,
        memory_bytes: 1,
        free_bytes: 1,
        load_permille: 1,
        max_processes: 1,
        workers: 0,
        policy: vec![hostile.into()],
        command: Some(hostile.into()),
        leaving: false,
        public_key: hostile.into(),
        carried_out: (0, 0),
        trust: vec![hostile.into()],
        labels: vec![hostile.into()],
        has_twin: false,
    };
    let link = gorgon::cluster::Server { url: server.url(), creds: None, tls_ca: None }.connect("stranger").unwrap();
    let task = guest("noop");
    let (url, task) = (server.url(), task.to_str().unwrap());
    for args in [&["boxes", "--on", &url][..], &["boxes", "--on", &url, "--json"], &["run", task, "--on", &url]] {
        let mut command = gorgon().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while command.try_wait().unwrap().is_none() {
            link.publish(&gorgon::cluster::subjects::presence("b1"), presence.to_bytes().unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = command.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("b1"), "{said}");
        assert_eq!(crate::hostile::unsafe_parts(&said), Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn a_stop_reaches_every_box() {
    let server = NatsServer::start();
    let agents = three(&server);
    let run = start(&server, &guest("noop"), &["-d", "120s", "--pause", "10ms", "--boxes", "3"]).spawn().unwrap();
    wait_until("it runs", || agents.iter().all(|agent| !workers(&agent.process).is_empty()));
    signal("INT", run.id());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    nothing_is_left(&server, &agents);
}

#[test]
fn what_cannot_work_is_said_in_one_line() {
    let server = NatsServer::start();
    let said = |args: &[&str]| {
        let output = gorgon().args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (url, task) = (server.url(), guest("noop"));
    let task = task.to_str().unwrap();
    let nobody = said(&["run", task, "--on", &url]);
    assert_eq!(nobody.0, Some(1));
    assert!(nobody.1.contains("no agent is there") && nobody.1.contains("gorgon agent --nats"), "{}", nobody.1);
    let nowhere = said(&["run", task, "--on", "nats://127.0.0.1:1"]);
    assert_eq!((nowhere.0, nowhere.1.lines().count()), (Some(1), 1), "{}", nowhere.1);
    assert!(nowhere.1.contains("cannot connect to the NATS server at nats://127.0.0.1:1"), "{}", nowhere.1);
    let stray = said(&["run", task, "--boxes", "3"]);
    assert_eq!(stray.0, Some(2));
    assert!(stray.1.contains("--boxes needs boxes: name their server"), "{}", stray.1);
    let small = said(&["run", task, "--on", &url, "--journal-max", "1KiB"]);
    assert_eq!((small.0, small.1.contains("at least 1MiB")), (Some(2), true), "{}", small.1);
    let endless = said(&["run", task, "--on", &url, "--orphan-timeout", "99999d"]);
    assert_eq!((endless.0, endless.1.contains("at most 7d")), (Some(2), true), "{}", endless.1);
    let shape = said(&["run", task, "--shape", "3x1x1"]);
    assert_eq!(shape.0, Some(2), "{}", shape.1);
    assert!(shape.1.contains("has 3 boxes: name their server"), "{}", shape.1);

    let agent = Agent::start(&url, "b1", &[]);
    let again = said(&["agent", "--nats", &url, "--name", "b1"]);
    assert_eq!(again.0, Some(1));
    assert!(again.1.contains("another agent has the name `b1`"), "{}", again.1);
    let name = said(&["agent", "--nats", &url, "--name", "a.b"]);
    assert!(name.1.contains("`a.b` cannot be the name of an agent"), "{}", name.1);
    // What the agent does not allow, its tasks do not reach, and the report says so.
    let target = Target::start(Duration::ZERO);
    let args = target.args();
    let mut all = vec!["-n", "3"];
    all.extend(args.iter().map(String::as_str));
    let ran = run(&server, &guest("getter"), &all);
    assert_eq!((ran.code, target.once()), (Some(10), 0), "{}", ran.stderr);
    let directory = tempfile::tempdir().unwrap();
    let grant = format!("{}::data", directory.path().display());
    let refused = said(&["run", task, "--on", &url, "--dir", &grant]);
    assert_eq!(refused.0, Some(1));
    assert!(refused.1.contains("b1: it gives tasks no directory"), "{}", refused.1);
    // What the second run needs is known before the first one.
    let suite = directory.path().join("suite.toml");
    let run = |shape: &str| format!("[[run]]\ntask = '{task}'\noperations = 10\nshape = '{shape}'\n");
    std::fs::write(&suite, run("1x1x1") + &run("1x99x1")).unwrap();
    let large = said(&["suite", suite.to_str().unwrap(), "--on", &url]);
    assert_eq!((large.0, large.1.contains("worker processes, not 99")), (Some(1), true), "{}", large.1);
    std::fs::write(&suite, run("2x1x1") + &run("3x1x1")).unwrap();
    let other = said(&["suite", suite.to_str().unwrap(), "--on", &url]);
    assert_eq!((other.0, other.1.contains("has other boxes than the rest")), (Some(2), true), "{}", other.1);
    drop(agent);
}
