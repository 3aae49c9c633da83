//! Memory stays bounded in the number of operations, threads and results.

use crate::support::{gorgon, guest, run};

const MIB: u64 = 1 << 20;

fn peak(args: &[&str], task: &str) -> u64 {
    let ran = run(&guest(task), args);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let workers = ran.adds_up().report["runs"][0]["workers"].as_array().cloned().unwrap_or_default();
    workers.iter().map(|worker| worker["peak_rss_bytes"].as_u64().unwrap_or_default()).sum()
}

#[test]
fn memory_does_not_grow_with_the_number_of_operations() {
    let (few, many) = (peak(&["-n", "100000"], "noop"), peak(&["-n", "3000000"], "noop"));
    assert!(many <= few + 3 * MIB, "{few} bytes for 10^5 operations, {many} for 3 x 10^6");
}

#[test]
fn a_thousand_threads_fit() {
    let peak = peak(&["-n", "20000", "-p", "2", "-t", "500"], "noop");
    assert!(peak < 400 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn a_thousand_results_on_forty_threads_fit() {
    let peak = peak(&["-n", "400000", "-p", "4", "-t", "10"], "results");
    assert!(peak < 300 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn ten_thousand_operations_wait_in_one_process() {
    let wait = ["--env", "GORGON_WAIT_US=500000"];
    let ran = run(&guest("waiter"), &[&["-n", "20000", "-c", "10000"][..], &wait].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let workers = ran.adds_up().report["runs"][0]["workers"].as_array().cloned().unwrap_or_default();
    let peak = workers[0]["peak_rss_bytes"].as_u64().unwrap_or_default();
    // `docs/src/languages.md` and the FAQ say how much each takes.
    assert!(peak < 800 * MIB, "{} MiB", peak / MIB);
}

#[test]
fn more_threads_than_there_is_room_for_are_refused_before_the_start() {
    let allowed = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let allowed: u64 = allowed.trim().parse().unwrap();
    let output = gorgon().arg("run").arg(guest("noop")).args(["-n", "20000", "-t", "10000"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if allowed < 90_000 {
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("10000 threads in a process take about ") && said.contains("use more processes"),
            "{said}"
        );
    } else {
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
}
