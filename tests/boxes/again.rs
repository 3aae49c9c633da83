//! Commands that go on after their controller: in the background, attached to, taken over, kept.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Agent, NatsServer, Target, nothing_is_left, start, three};
use crate::support::{Ran, gorgon, guest, ran, signal, wait_until, workers};

/// A person with a home of their own, where the keys of commands are.
pub(super) struct Home {
    directory: tempfile::TempDir,
    url: String,
}

impl Home {
    pub(super) fn new(server: &NatsServer) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), url: server.url() }
    }

    pub(super) fn gorgon(&self, args: &[&str]) -> Command {
        let mut command = gorgon();
        command.args(args).env("XDG_STATE_HOME", self.directory.path()).env("GORGON_ON", &self.url);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Begins `gorgon run` with a JSON report on stdout.
    pub(super) fn run(&self, server: &NatsServer, task: &Path, args: &[&str]) -> Child {
        let mut command = start(server, task, args);
        command.env("XDG_STATE_HOME", self.directory.path());
        command.spawn().unwrap()
    }

    fn said(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.gorgon(args).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), said)
    }

    /// The commands that are there, each with its state.
    pub(super) fn commands(&self) -> Vec<(String, String)> {
        let output = self.gorgon(&["runs", "--json"]).output().unwrap();
        let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |of: &Value, key: &str| of[key].as_str().unwrap().to_owned();
        listed["runs"].as_array().unwrap().iter().map(|of| (text(of, "run"), text(of, "state"))).collect()
    }

    /// The only command that is there.
    pub(super) fn command(&self) -> String {
        let commands = self.commands();
        assert_eq!(commands.len(), 1, "{commands:?}");
        commands[0].0.clone()
    }

    /// The file with the key of a command.
    fn key(&self, command: &str) -> std::path::PathBuf {
        self.directory.path().join("gorgon/commands").join(format!("{command}.key"))
    }
}

/// What a run on the target needs, and how it is told that the controller may be gone for a while.
fn getting(target: &Target, of_run: &[&str]) -> Vec<String> {
    let usual = ["-t", "2", "-c", "5", "--boxes", "3", "--orphan-timeout", "60s"];
    of_run.iter().chain(&usual).map(ToString::to_string).chain(target.args()).collect()
}

