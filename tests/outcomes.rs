//! How operations end: every outcome is counted, and the run goes on.

use crate::support::{guest, operation, operation_with_data, run, wat};

/// Asserts the report on a task whose every third operation has this body.
fn assert_every_third(body: &str, args: &[&str], outcome: &str, result: &str) {
    let every_third = format!("(if (i64.eqz (i64.rem_u (local.get $n) (i64.const 3))) (then {body}))");
    let task = operation(&every_third);
    let ran = run(task.path(), &[&["-n", "9", "-t", "2"], args].concat());
    let results = ran.adds_up().results();
    assert_eq!(
        results,
        [("ok".into(), "ok".into(), 6), (result.into(), outcome.into(), 3)],
        "{body}: {:#}",
        ran.report["runs"][0]["results"]
    );
    assert_eq!(ran.figure("/results/1/first_number"), 0);
    assert_eq!(ran.code, Some(0), "a guest's failure is data, not a failed run");
}

#[test]
fn traps_are_results_and_the_run_goes_on() {
    assert_every_third("unreachable", &[], "trapped", "trap: unreachable");
    assert_every_third("(drop (call $deep (i32.const 1)))", &[], "trapped", "trap: stack overflow");
    assert_every_third(
        "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
        &[],
        "trapped",
        "trap: integer divide by zero",
    );
    assert_every_third("(drop (i32.load (i32.const -8)))", &[], "trapped", "trap: out of bounds memory access");
}

#[test]
fn a_trap_has_the_last_words_of_the_guest_and_they_are_printed_once() {
    let args = ["-n", "9", "-t", "2", "--env", "TEXT=no user 7", "--", "panic"];
    let ran = run(&guest("hostile"), &args);
    let result = &ran.adds_up().report["runs"][0]["results"][0];
    assert_eq!((&result["result"], &result["operations"]), (&"trap: unreachable".into(), &9.into()));
    let reasons: Vec<_> = result["reasons"].as_object().unwrap().iter().collect();
    let is_told = |(reason, times): &(&String, &serde_json::Value)| {
        reason.starts_with("no user 7 (tests/guests/hostile/src/lib.rs:") && **times == 9
    };
    assert!(reasons.len() == 1 && is_told(&reasons[0]), "{reasons:?}");
    let printed = ran.stderr.lines().filter(|line| *line == "no user 7").count();
    assert_eq!((printed, ran.stderr.contains("printed 9 times: no user 7\n")), (1, true), "{}", ran.stderr);
}

#[test]
fn an_endless_loop_is_ended_by_the_timeout() {
    let every = "(if (i64.eqz (i64.rem_u (local.get $n) (i64.const 3))) (then (loop (br 0))))";
    let task = operation(every);
    let ran = run(task.path(), &["-n", "9", "--timeout", "100ms"]);
    assert_eq!(ran.adds_up().results(), [("ok".into(), "ok".into(), 6), ("timeout".into(), "timed_out".into(), 3)]);
    let slowest = ran.figure("/results/1/latency_ns/max");
    assert!((100_000_000..1_000_000_000).contains(&slowest), "{slowest}");
}

#[test]
fn a_wait_is_ended_by_the_timeout() {
    let env = ["--env", "GORGON_SLEEP_EVERY=5", "--env", "GORGON_SLEEP_MS=60000"];
    let ran = run(&guest("sleeper"), &[&["-n", "10", "-t", "2", "--timeout", "200ms"][..], &env].concat());
    assert_eq!(ran.adds_up().results(), [("ok".into(), "ok".into(), 8), ("timeout".into(), "timed_out".into(), 2)]);
}

#[test]
fn a_task_that_asks_for_too_much_memory_is_out_of_memory() {
    let grow = "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable))";
    let every_third = format!("(if (i64.eqz (i64.rem_u (local.get $n) (i64.const 3))) (then {grow}))");
    let ran = run(operation(&every_third).path(), &["-n", "9", "--max-memory", "1MiB"]);
    let out_of_memory = ("trap: out of memory".to_owned(), "trapped".to_owned(), 3);
    assert_eq!(ran.adds_up().results(), [("ok".into(), "ok".into(), 6), out_of_memory]);
    assert_eq!(
        ran.report["runs"][0]["results"][1]["reasons"],
        serde_json::json!({"it asked for more than --max-memory 1.0 MiB allows": 3})
    );
}

#[test]
fn a_guest_may_survive_being_refused_memory() {
    let ran = run(operation("(drop (memory.grow (i32.const 100)))").path(), &["-n", "9", "--max-memory", "1MiB"]);
    assert_eq!(ran.adds_up().results(), [("ok".into(), "ok".into(), 9)]);
}

