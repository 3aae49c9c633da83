//! Everything around the operations: prepare, setup, teardown, cleanup, data, grants.

use std::path::Path;

use crate::support::{guest, run, wat};

#[test]
fn the_spans_example_shows_all_its_features() {
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/spans/users.csv");
    let ran = run(&guest("spans"), &["-n", "40", "-p", "2", "-t", "2", "--data", users.to_str().unwrap()]);
    ran.adds_up();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let results = ran.results();
    assert_eq!(results.iter().map(|(_, _, operations)| operations).sum::<u64>(), 40);
    assert!(results.iter().any(|(_, outcome, _)| outcome == "failed"));
    let spans = ran.report["runs"][0]["results"][0]["spans"].as_array().unwrap();
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sign in", "search", "pay"]);
    for span in spans {
        assert_eq!(span["count"], ran.report["runs"][0]["results"][0]["operations"]);
        assert!(span["latency_ns"]["max"].as_u64() <= Some(ran.figure("/latency_ns/max")));
    }
    assert!(ran.figure("/startup_ns/setup") > 0);
    assert!(ran.stderr.contains("the winter season is over"), "cleanup got what prepare returned: {}", ran.stderr);
}

#[test]
fn a_missing_data_file_is_reported_before_the_run() {
    let output = crate::support::gorgon().arg("run").arg(guest("spans")).args(["--data", "none.csv"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("cannot use the data file `none.csv`"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// The number of instances in a run of `args`, counted by completed setups and matching teardowns.
fn instances(args: &[&str]) -> usize {
    let ran = run(&guest("recorder"), &[&["-n", "20"], args].concat());
    assert_eq!(ran.adds_up().figure("/operations/completed"), 20);
    let lines = ran.stderr.lines().filter(|line| line.starts_with("saw ")).count();
    assert!(lines <= 20);
    lines
}

#[test]
fn an_instance_lasts_as_long_as_the_flags_say() {
    assert_eq!(instances(&["--fresh"]), 20);
    assert_eq!(instances(&["--recycle", "5"]), 4);
    assert_eq!(instances(&[]), 1);
}

/// A component whose `setup`, or another hook, returns an error.
fn failing(hook: &str) -> tempfile::NamedTempFile {
    let (params, core_params) =
        if hook == "cleanup" { ("(param \"prepared\" string)", "(param i32 i32)") } else { ("", "") };
    let ok = if hook == "prepare" { "string" } else { "" };
    wat(&format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                (data (i32.const 16) "ok")
                (data (i32.const 0) "\10\00\00\00\02\00\00\00")
                (data (i32.const 64) "\01\00\00\00\50\00\00\00\07\00\00\00")
                (data (i32.const 80) "no luck")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
                (func (export "operation") (param i64) (result i32) i32.const 0)
                (func (export "hook") {core_params} (result i32) i32.const 64))
            (core instance $i (instantiate $m))
            (func (export "operation") (param "n" u64) (result string)
                (canon lift (core func $i "operation") (memory (core memory $i "memory"))))
            (func (export "{hook}") {params} (result (result {ok} (error string)))
                (canon lift (core func $i "hook") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
    ))
}

#[test]
fn a_run_that_cannot_be_set_up_does_not_run() {
    for hook in ["prepare", "setup"] {
        let task = failing(hook);
        let output =
            crate::support::gorgon().arg("run").arg(task.path()).args(["-p", "2", "-t", "3"]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&format!("the task's `{hook}` failed: no luck")), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn a_hook_that_fails_after_the_operations_is_a_fault() {
    for hook in ["teardown", "cleanup"] {
        let ran = run(failing(hook).path(), &["-n", "10"]);
        assert_eq!(ran.adds_up().figure("/operations/ok"), 10);
        assert_eq!(ran.report["runs"][0]["faults"][0]["kind"], hook);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
}

#[test]
fn a_task_has_the_directories_it_was_granted_and_no_others() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in.txt"), "this").unwrap();
    let grant = format!("{}::/data", directory.path().display());
    for (grants, result, is_written) in [
        (vec![], "read no, written no, outside no", false),
        (vec!["--dir".to_owned(), grant.clone()], "read this, written no, outside no", false),
        (vec!["--dir".to_owned(), format!("{grant}:rw")], "read this, written yes, outside no", true),
    ] {
        let args: Vec<&str> = grants.iter().map(String::as_str).collect();
        let ran = run(&guest("files"), &args);
        assert_eq!(ran.results(), [(result.to_owned(), "ok".to_owned(), 1)], "{args:?}");
        assert_eq!(directory.path().join("out.txt").exists(), is_written);
        assert_eq!(ran.report["runs"][0]["plan"]["dirs"].as_array().unwrap().len(), args.len() / 2);
    }
}