/// A run of `args` on the target that is under way, and the name of its command.
fn under_way(home: &Home, server: &NatsServer, target: &Target, of_run: &[&str]) -> (Child, String) {
    let run = home.run(server, &guest("getter"), &strs(&getting(target, of_run)));
    wait_until("it runs", || target.asked.lock().unwrap().len() > 600);
    (run, home.command())
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

/// The kinds of the faults of the only run.
fn faults(ran: &Ran) -> Vec<String> {
    let faults = ran.report["runs"][0]["faults"].as_array().unwrap();
    faults.iter().map(|fault| fault["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_controller_that_is_killed_is_replaced_and_nothing_is_lost() {
    let server = NatsServer::start();
    let agents = three(&server);
    for of_run in [&["-n", "9000"][..], &["-n", "9000", "--rate", "1000/s"]] {
        let (home, target) = (Home::new(&server), Target::start(Duration::from_millis(20)));
        let (mut first, command) = under_way(&home, &server, &target, of_run);
        first.kill().unwrap();
        first.wait().unwrap();
        let ran = ran(home.gorgon(&["attach", &command]).output().unwrap());
        assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
        assert_eq!((ran.adds_up().figure("/operations/completed"), target.once()), (9_000, 9_000));
        assert_eq!(faults(&ran), ["taken_over"]);
        nothing_is_left(&server, &agents);
        assert_eq!(home.commands(), []);
    }
}

#[test]
fn a_controller_that_wakes_after_another_took_over_does_nothing_more() {
    let server = NatsServer::start();
    let agents = three(&server);
    let (home, target) = (Home::new(&server), Target::start(Duration::from_millis(20)));
    let (mut first, command) = under_way(&home, &server, &target, &["-n", "12000"]);
    signal("STOP", first.id());
    let second = home.gorgon(&["attach", &command, "--take-over"]).spawn().unwrap();
    let before = target.asked.lock().unwrap().len();
    wait_until("it goes on", || target.asked.lock().unwrap().len() > before + 1_500);
    signal("CONT", first.id());
    assert_eq!(first.wait().unwrap().code(), Some(1));
    let first = first.wait_with_output().unwrap();
    let said = String::from_utf8(first.stderr).unwrap();
    assert!(said.contains("another controller has taken over"), "{said}");
    let ran = ran(second.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
    assert_eq!((ran.adds_up().figure("/operations/completed"), target.once()), (12_000, 12_000));
    nothing_is_left(&server, &agents);
}

#[test]
fn of_those_who_take_over_at_once_one_controls() {
    let server = NatsServer::start();
    let agents = three(&server);
    let (home, target) = (Home::new(&server), Target::start(Duration::from_millis(20)));
    let (mut first, command) = under_way(&home, &server, &target, &["-n", "9000"]);
    let takers: Vec<_> = (0..3).map(|_| home.gorgon(&["attach", &command, "--take-over"]).spawn().unwrap()).collect();
    let ends: Vec<_> = takers.into_iter().map(|taker| taker.wait_with_output().unwrap()).collect();
    let (ended, fenced): (Vec<_>, Vec<_>) = ends.into_iter().partition(|end| end.status.code() == Some(0));
    assert_eq!((ended.len(), fenced.len()), (1, 2));
    for end in fenced {
        let said = String::from_utf8(end.stderr).unwrap();
        assert!(said.contains("another controller has"), "{said}");
    }
    assert_eq!(first.wait().unwrap().code(), Some(1));
    let ran = ran(ended.into_iter().next().unwrap());
    assert_eq!((ran.adds_up().figure("/operations/completed"), target.once()), (9_000, 9_000));
    nothing_is_left(&server, &agents);
}

#[test]
fn hooks_are_called_once_whoever_controls() {
    let server = NatsServer::start();
    let agents = three(&server);
    let home = Home::new(&server);
    let args = ["-d", "4s", "--pause", "5ms", "--boxes", "3", "--orphan-timeout", "60s", "--", "3"];
    let mut first = home.run(&server, &guest("results"), &args);
    wait_until("it runs", || agents.iter().all(|agent| !crate::support::workers(&agent.process).is_empty()));
    let command = home.command();
    first.kill().unwrap();
    first.wait().unwrap();
    let ran = ran(home.gorgon(&["attach", &command, "--take-over"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
    ran.adds_up();
    nothing_is_left(&server, &agents);
}

#[test]
fn whoever_attaches_sees_the_same_report_and_can_stop_the_command() {
    let server = NatsServer::start();
    let agents = three(&server);
    let home = Home::new(&server);
    let task = guest("noop");
    let (url, task) = (server.url(), task.to_str().unwrap());
    let args = ["run", task, "--on", &url, "-d", "60s", "--pause", "5ms", "--boxes", "3", "--json", "-", "--detach"];
    let (code, said) = home.said(&args);
    assert_eq!(code, Some(0), "{said}");
    let command = home.command();
    assert!(said.contains(&format!("`gorgon attach {command}` follows it")), "{said}");
    let follows = home.gorgon(&["attach", &command]).spawn().unwrap();
    let lets_go = home.gorgon(&["attach", &command]).spawn().unwrap();
    let listens = |child: &Child| std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap().count() > 3;
    wait_until("both follow", || listens(&follows) && listens(&lets_go));
    std::thread::sleep(Duration::from_secs(2));
    signal("INT", lets_go.id());
    let let_go = lets_go.wait_with_output().unwrap();
    let said = String::from_utf8(let_go.stderr).unwrap();
    assert!(said.contains("it goes on without you"), "{said}");
    assert_eq!(home.commands(), [(command.clone(), "runs".to_owned())]);
    let (code, said) = home.said(&["runs", "--prune", &command]);
    assert_eq!((code, said.contains("stop it first")), (Some(1), true), "{said}");
    let (code, said) = home.said(&["stop", &command]);
    assert_eq!(code, Some(0), "{said}");
    let followed = ran(follows.wait_with_output().unwrap());
    assert_eq!(followed.code, Some(130), "{}", followed.stderr);
    followed.adds_up();
    wait_until("it has ended", || home.commands() == [(command.clone(), "ended".to_owned())]);
    let (code, kept) = home.said(&["report", "--journal", &command, "--quiet", "--json", "-"]);
    assert_eq!(code, Some(0), "{kept}");
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["runs"], followed.report["runs"]);
    let (code, said) = home.said(&["runs", "--prune", &command]);
    assert_eq!((code, home.commands().len()), (Some(0), 0), "{said}");
    assert!(!home.key(&command).exists());
    nothing_is_left(&server, &agents);
}

#[test]
fn a_follower_that_stood_still_does_not_take_over() {
    let server = NatsServer::start();
    let agents = three(&server);
    let home = Home::new(&server);
    let (task, url) = (guest("noop"), server.url());
    let args = ["run", task.to_str().unwrap(), "--on", &url, "-d", "10s", "--pause", "1ms", "--journal-max", "1MiB"];
    let leads = home.gorgon(&[&args[..], &["--boxes", "3", "--json", "-"]].concat()).spawn().unwrap();
    wait_until("it runs", || agents.iter().all(|agent| !workers(&agent.process).is_empty()));
    let command = home.command();
    // Those who read the journal: the controller, and each agent its orders.
    let readers = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
            let stream = jetstream.get_stream(format!("GORGON_{command}")).await.unwrap();
            stream.cached_info().state.consumer_count
        })
    };
    wait_until("all read the journal", || readers() >= 4);
    let before = readers();
    let follows = home.gorgon(&["attach", &command]).spawn().unwrap();
    wait_until("it follows", || readers() > before);
    signal("STOP", follows.id());
    // Longer than a silence after which it would take over.
    std::thread::sleep(Duration::from_secs(6));
    signal("CONT", follows.id());
    let [led, followed] = [leads, follows].map(|child| ran(child.wait_with_output().unwrap()));
    assert_eq!((led.code, followed.code), (Some(0), Some(0)), "{}\n{}", led.stderr, followed.stderr);
    let faults = &led.report["runs"][0]["faults"];
    assert_eq!(
        (faults.as_array().map(Vec::len), &led.report["runs"]),
        (Some(0), &followed.report["runs"]),
        "{faults:#}"
    );
    nothing_is_left(&server, &agents);
}

#[test]
fn a_journal_with_a_hole_is_not_read() {
    let server = NatsServer::start();
    let _agents = three(&server);
    let home = Home::new(&server);
    let args = ["-n", "20000", "-p", "2", "--boxes", "3", "--keep-journal"];
    let live = ran(home.run(&server, &guest("noop"), &args).wait_with_output().unwrap());
    assert_eq!(live.code, Some(0), "{}", live.stderr);
    let command = home.command();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let hole = runtime.block_on(async {
        let jetstream = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
        let stream = jetstream.get_stream(format!("GORGON_{command}")).await.unwrap();
        let hole = stream.cached_info().state.last_sequence - 3;
        assert!(stream.delete_message(hole).await.unwrap());
        hole
    });
    for args in [&["report", "--journal", &command][..], &["attach", &command]] {
        let (code, said) = home.said(args);
        let says = said.contains(&format!("message {hole} of ")) && said.contains("somebody removed it");
        assert_eq!((code, says, said.lines().count()), (Some(1), true, 1), "{said}");
    }
}

#[test]
fn a_kept_journal_makes_the_same_books_each_time() {
    let server = NatsServer::start();
    let _agents = three(&server);
    let home = Home::new(&server);
    let args = ["-n", "200000", "-p", "2", "-t", "2", "--boxes", "3", "--warmup", "1000", "--keep-journal"];
    let live = ran(home.run(&server, &guest("noop"), &args).wait_with_output().unwrap());
    assert_eq!(live.adds_up().figure("/operations/completed"), 200_000);
    let command = home.command();
    for _ in 0..2 {
        let (_, kept) = home.said(&["report", "--journal", &command, "--quiet", "--json", "-"]);
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept["runs"], live.report["runs"]);
    }
    // Somebody else has no key.
    let other = Home::new(&server);
    let (code, said) = other.said(&["report", "--journal", &command]);
    assert_eq!((code, said.contains("--run-key FILE"), said.lines().count()), (Some(1), true, 1), "{said}");
    let wrong = other.directory.path().join("wrong.key");
    std::fs::write(&wrong, "A".repeat(43)).unwrap();
    let (code, said) = other.said(&["attach", &command, "--run-key", wrong.to_str().unwrap()]);
    assert_eq!((code, said.contains("the key is not that of the command")), (Some(1), true), "{said}");
}

#[test]
fn a_suite_goes_on_elsewhere_with_what_it_was_made_of() {
    let server = NatsServer::start();
    let agents = three(&server);
    let (home, elsewhere) = (Home::new(&server), Home::new(&server));
    let target = Target::start(Duration::from_millis(20));
    let directory = tempfile::tempdir().unwrap();
    let task = directory.path().join("task.wasm");
    std::fs::copy(guest("getter"), &task).unwrap();
    let [_, env, _, allow] = target.args();
    let (name, value) = env.split_once('=').unwrap();
    let runs: String =
        (0..3).map(|i| format!("[[run]]\nname = \"r{i}\"\noperations = 2000\nfirst = {}\n\n", i * 2_000)).collect();
    let suite = format!(
        "pause = \"0s\"\n[defaults]\ntask = \"{}\"\nthreads = 2\nconcurrency = 5\nallow = [\"{allow}\"]\n\
         env = {{ {name} = \"{value}\" }}\n\n[boxes]\non = \"{}\"\nboxes = 3\norphan-timeout = \"60s\"\n\n{runs}",
        task.display(),
        server.url()
    );
    let file = directory.path().join("suite.toml");
    std::fs::write(&file, suite).unwrap();
    let args = ["suite", file.to_str().unwrap(), "--json", "-"];
    let mut first = home.gorgon(&args).spawn().unwrap();
    wait_until("the second run is under way", || {
        assert!(first.try_wait().unwrap().is_none());
        target.asked.lock().unwrap().len() > 2_600
    });
    let command = home.command();
    first.kill().unwrap();
    first.wait().unwrap();
    // On another machine there is neither the suite nor its task.
    let key = elsewhere.directory.path().join("run.key");
    std::fs::copy(home.key(&command), &key).unwrap();
    directory.close().unwrap();
    let ran = ran(elsewhere.gorgon(&["attach", &command, "--run-key", key.to_str().unwrap()]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let completed: Vec<_> =
        ran.report["runs"].as_array().unwrap().iter().map(|run| run["operations"]["completed"].as_u64()).collect();
    assert_eq!((completed, target.once()), (vec![Some(2_000); 3], 6_000));
    nothing_is_left(&server, &agents);
}

#[test]
fn a_long_journal_is_cut_and_still_enough_for_another_controller() {
    let server = NatsServer::start();
    let agents = three(&server);
    let (home, target) = (Home::new(&server), Target::start(Duration::from_millis(10)));
    let args = getting(&target, &["-n", "150000", "-p", "3", "--journal-max", "1MiB", "--timeout", "61s"]);
    let mut first = home.run(&server, &guest("getter"), &strs(&args));
    // Without a checkpoint, the journal would be full by then.
    wait_until("it has gone far", || {
        assert!(first.try_wait().unwrap().is_none());
        target.asked.lock().unwrap().len() > 60_000
    });
    let command = home.command();
    first.kill().unwrap();
    first.wait().unwrap();
    let ran = ran(home.gorgon(&["attach", &command]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{} {:#}", ran.stderr, ran.report["runs"][0]["faults"]);
    assert_eq!((ran.adds_up().figure("/operations/completed"), target.once()), (150_000, 150_000));
    nothing_is_left(&server, &agents);
}

#[test]
fn a_command_in_the_background_has_a_short_journal_and_a_whole_report() {
    let server = NatsServer::start();
    let _agents = three(&server);
    let (home, target) = (Home::new(&server), Target::start(Duration::from_millis(10)));
    // Without a checkpoint, the journal would be full after a part of this.
    let of_run = ["-n", "150000", "-p", "3", "--journal-max", "1MiB", "--timeout", "61s", "--detach"];
    let args = getting(&target, &of_run);
    let (code, command) = {
        let output = home.run(&server, &guest("getter"), &strs(&args)).wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap().trim().to_owned())
    };
    assert_eq!(code, Some(0), "{command}");
    let attached = home.gorgon(&["attach", &command]).output().unwrap();
    assert_eq!(attached.status.code(), Some(0), "{}", String::from_utf8_lossy(&attached.stderr));
    // Its last run is over a little before the command is.
    wait_until("it has ended", || home.commands() == [(command.clone(), "ended".to_owned())]);
    let (code, kept) = home.said(&["report", "--journal", &command, "--quiet", "--json", "-"]);
    assert_eq!(code, Some(0), "{kept}");
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((&kept["runs"][0]["operations"]["completed"], &kept["partial"]), (&150_000.into(), &false.into()));
}

#[test]
fn whoever_attaches_sees_that_a_verdict_has_stopped_the_run() {
    let server = NatsServer::start();
    let _agents = three(&server);
    let home = Home::new(&server);
    let args = ["-d", "60s", "--pause", "5ms", "--abort-if", "ok>500", "--detach"];
    let output = home.run(&server, &guest("noop"), &args).wait_with_output().unwrap();
    let command = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    // Once while the run goes on, and once when it is over.
    for _ in 0..2 {
        let attached = ran(home.gorgon(&["attach", &command]).output().unwrap());
        assert_eq!(attached.code, Some(10), "{}", attached.stderr);
        let verdict = &attached.adds_up().report["verdicts"][0];
        assert_eq!((&verdict["origin"], &verdict["failed"]), (&"abort_if".into(), &true.into()));
    }
}

/// A journal that is to be kept whole is never cut, and this one is full long before the end of the run.
#[test]
fn whoever_attaches_is_told_what_a_full_journal_has_lost() {
    let server = NatsServer::start();
    let _agents = three(&server);
    let home = Home::new(&server);
    let of_run = ["-n", "400000", "-p", "2", "-c", "20", "--env", "GORGON_WAIT_US=5000"];
    let args = [&of_run[..], &["--journal-max", "1MiB", "--keep-journal", "--detach"]].concat();
    let output = home.run(&server, &guest("waiter"), &args).wait_with_output().unwrap();
    let command = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    wait_until("it has ended", || home.commands() == [(command.clone(), "ended".to_owned())]);
    let attached = ran(home.gorgon(&["attach", &command]).output().unwrap());
    assert_eq!(attached.code, Some(11), "{}", attached.stderr);
    attached.adds_up();
    assert!(attached.figure("/operations/lost") > 0);
    let faults = attached.report["runs"][0]["faults"].to_string();
    assert!(faults.contains("the run could not go on: the journal has no room"), "{faults}");
    let (_, kept) = home.said(&["report", "--journal", &command, "--quiet", "--json", "-"]);
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["runs"], attached.report["runs"]);
}

#[test]
fn no_secret_is_on_the_server() {
    let server = NatsServer::start();
    let agents = three(&server);
    let home = Home::new(&server);
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("rows.csv");
    std::fs::write(&data, "name\nsecretrow11\n").unwrap();
    let mut command = start(&server, &guest("results"), &["-n", "600", "--boxes", "3", "--keep-journal"]);
    command.args(["--data", data.to_str().unwrap(), "--env", "TOKEN=secretenv22", "--", "3", "secretarg33"]);
    command.env("XDG_STATE_HOME", home.directory.path());
    let ran = ran(command.output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    drop(agents);
    let mut files = vec![server.store().to_owned()];
    let (mut seen, mut found) = (0, Vec::new());
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        seen += bytes.len();
        for secret in ["secretrow11", "secretenv22", "secretarg33", "results.wasm\0"] {
            if bytes.windows(secret.len()).any(|at| at == secret.as_bytes()) {
                found.push(format!("{secret} in {}", path.display()));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
    assert!(seen > 100_000, "{seen}");
    let key = std::fs::metadata(home.key(&home.command())).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&key) & 0o777, 0o600);
}

#[test]
fn labels_choose_boxes() {
    let server = NatsServer::start();
    let _a = Agent::start(&server.url(), "b1", &["--label", "zone=a"]);
    let _b = Agent::start(&server.url(), "b2", &["--label", "zone=b", "--label", "big=yes"]);
    let run = super::run(&server, &guest("noop"), &["-n", "100", "--box-label", "zone=b"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let names: Vec<_> = super::boxes(&run).iter().map(|of| of["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["b2"]);
    assert!(run.stderr.contains("b1 is left out: it has no label zone=b"), "{}", run.stderr);
}