/// A component whose operation returns a result: `err` for every fourth number.
const FALLIBLE: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (data (i32.const 32) "no")
        (data (i32.const 40) "yes")
        (func (export "operation") (param $n i64) (result i32)
            (if (i64.eqz (i64.rem_u (local.get $n) (i64.const 4)))
                (then (i32.store (i32.const 0) (i32.const 1))
                      (i32.store (i32.const 4) (i32.const 32))
                      (i32.store (i32.const 8) (i32.const 2)))
                (else (i32.store (i32.const 0) (i32.const 0))
                      (i32.store (i32.const 4) (i32.const 40))
                      (i32.store (i32.const 8) (i32.const 3))))
            i32.const 0))
    (core instance $i (instantiate $m))
    (func (export "try-it") (param "n" u64) (result (result string (error string)))
        (canon lift (core func $i "operation") (memory (core memory $i "memory")))))"#;

#[test]
fn an_err_is_a_failed_operation_whose_text_is_the_result() {
    let task = wat(FALLIBLE);
    let ran = run(task.path(), &["-n", "100", "-t", "3", "--operation-name", "try-it"]);
    assert_eq!(ran.adds_up().results(), [("yes".into(), "ok".into(), 75), ("no".into(), "failed".into(), 25)]);
    assert_eq!(ran.report["runs"][0]["task"]["operation"], "try-it");
}

#[test]
fn an_unexpected_result_is_a_failed_operation() {
    let ran = run(&guest("hash"), &["-n", "100", "-p", "2", "--expect", "^SUCCESS$", "--fail-if", "failed>=20%"]);
    assert_eq!(ran.adds_up().results(), [("SUCCESS".into(), "ok".into(), 80), ("FAIL".into(), "failed".into(), 20)]);
    let reason = serde_json::json!({"the result does not match --expect ^SUCCESS$": 20});
    assert_eq!(ran.report["runs"][0]["results"][1]["reasons"], reason);
    assert_eq!(ran.report["verdicts"][0]["held"], true);
    assert_eq!(ran.report["verdicts"][0]["value"], 0.2);
    assert_eq!(ran.code, Some(10));
}

#[test]
fn a_verdict_that_does_not_hold_fails_nothing() {
    let ran = run(&guest("hello"), &["-n", "10", "--fail-if", "p99>10s", "--fail-if", "p99.9>10s"]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(ran.report["verdicts"][0]["held"], false);
    let verdict = &ran.report["verdicts"][1];
    assert_eq!(verdict["value"], serde_json::Value::Null, "there is no p99.9 of ten operations");
    assert_eq!((&verdict["judged_by"], &verdict["samples"]), (&"maximum".into(), &10.into()));
}

#[test]
fn what_never_occurred_fails_a_run_unless_that_is_accepted() {
    let args =
        |missing| ["-n", "10", "--fail-if", "result(eve).p99>10s", "--fail-if", "result(500)>0", "--missing", missing];
    let ran = run(&guest("hello"), &args("fail"));
    assert_eq!((ran.code, &ran.report["verdicts"][0]["failed"]), (Some(10), &true.into()));
    let failed = "gorgon: failed: result(eve).p99 cannot be judged, limit 10 s: no operation had the result `eve`; the nearest that \
                  occurred is `even`; --missing pass accepts that";
    assert!(ran.stderr.contains(failed), "{}", ran.stderr);
    assert_eq!(ran.report["verdicts"][1]["value"], 0.0);
    assert_eq!(run(&guest("hello"), &args("pass")).code, Some(0));
}

#[test]
fn a_run_in_which_no_operation_was_ok_fails_and_says_so_first() {
    let task = operation("unreachable");
    let ran = run(task.path(), &["-n", "5"]);
    assert_eq!((ran.code, ran.report["verdicts"][0]["origin"].as_str()), (Some(10), Some("built_in")));
    let output = crate::support::gorgon().arg("run").arg(task.path()).args(["-n", "5"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(10) && said.starts_with("✗ no operation was ok"), "{said}");
}

#[test]
fn a_short_run_is_judged_by_abort_if_at_its_end() {
    let ran = run(&guest("hello"), &["-n", "10", "--abort-if", "ok>5", "--abort-if", "throughput<1"]);
    let verdicts: Vec<_> = (0..2).map(|i| ran.report["verdicts"][i]["held"].as_bool()).collect();
    assert_eq!((ran.code, verdicts), (Some(10), vec![Some(true), Some(false)]));
}

#[test]
fn a_report_is_judged_again() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("r.json");
    let args = ["-n", "10", "--fail-if", "p99>10s", "--json"];
    let code =
        crate::support::gorgon().arg("run").arg(guest("hello")).args(args).arg(&json).output().unwrap().status.code();
    assert_eq!(code, Some(0));
    let again = |args: &[&str]| crate::support::gorgon().arg("report").arg(&json).args(args).output().unwrap();
    for (args, code) in [
        (&[][..], 0),
        (&["--fail-if", "ok<11"], 10),
        (&["--fail-if", "ok<10"], 0),
        (&["--fail-if", "span(x).p99>1s"], 10),
        (&["--fail-if", "span(x).p99>1s", "--missing", "pass"], 0),
    ] {
        assert_eq!(again(args).status.code(), Some(code), "{args:?}");
    }
    let quiet = again(&["--quiet", "--fail-if", "ok<11"]);
    assert!(quiet.stdout.is_empty());
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "gorgon: failed: ok 10, at least 11\n");
}

