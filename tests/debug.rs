//! `gorgon test` and `gorgon inspect`: a close look at one task.

use std::path::Path;
use std::process::Output;

use crate::support::{gorgon, guest, operation, wat};

fn test(task: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = gorgon().arg("test").arg(task).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code(), text(&stdout), text(&stderr))
}

#[test]
fn every_operation_is_shown() {
    let (code, shown, _) = test(&guest("hash"), &["-n", "5", "--number", "2"]);
    assert_eq!(code, Some(0));
    let lines: Vec<_> = shown.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    assert_eq!(lines[..5], ["SUCCESS", "SUCCESS", "FAIL", "SUCCESS", "SUCCESS"], "{shown}");
    assert!(shown.starts_with("2  ") && shown.ends_with("5 operations: 5 ok, 0 not\n"), "{shown}");
}

#[test]
fn an_unexpected_result_exits_with_ten() {
    let (code, shown, _) = test(&guest("hash"), &["-n", "5", "--expect", "SUCCESS"]);
    assert_eq!(code, Some(10));
    assert!(shown.contains("4  FAIL  failed  ") && shown.contains("does not match --expect SUCCESS"), "{shown}");
}

#[test]
fn a_panic_message_comes_before_its_backtrace() {
    let (code, shown, heard) = test(&guest("misbehave"), &["--number", "1"]);
    assert_eq!(code, Some(10));
    assert!(heard.contains("panicked at") && heard.contains("operation 1 panics"), "{heard}");
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[0].starts_with("1  trap: unreachable  trapped  "), "{shown}");
    // Names are demangled, and the innermost frame comes first, without those of the panic itself.
    assert_eq!(lines[1], "   0  misbehave::WAYS::{{closure}}", "{shown}");
    assert!(lines.last().unwrap().ends_with("  operation"), "{shown}");
}

#[test]
fn a_component_with_debug_information_names_its_lines() {
    let (code, shown, _) = test(&crate::support::debug_guest("misbehave"), &["--number", "1"]);
    assert_eq!(code, Some(10));
    assert!(shown.contains("examples/misbehave/src/lib.rs:"), "{shown}");
}

#[test]
fn hooks_and_spans_are_shown() {
    let users = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/spans/users.csv");
    let (code, shown, heard) = test(&guest("spans"), &["-n", "2", "--data", users.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{shown}");
    let first: Vec<_> = shown.lines().map(|line| line.trim_start().split("  ").next().unwrap()).collect();
    let operation = ["sign in", "search", "pay"];
    let expected = [&["prepare", "setup", "0"][..], &operation, &["1"], &operation].concat();
    assert_eq!(first[..9], expected[..9], "{shown}");
    assert_eq!(first.last(), Some(&"cleanup"), "{shown}");
    assert!(heard.contains("the winter season is over"), "{heard}");
}

#[test]
fn a_loop_and_a_wait_are_ended_by_the_timeout() {
    let endless = operation("(loop (br 0))");
    for (task, env) in [(endless.path(), "A=1"), (&guest("sleeper"), "GORGON_SLEEP_EVERY=1")] {
        let args = ["--timeout", "100ms", "--env", env, "--env", "GORGON_SLEEP_MS=100000"];
        let (code, shown, _) = test(task, &args);
        assert_eq!(code, Some(10));
        assert!(shown.contains("0  timeout  timed out  1"), "{shown}");
    }
}

#[test]
fn an_inspection_shows_the_lane_and_the_grants() {
    let inspect = |task: &Path| -> (Option<i32>, serde_json::Value) {
        let output = gorgon().arg("inspect").arg(task).arg("--json").output().unwrap();
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
    };
    let (code, spans) = inspect(&guest("spans"));
    assert_eq!(code, Some(0));
    assert_eq!(
        (&spans["lane"], &spans["operation"]),
        (&"io".into(), &"operation: func(u64) -> result<string, string>".into())
    );
    assert!(spans["lane_reason"].as_str().unwrap().contains("monotonic-clock.subscribe-"), "{spans}");
    assert_eq!(spans["hooks"], serde_json::json!(["prepare", "setup", "cleanup"]));
    let flags: Vec<_> = spans["grants"].as_array().unwrap().iter().map(|need| need["flag"].as_str().unwrap()).collect();
    assert!(flags.contains(&"--data FILE.csv"), "{flags:?}");

    let (code, hello) = inspect(&guest("hello"));
    assert_eq!((code, &hello["lane"], &hello["problem"]), (Some(0), &"compute".into(), &serde_json::Value::Null));

    for (task, wanted) in [("http", "--allow http://HOST[:PORT]"), ("sockets", "--allow tcp://HOST:PORT")] {
        let (_, task) = inspect(&guest(task));
        let flags: Vec<_> = task["grants"].as_array().unwrap().iter().map(|need| &need["flag"]).collect();
        assert!(flags.contains(&&wanted.into()), "{flags:?}");
        assert_eq!(task["lane"], "io");
    }

    let (code, other) = inspect(wat(r#"(component (import "x:y/z" (instance)))"#).path());
    assert_eq!((code, &other["operation"]), (Some(1), &serde_json::Value::Null));
    assert!(other["problem"].as_str().unwrap().contains("the task exports no function"), "{other}");
    assert_eq!(other["imports"][0]["name"], "x:y/z");
}
