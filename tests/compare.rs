//! Compares the reports of real runs.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::support::servers::demo;
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

    // Files that are joined by commas are one side, in which a run counts once.
    let complaint = complaint(folder.path(), &["a.json,a.json", "b.json"]);
    assert!(complaint.contains("`a.json`, run 1 and `a.json`, run 1 are the same run"), "{complaint}");
    let output = compare(folder.path(), &["a.json,a.json", "b.json", "--force", "--json", "-"]);
    let comparison = checked(&output.stdout);
    assert_eq!(comparison["pairs"][0]["a"]["runs"].as_array().unwrap().len(), 10);
}

/// The rows of the table in the text: a name, two values, the difference, the interval and, if there is one, the
/// finding.
fn rows_of_text(text: &str) -> Vec<Vec<String>> {
    let table = text.lines().skip_while(|line| !line.contains("difference")).skip(1);
    let rows = table.take_while(|line| !line.starts_with("intervals: "));
    let gap = regex::Regex::new("  +").unwrap();
    rows.map(|row| gap.split(row).map(str::to_owned).collect()).collect()
}

/// The same in the page.
fn rows_of_page(page: &str) -> Vec<Vec<String>> {
    let row = regex::Regex::new(r#"(?s)<tr class="\w+" data-figure="(\w+)">(.*?)</tr>"#).unwrap();
    let cell = regex::Regex::new(r#"<td class="(?:value|difference|interval|finding)">([^<]*)</td>"#).unwrap();
    let rows = row.captures_iter(page).map(|row| {
        let cells = cell.captures_iter(row.get(2).unwrap().as_str()).map(|cell| unescaped(&cell[1]));
        std::iter::once(row[1].to_owned()).chain(cells).filter(|cell| !cell.is_empty()).collect()
    });
    rows.collect()
}

fn unescaped(html: &str) -> String {
    html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// The text of a page, without its marks.
fn words_of_page(page: &str) -> String {
    let marks = regex::Regex::new("<[^>]*>").unwrap();
    unescaped(&marks.replace_all(page, ""))
}

/// Whether `shown`, a figure with its unit, is `exact` to the last digit that it shows. `exact` is in the unit of the
/// JSON: nanoseconds, operations per second, or a share.
fn is_shown(exact: f64, shown: &str) -> bool {
    let units = [("%", 0.01), ("points", 0.01), ("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("/s", 1.0)];
    let shown = shown.replace(',', "").replace("/s", " /s");
    let (number, unit) = shown.rsplit_once(' ').unwrap();
    let (_, unit) = units.into_iter().find(|(name, _)| *name == unit).unwrap();
    let (sign, number) = (if number.starts_with('-') { -1.0 } else { 1.0 }, number.trim_start_matches(['+', '-']));
    if let Some(bound) = number.strip_prefix('>') {
        return exact * sign > bound.parse::<f64>().unwrap() * unit;
    }
    if let Some(bound) = number.strip_prefix('<') {
        return (0.0..bound.parse::<f64>().unwrap() * unit).contains(&(exact * sign));
    }
    let digits = number.split_once('.').map_or(0, |(_, digits)| digits.len());
    let half = 0.5 * 10_f64.powi(-(digits as i32)) * unit;
    (number.parse::<f64>().unwrap() * sign * unit - exact).abs() <= half * (1.0 + 1e-6)
}

#[test]
fn text_json_and_page_of_pooled_sides_agree_to_the_digit() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    // A is apart from B by far, so a figure that is cut to a bound or belongs to another pair of files shows.
    for (name, factor) in [("a1.json", "1"), ("a2.json", "1"), ("b1.json", "30"), ("b2.json", "20")] {
        measure(&file(name), factor, &[]);
    }
    let args =
        ["a1.json,a2.json", "b1.json,b2.json", "--json", "c.json", "--html", "c.html", "--fail-if-slower", "10%"];
    let output = compare(folder.path(), &args);
    assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let page = fs::read_to_string(file("c.html")).unwrap();
    let comparison = checked(&fs::read(file("c.json")).unwrap());
    let pair = &comparison["pairs"][0];

    let (rows, in_page) = (rows_of_text(&text), rows_of_page(&page));
    assert_eq!(rows, in_page, "{text}");
    let figures = pair["figures"].as_array().unwrap();
    assert_eq!(rows.len(), figures.len());
    let number = |value: &Value| value.as_f64().unwrap();
    for (row, figure) in rows.iter().zip(figures) {
        assert_eq!(row[0], figure["figure"].as_str().unwrap());
        assert!(
            is_shown(number(&figure["a"]), &row[1]) && is_shown(number(&figure["b"]), &row[2]),
            "{row:?}: {figure}"
        );
        let change = &figure["change"];
        let (low, high) = row[4].split_once(" to ").unwrap();
        let low = if low.contains(' ') { low.to_owned() } else { format!("{low} points") };
        for (name, shown) in [("measured", row[3].as_str()), ("low", low.as_str()), ("high", high)] {
            assert!(is_shown(number(&change[name]), shown), "{name} in {row:?}: {figure}");
        }
        let finding = figure["finding"].as_str().unwrap().replace('_', " ");
        assert_eq!(row.get(5).map_or("nothing", String::as_str), finding);
    }
    assert!(number(&figures[0]["change"]["measured"]) > 3.0, "{text}");

    // The same sentences, wrapped in the text, and with a capital in the page.
    let (unwrapped, words) = (text.split_whitespace().collect::<Vec<_>>().join(" "), words_of_page(&page));
    let sentences =
        pair["notes"].as_array().unwrap().iter().chain([&pair["sentence"]]).map(|text| text.as_str().unwrap());
    for sentence in sentences {
        let (first, rest) = sentence.split_at(1);
        assert!(unwrapped.contains(sentence), "no `{sentence}` in the text: {text}");
        assert!(words.contains(&format!("{}{rest}.", first.to_uppercase())), "no `{sentence}` in the page: {words}");
    }
    for (name, side) in [("A", "a"), ("B", "b")] {
        let files = format!("{name} {side}1.json, {side}2.json: ");
        assert!(unwrapped.contains(&files) && words.contains(&files), "{words}");
        assert_eq!(pair[side]["runs"].as_array().unwrap().len(), 10);
    }
    assert!(
        page.contains("<title>waiter.wasm: b1.json and b2.json (B) compared with a1.json and a2.json (A)"),
        "{words}"
    );
    assert_eq!(page.matches("class=\"forest\"").count(), 1);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn runs_of_the_same_calls_compare_and_those_of_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let base = format!("http://{}", demo());
    let play = |calls: &str, text: &str, report: &str, args: &[&str]| {
        fs::write(file(calls), text.replace("BASE", &base)).unwrap();
        let mut http = gorgon();
        http.arg("http").arg(calls).args(["-n", "40", "--allow", &base, "--json", report]).args(args);
        let shapes = ["--shape", "1x1", "--shape", "1x1"];
        assert!(http.args(shapes).current_dir(folder.path()).output().unwrap().status.success());
        let report: Value = serde_json::from_slice(&fs::read(file(report)).unwrap()).unwrap();
        validate(&report);
        report["runs"][0].clone()
    };
    let run = play("urls.txt", "BASE/\nBASE/bytes?n=10\n", "a.json", &[]);
    assert_eq!((&run["plan"]["data"], &run["plan"]["calls"]), (&"urls.txt".into(), &"in_order".into()));
    assert_eq!((&run["files"][0]["role"], &run["files"][0]["path"]), (&"data".into(), &"urls.txt".into()));
    // Another name and a comment are no other calls.
    play("copy.txt", "# the same\nBASE/\nBASE/bytes?n=10\n", "b.json", &[]);
    let output = compare(folder.path(), &["a.json", "b.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    play("urls.txt", "BASE/\nBASE/bytes?n=11\n", "other.json", &[]);
    let complaint_on_calls = complaint(folder.path(), &["a.json", "other.json"]);
    assert!(complaint_on_calls.contains("different plans (data: urls.txt (sha256 "), "{complaint_on_calls}");
    play("urls.txt", "BASE/\nBASE/bytes?n=10\n", "random.json", &["--random"]);
    let complaint_on_order = complaint(folder.path(), &["a.json", "random.json"]);
    assert!(complaint_on_order.contains("calls: \"in_order\" and \"random\""), "{complaint_on_order}");
}

#[test]
fn runs_of_the_demo_compare_although_its_server_takes_any_port() {
    let folder = tempfile::tempdir().unwrap();
    for report in ["a.json", "b.json"] {
        let mut demo = gorgon();
        demo.args(["demo", "-n", "40", "--shape", "1x1", "--shape", "1x1", "--json", report]);
        assert!(demo.current_dir(folder.path()).output().unwrap().status.success());
    }
    let output = compare(folder.path(), &["a.json", "b.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("environment variables"));
}

#[test]
fn data_files_are_known_by_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let users = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/spans/users.csv");
    let file = |name: &str| folder.path().join(name);
    let ran = |data: &Path, report: &str| {
        let shapes = ["--shape", "1x1", "--shape", "1x1", "-n", "40"];
        let ran = run(&guest("spans"), &[&["--data", data.to_str().unwrap()], &shapes[..]].concat());
        fs::write(file(report), ran.report.to_string()).unwrap();
        ran.report
    };
    let report = ran(Path::new(users), "a.json");
    let environment = &report["environment"];
    assert!(environment["kernel"].is_string() && environment.get("cpu_limit").is_some(), "{environment}");
    fs::copy(users, file("copy.csv")).unwrap();
    ran(&file("copy.csv"), "b.json");
    let output = compare(folder.path(), &["a.json", "b.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::write(file("copy.csv"), fs::read_to_string(users).unwrap() + &fs::read_to_string(users).unwrap()).unwrap();
    ran(&file("copy.csv"), "other.json");
    let complaint = complaint(folder.path(), &["b.json", "other.json"]);
    assert!(complaint.contains("copy.csv (sha256 ") && complaint.contains("--force"), "{complaint}");
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
    fs::write(file("found.json"), "{\"schema\":\"gorgon.find/1\"}").unwrap();
    fs::write(file("compared.json"), "{\"schema\":\"gorgon.compare/1\"}").unwrap();
    fs::write(file("stopped.json"), report.replace("\"partial\":false,\"planned", "\"partial\":true,\"planned"))
        .unwrap();
    for (name, problem) in [
        ("none.json", "cannot read the report `none.json`: No such file"),
        ("text", "cannot compare `text`: it is not a report of gorgon: `gorgon run TASK.wasm --json FILE` writes one"),
        ("half.json", "cannot compare `half.json`: the report cannot be read"),
        ("next.json", "its format is `gorgon.report/2`, but this gorgon reads `gorgon.report/1`"),
        ("found.json", "cannot compare `found.json`: it is the answer of `gorgon find`, not a report on a run"),
        ("compared.json", "cannot compare `compared.json`: it is a comparison by `gorgon compare`"),
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
    for name in ["a.json", "b.json"] {
        let ran = run(&guest("hello"), &["-n", "100"]);
        fs::write(folder.path().join(name), ran.report.to_string()).unwrap();
    }
    let complaint = complaint(folder.path(), &["a.json", "b.json"]);
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
