//! Memory stays bounded in the number of operations, threads and results.

use crate::support::{guest, run};

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
