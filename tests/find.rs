//! `gorgon find` on servers whose limit is known.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::support::{gorgon, guest, validate, wait_until, workers};

/// Starts a server that serves `k` requests at a time, each for `service`, and returns its address.
fn limited(k: usize, service: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let free = Arc::new((Mutex::new(k), Condvar::new()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let free = free.clone();
            std::thread::spawn(move || serve(stream, &free, service));
        }
    });
    format!("http://{address}/")
}

/// More than any test has in flight.
const NO_LIMIT: usize = 1_000_000;

/// A search whose task requests `url`: its exit code, its answer as JSON, and what it printed to stderr.
fn find(url: &str, args: &[&str]) -> (Option<i32>, Value, String) {
    let mut find = gorgon();
    find.arg("find").arg(guest("http")).args(["--allow", "all", "--json", "-", "--env"]).arg(format!("URL={url}"));
    let output = find.args(args).output().expect("gorgon starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    validate(&found);
    (output.status.code(), found, stderr)
}

fn serve(mut stream: TcpStream, free: &(Mutex<usize>, Condvar), service: Duration) {
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() {
            let mut places = free.1.wait_while(free.0.lock().expect("no panic"), |free| *free == 0).expect("no panic");
            *places -= 1;
            drop(places);
            std::thread::sleep(service);
            *free.0.lock().expect("no panic") += 1;
            free.1.notify_one();
            if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    }
}

#[test]
fn the_limit_of_a_semaphore_is_found() {
    // Four at a time with 20 ms each make 200 per second, minus the time to wake a thread.
    let url = limited(4, Duration::from_millis(20));
    let html = tempfile::NamedTempFile::new().unwrap();
    let page = html.path().to_str().unwrap();
    let args = ["--slo", "p90<150ms", "--slo", "failed<1%", "--from", "50/s", "--probe", "2s", "--html", page];
    let (code, found, stderr) = find(&url, &args);
    let rate = found["answer"]["rate"].as_f64().unwrap_or_else(|| panic!("no rate: {found:#}"));
    let page = std::fs::read_to_string(html.path()).unwrap();
    assert_eq!(page.matches("data-chart=\"lines\"").count(), 2);
    // The probes take two seconds, on a machine that also does other work. The rate must be near 200, and can exceed it
    // only by what a queue of 150 ms allows.
    assert!((140.0..=220.0).contains(&rate), "{rate}: {stderr}");
    assert_eq!((code, found["answer"]["is_cut_short"].as_bool()), (Some(0), Some(false)), "{stderr}");
    assert!(stderr.contains("expected time: about") && !stderr.contains("also promised"), "{stderr}");
    // Each of them needed more than one instance.
    assert!(found["probes"].as_array().unwrap().iter().all(|probe| probe["instances"].as_u64() > Some(1)));
}

#[test]
fn a_target_without_a_limit_has_none_with_default_flags() {
    let url = limited(NO_LIMIT, Duration::from_millis(20));
    let args = ["--slo", "p50<500ms", "--from", "50/s", "--to", "200/s", "--probe", "1s", "--probe-max", "1s"];
    let (code, found, stderr) = find(&url, &args);
    let answer = &found["answer"];
    assert_eq!((&answer["rate"], &answer["below"]), (&Value::from(200.0), &Value::Null), "{stderr}");
    assert_eq!((code, &answer["limited_by"]), (Some(0), &Value::Null));
    assert!(stderr.contains("also promised, because no promise is about failures: failed<1%"), "{stderr}");
}

#[test]
fn too_few_instances_are_not_the_targets_fault() {
    // Two instances of 20 ms make 100 per second, and the server could do more.
    let url = limited(NO_LIMIT, Duration::from_millis(20));
    let args = ["--slo", "p50<100ms", "--from", "20/s", "-c", "2", "--probe", "2s", "--precision", "20%"];
    let (code, found, stderr) = find(&url, &args);
    let rate = found["answer"]["rate"].as_f64().unwrap_or_else(|| panic!("no rate: {found:#}"));
    assert!((50.0..=110.0).contains(&rate), "{rate}: {stderr}");
    assert_eq!((code, &found["most_instances"]), (Some(0), &2.into()));
    assert!(found["answer"]["limited_by"] == "instances" || found["answer"]["generator_limited"] == true, "{stderr}");
    // A busy machine may delay operations in some of the probes.
    for probe in found["probes"].as_array().unwrap().iter().filter(|probe| probe["limited_by"].is_string()) {
        let machine = probe["generator"]["limited"].as_bool().unwrap();
        assert_eq!(probe["limited_by"], if machine { "generator" } else { "instances" }, "{probe:#}");
    }
}

#[test]
fn a_rate_at_which_everything_fails_keeps_no_promise() {
    // Nobody listens at this address any more.
    let url = format!("http://{}/", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let args = ["--slo", "p99<10s", "--from", "1/s", "--probe", "1s", "--probe-max", "1s"];
    let (code, found, stderr) = find(&url, &args);
    assert_eq!((code, &found["answer"]["rate"]), (Some(10), &Value::Null), "{stderr}");
    assert!(stderr.contains("failed<1%") && found["answer"]["below"].is_number(), "{stderr}");
    assert_eq!((&found["slo"], &found["promises"][1]["is_implied"]), (&Value::from(vec!["p99<10s"]), &true.into()));
}

#[test]
fn a_promise_that_no_rate_keeps_is_reported() {
    let mut find = gorgon();
    find.arg("find").arg(guest("hello")).args([
        "--slo",
        "max<1ns",
        "--from",
        "1/s",
        "--probe",
        "1s",
        "--probe-max",
        "1s",
    ]);
    let output = find.output().expect("gorgon starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(10), "{text}");
    assert!(
        text.contains("no rate keeps the promise") && text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

#[test]
fn a_search_ends_with_its_budget() {
    let mut find = gorgon();
    find.arg("find").arg(guest("hello")).args(["--slo", "p99<10s", "--probe", "1s", "--budget", "4s", "--json", "-"]);
    let output = find.output().expect("gorgon starts");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    validate(&found);
    assert_eq!((&found["answer"]["is_cut_short"], &found["budget_ns"]), (&true.into(), &4_000_000_000_u64.into()));
    let lasted: u64 = found["probes"].as_array().unwrap().iter().filter_map(|probe| probe["lasting_ns"].as_u64()).sum();
    assert!((1..=4_000_000_000).contains(&lasted), "{found:#}");
}

/// A search in which every rate keeps its promise, but some workers are killed: those whose index, counted over all
/// workers of the search, satisfies `is_killed`.
fn with_killed_workers(args: &[&str], is_killed: impl Fn(usize) -> bool) -> (Option<i32>, Value, String) {
    let mut find = gorgon();
    find.arg("find").arg(guest("hello")).args(["--slo", "p50<10s", "--probe", "1s", "--probe-max", "1s"]);
    find.args(["--json", "-"]).args(args);
    find.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut find = find.spawn().expect("gorgon starts");
    let mut seen: Vec<u32> = Vec::new();
    wait_until("it ends", || {
        for worker in workers(&find) {
            let comm = std::fs::read_to_string(format!("/proc/{worker}/comm")).unwrap_or_default();
            if comm.trim() == "gorgon running" && !seen.contains(&worker) {
                if is_killed(seen.len()) {
                    // The worker may have ended already.
                    let kill = std::process::Command::new("kill").args(["-9", &worker.to_string()]).output();
                    kill.expect("kill starts");
                }
                seen.push(worker);
            }
        }
        find.try_wait().expect("it can be waited for").is_some()
    });
    let output = find.wait_with_output().expect("it has ended");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    validate(&found);
    (output.status.code(), found, stderr)
}

#[test]
fn a_probe_in_which_a_worker_died_is_void_and_repeated() {
    let (code, found, stderr) =
        with_killed_workers(&["--from", "20/s", "--to", "20/s", "-p", "2"], |before| before == 0);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(found["answer"]["rate"], 20.0);
    assert_eq!((found["probes"].as_array().map(Vec::len), found["void"].as_array().map(Vec::len)), (Some(2), Some(1)));
    assert_eq!(found["void"][0]["faults"][0]["kind"], "worker_died");
    assert!(stderr.contains("void, to be run again: worker process"), "{stderr}");
}

#[test]
fn a_search_whose_workers_keep_dying_is_given_up() {
    let (code, found, stderr) = with_killed_workers(&["--from", "20/s", "--to", "20/s", "-p", "2"], |_| true);
    assert_eq!(code, Some(11), "{stderr}");
    assert_eq!((&found["answer"], &found["is_given_up"]), (&Value::Null, &Value::Bool(true)));
    assert!(found["probes"].as_array().is_some_and(Vec::is_empty), "{found:#}");
}
