//! Compares the reports of real runs.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::{gorgon, guest, run, validate};

/// Writes a report to `file`: five short runs of a computing task whose operations take `factor` times as long.
fn measure(file: &Path, factor: &str, args: &[&str]) {
    let factor = format!("GORGON_FACTOR={factor}");
    let mut all = vec!["-n", "200", "--env", "GORGON_SPIN=20000", "--env", &factor];
    all.extend(["1x1"; 5].iter().flat_map(|shape| ["--shape", shape]));
    all.extend(args);
    let ran = run(&guest("waiter"), &all);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    fs::write(file, ran.report.to_string()).unwrap();
}

fn compare(folder: &Path, args: &[&str]) -> Output {
    gorgon().arg("compare").args(args).current_dir(folder).output().unwrap()
}

fn complaint(folder: &Path, args: &[&str]) -> String {
    let output = compare(folder, args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{stderr}");
    stderr
}

/// Parses a comparison after checking it against its schema.
fn checked(json: &[u8]) -> Value {
    let comparison = serde_json::from_slice(json).unwrap();
    validate(&comparison);
    comparison
}

#[test]
fn a_task_that_takes_three_times_as_long_is_slower() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    measure(&file("a.json"), "1", &[]);
    measure(&file("b.json"), "3", &[]);

    let output = compare(folder.path(), &["a.json", "b.json", "--fail-if-slower", "20%", "--json", "-"]);
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
    let comparison = checked(&output.stdout);
    let pairs = comparison["pairs"].as_array().unwrap();
    assert_eq!((pairs.len(), pairs[0]["a"]["runs"].as_array().unwrap().len()), (1, 5));
    assert_eq!(pairs[0]["figures"][0]["finding"], "slower");
    assert_eq!(comparison["fail_if_slower"]["held"], true);

    // The other way round B is faster, which does not fail. The words go to stdout and the figures to a file.
    let output = compare(folder.path(), &["b.json", "a.json", "--fail-if-slower", "0%", "--json", "c.json"]);
    let words = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && words.contains("B is faster: its median is shorter by "), "{words}");
    let comparison = checked(&fs::read(file("c.json")).unwrap());
    assert_eq!(comparison["schema"], "gorgon.compare/1");

    // Files that are joined by commas are one side.
    let output = compare(folder.path(), &["a.json,a.json", "b.json", "--json", "-"]);
    let comparison = checked(&output.stdout);
    assert_eq!(comparison["pairs"][0]["a"]["runs"].as_array().unwrap().len(), 10);
}

#[test]
fn a_file_that_is_not_a_report_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    measure(&file("a.json"), "1", &[]);
    measure(&file("other.json"), "1", &["--timeout", "5s", "--recycle", "50"]);
    let report = fs::read_to_string(file("a.json")).unwrap();
    fs::write(file("text"), "hello").unwrap();
    fs::write(file("half.json"), &report[..report.len() / 2]).unwrap();
    fs::write(file("next.json"), report.replace("gorgon.report/1", "gorgon.report/2")).unwrap();
    fs::write(file("stopped.json"), report.replace("\"partial\":false,\"runs\"", "\"partial\":true,\"runs\"")).unwrap();
    for (name, problem) in [
        ("none.json", "cannot read the report `none.json`: No such file"),
        ("text", "cannot compare `text`: it is not a report of gorgon: `gorgon run TASK.wasm --json FILE` writes one"),
        ("half.json", "cannot compare `half.json`: the report cannot be read"),
        ("next.json", "its format is `gorgon.report/2`, but this gorgon reads `gorgon.report/1`"),
        ("stopped.json", "`stopped.json` is partial"),
        ("other.json", "have different plans (recycle: null and 50; timeout_ns: 60000000000 and 5000000000)"),
    ] {
        let complaint = complaint(folder.path(), &["a.json", name]);
        assert!(complaint.contains(problem), "{complaint}");
    }
    let forced = compare(folder.path(), &["a.json", "other.json", "--force"]);
    let words = String::from_utf8(forced.stdout).unwrap();
    assert!(forced.status.success() && words.contains("the plans differ: recycle: null and 50"), "{words}");
}

#[test]
fn a_single_very_short_run_cannot_be_compared() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&guest("hello"), &["-n", "100"]);
    fs::write(folder.path().join("a.json"), ran.report.to_string()).unwrap();
    let complaint = complaint(folder.path(), &["a.json", "a.json"]);
    assert!(
        complaint.contains("`a.json`, run 1 has 1 interval of 250 ms") && complaint.contains("4.00 s"),
        "{complaint}"
    );
}

#[test]
fn verdicts_judge_spans_results_and_the_worst_interval() {
    let users = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/spans/users.csv");
    let expressions = ["span(sign in).p97.5>1ns", "result(nobody)>0", "worst(throughput, 1h)<1", "lag.p99>0"];
    let mut args = vec!["-n", "200", "--data", users];
    args.extend(expressions.iter().flat_map(|expression| ["--fail-if", expression]));
    let ran = run(&guest("spans"), &args);
    let verdicts = ran.report["verdicts"].as_array().unwrap();
    let held: Vec<_> = verdicts.iter().map(|verdict| verdict["held"] == true).collect();
    assert_eq!((held, ran.code), (vec![true, false, false, false], Some(10)), "{verdicts:?}");
    assert!(verdicts[3]["value"].is_null(), "a closed run has no lag");
}