#[test]
fn an_edited_report_is_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("r.json");
    let ran = run(&guest("hello"), &["-n", "400", "--rate", "1000/s"]);
    let judged = |edit: &dyn Fn(&mut serde_json::Value), more: &[&str]| {
        let mut report = ran.report.clone();
        edit(&mut report);
        std::fs::write(&json, report.to_string()).unwrap();
        let args = [&["r.json", "--quiet", "--fail-if", "ok<5"], more].concat();
        let output = crate::support::gorgon().arg("report").args(args).current_dir(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(judged(&|_| {}, &[]), (Some(0), String::new()));
    for (place, value, problem) in [
        ("/runs/0/throughput", 1e6.into(), "`runs[0].throughput` is 1000000, and not 400 operations in"),
        ("/runs/0/operations/ok", 5.into(), "`runs[0].operations.completed` is 400, and not ok + failed"),
        ("/runs/0/operations/offered", 4_000.into(), "`runs[0].operations.offered` is 4000, and not completed"),
        ("/runs/0/results/0/operations", 1.into(), "`runs[0].results"),
        ("/runs/0/latency_ns/max", 1.into(), "`runs[0].latency_ns.p99` is"),
        ("/runs", serde_json::json!([]), "`total.operations.offered` is 400, and not that of the 0 runs"),
    ] {
        let (code, said) = judged(&|report| *report.pointer_mut(place).unwrap() = value.clone(), &[]);
        assert!(code == Some(1) && said.contains(problem) && said.lines().count() == 1, "{place}: {code:?} {said}");
    }
    let partial = |report: &mut serde_json::Value| report["partial"] = true.into();
    let warning = "gorgon: warning: `r.json` is partial, as a run did not reach the end of its plan: its figures until then are judged\n";
    assert_eq!(judged(&partial, &[]), (Some(0), warning.to_owned()));
}

#[test]
fn a_report_without_an_operation_that_ended_is_judged() {
    let folder = tempfile::tempdir().unwrap();
    let env = ["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=60000"];
    let ran = run(&guest("sleeper"), &[&["-d", "100ms", "--timeout", "200ms", "-t", "2"][..], &env].concat());
    std::fs::write(folder.path().join("r.json"), ran.report.to_string()).unwrap();
    let mut report = crate::support::gorgon();
    let output = report.args(["report", "r.json", "--quiet", "--fail-if", "failed>0"]).current_dir(folder.path());
    let output = output.output().unwrap();
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_direction_that_is_nearly_always_a_mistake_is_warned_about() {
    let args = ["-n", "10", "--shape", "1x1", "--shape", "1x1", "--fail-if", "p50<1ns", "--fail-if", "p50>10s"];
    let advice = "`p50<1ns` fails a run that is fast: if slow is bad, write `p50>1ns`";
    let output = crate::support::gorgon().arg("run").arg(guest("hello")).args(args).output().unwrap();
    let (text, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stderr.matches(advice).count(), 1, "{stderr}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(text.matches(&format!("! {advice}")).count(), 1, "{text}");
    let ran = run(&guest("hello"), &["-n", "10", "--fail-if", "p50<1ns", "--fail-if", "p50>10s"]);
    assert_eq!((&ran.report["verdicts"][0]["advice"], ran.code), (&advice.into(), Some(0)));
    assert!(ran.report["verdicts"][1]["advice"].is_null());
}

#[test]
fn a_thousand_results_are_kept_and_more_are_folded() {
    let ran = run(&guest("results"), &["-n", "20000", "-p", "2", "-t", "4"]);
    let results = ran.adds_up().results();
    assert_eq!(results.len(), 1_000);
    assert!(results.iter().all(|(_, _, operations)| *operations == 20));
    assert_eq!(ran.figure("/folded"), 0);

    // Which results are folded depends on when they were counted: a result that is kept in the end may have been folded
    // at first.
    let ran = run(&guest("results"), &["-n", "3000", "--", "1500"]);
    let results = ran.adds_up().results();
    assert_eq!((results.len(), results[0].0.as_str()), (1_001, "(other)"));
    assert!((1_000..2_000).contains(&results[0].2), "{:?}", results[0]);
    assert_eq!(ran.figure("/folded"), results[0].2);
}

#[test]
fn compiling_a_large_task_is_announced_and_done_once() {
    let bytes = "x".repeat(2 << 20);
    let task = operation_with_data(&bytes);
    let cache = tempfile::tempdir().unwrap();
    let run = || {
        let mut gorgon = crate::support::gorgon();
        gorgon.env("XDG_CACHE_HOME", cache.path()).arg("run").arg(task.path()).args(["--json", "-"]);
        crate::support::ran(gorgon.output().unwrap())
    };
    let (first, second) = (run(), run());
    assert!(first.stderr.starts_with("compiling ") && first.stderr.contains("2.1 MB"), "{}", first.stderr);
    assert_eq!(second.stderr, "");
    let cached = |ran: &crate::support::Ran| ran.report["runs"][0]["startup_ns"]["cached"].as_bool();
    assert_eq!((cached(&first), cached(&second)), (Some(false), Some(true)));
}
