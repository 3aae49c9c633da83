//! The task that misbehaves in every way: the run goes on, counts stay exact, memory stays bounded, and the report
//! shows it.

use crate::support::{gorgon, guest, run};

/// The result and the outcome of every way, except the one that returns a new string each time.
const WAYS: [(&str, &str); 11] = [
    ("fine", "ok"),
    ("trap: unreachable", "trapped"),
    ("timeout", "timed_out"),
    ("timeout", "timed_out"),
    ("trap: out of memory", "trapped"),
    ("trap: stack overflow", "trapped"),
    ("xxxxxxxx", "ok"),
    ("timeout", "timed_out"),
    ("trap: exit 1", "trapped"),
    ("flooded", "ok"),
    ("failed", "failed"),
];

#[test]
fn every_way_is_counted_and_the_run_goes_on() {
    const ROUNDS: u64 = 3;
    // This is long enough for the slowest way that ends, which counts 100,000 spans, on a busy machine.
    let n = (12 * ROUNDS).to_string();
    let limits = ["--timeout", "2s", "--max-memory", "64MiB"];
    let ran = run(&guest("misbehave"), &[&["-n", &n, "-p", "2", "-t", "2"][..], &limits].concat());
    assert_eq!((ran.adds_up().code, ran.figure("/operations/completed")), (Some(0), 12 * ROUNDS), "{}", ran.stderr);
    let results = ran.results();
    for (result, outcome) in WAYS {
        let expected = ROUNDS * WAYS.iter().filter(|way| **way == (result, outcome)).count() as u64;
        let found: u64 =
            results.iter().filter(|(r, o, _)| r.starts_with(result) && o == outcome).map(|(_, _, n)| n).sum();
        assert_eq!(found, expected, "{result} {outcome}: {results:?}");
    }
    assert_eq!(results.iter().filter(|(r, _, _)| r.starts_with("result ")).count() as u64, ROUNDS);
    let longest = results.iter().map(|(r, _, _)| r.len()).max();
    assert!(longest <= Some(256), "{longest:?}");

    let flooded =
        ran.report["runs"][0]["results"].as_array().unwrap().iter().find(|r| r["result"] == "flooded").unwrap();
    let spans = flooded["spans"].as_array().unwrap();
    assert!(spans.len() <= 101, "{}", spans.len());
    assert_eq!(spans.iter().map(|span| span["count"].as_u64().unwrap()).sum::<u64>(), 100_000 * ROUNDS);
    let failed = ran.report["runs"][0]["results"].as_array().unwrap().iter().find(|r| r["result"] == "failed").unwrap();
    assert_eq!(failed["reasons"], serde_json::json!({"reason 0": ROUNDS}));

    let printed = ran.stderr.lines().filter(|line| line.ends_with(" prints")).count();
    assert!((1..200_000).contains(&printed), "{printed}");
    assert!(ran.stderr.contains("the task printed too much"), "the message that output was cut is missing");
    for worker in ran.report["runs"][0]["workers"].as_array().unwrap() {
        let peak = worker["peak_rss_bytes"].as_u64().unwrap();
        assert!(peak < 400 << 20, "{peak} bytes");
    }
}

#[test]
fn the_report_has_a_command_that_repeats_each_failure() {
    let limits = ["--timeout", "300ms", "--max-memory", "64MiB"];
    let ran = run(&guest("misbehave"), &[&["-n", "12"][..], &limits].concat());
    let results = ran.report["runs"][0]["results"].as_array().unwrap();
    for result in results {
        let Some(command) = result["reproduce"].as_str() else {
            assert_eq!(result["outcome"], "ok");
            continue;
        };
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(words[0], "gorgon");
        let mut again = gorgon();
        let output = again.args(&words[1..]).output().unwrap();
        assert_eq!(output.status.code(), Some(10), "{command}");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = format!("{}  {}", result["first_number"], result["result"].as_str().unwrap());
        assert!(shown.starts_with(&line), "{command}: {shown}");
    }
}
