//! The documentation: its commands work, and its reference pages match this version.
//!
//! The tests follow a page as a reader would. The block after `<!-- file: NAME -->` is written to that file. The blocks
//! after `<!-- run -->` are run in one shell. The block after `<!-- set-up -->` is replaced by a set-up of the test.
//! The server of `gorgon demo --serve` is running. `GORGON_BLESS=1 cargo test -p gorgon-cli --test e2e docs` rewrites
//! the reference pages.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use gorgon::demo::Server;
use serde_json::Value;
use xtask::languages::{Language, Tools};

use crate::support::gorgon;

const GORGON: &str = env!("CARGO_BIN_EXE_gorgon");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The marked blocks of a page as a script.
fn script(page: &str, set_up: &str) -> String {
    let mut script = String::from("set -e\n");
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(mark) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) else { continue };
        let fence = lines.next().unwrap();
        assert!(fence.starts_with("```"), "no block after {line}");
        let block: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        let block = block.join("\n");
        match mark.split_once(": ") {
            Some(("file", name)) => {
                let folder = Path::new(name).parent().unwrap().display().to_string();
                let folder = if folder.is_empty() { ".".into() } else { folder };
                writeln!(script, "mkdir -p {folder}; cat > {name} <<'END OF FILE'\n{block}\nEND OF FILE").unwrap();
            }
            None if mark == "run" => writeln!(script, "{block}").unwrap(),
            None if mark == "set-up" => writeln!(script, "{set_up}").unwrap(),
            _ => panic!("what is {line}?"),
        }
    }
    script
}

/// Runs the script of a page in an empty folder.
fn follow(page: &str, tools: Option<&Tools>) {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::listen(0).unwrap();
    let address = server.address().unwrap().to_string();
    std::thread::spawn(move || server.serve());
    let set_up: String = tools.iter().flat_map(|tools| tools.links()).collect();
    let script = script(&text, &set_up).replace("127.0.0.1:8080", &address);
    assert!(script.lines().count() > 1, "{page} has nothing to follow");
    let mut shell = match tools {
        Some(tools) => tools.shell(folder.path(), Path::new(GORGON), &script).unwrap(),
        None => {
            let mut shell = Command::new("bash");
            let path = format!("{}:{}", Path::new(GORGON).parent().unwrap().display(), std::env::var("PATH").unwrap());
            // Dependencies are compiled only once, in this folder instead of the page's `target`.
            let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
            let script = script.replace(" target/", &format!(" {}/", target.display()));
            shell.args(["-c", &script]).current_dir(folder.path()).env("PATH", path).env("CARGO_TARGET_DIR", target);
            shell
        }
    };
    let output = shell.output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{page}: {}{}", said(&output.stdout), said(&output.stderr));
}

#[test]
fn the_tutorial_of_rust_works() {
    follow("docs/src/tutorial/rust.md", None);
}

#[test]
fn the_tutorial_of_python_works() {
    follow("docs/src/tutorial/python.md", Some(&Language::Python.install().unwrap()));
}

#[test]
fn the_tutorial_of_javascript_works() {
    follow("docs/src/tutorial/javascript.md", Some(&Language::Js.install().unwrap()));
}

#[test]
fn the_tutorial_of_typescript_works() {
    follow("docs/src/tutorial/typescript.md", Some(&Language::Ts.install().unwrap()));
}

#[test]
fn the_tutorial_of_c_works() {
    follow("docs/src/tutorial/c.md", Some(&Language::C.install().unwrap()));
}

#[test]
fn the_tutorial_of_go_works() {
    follow("docs/src/tutorial/go.md", Some(&Language::Go.install().unwrap()));
}

/// The commands of the first step list in a block of YAML whose entries begin with `begin`, as a script.
fn commands_of(page: &str, heading: &str, begin: &str) -> String {
    let block = page.split(heading).nth(1).and_then(|rest| rest.split("```").nth(1)).unwrap();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = block.lines().peekable();
    let mut script = String::from("set -e\n");
    while let Some(line) = lines.next() {
        let Some(command) = line.trim_start().strip_prefix(begin) else { continue };
        let (column, is_block) = (indent(line), command == "|");
        let mut parts = if is_block { Vec::new() } else { vec![command] };
        while let Some(next) = lines.next_if(|next| indent(next) > column && !next.trim_start().starts_with("if:")) {
            parts.push(if is_block { next } else { next.trim_start() });
        }
        // A plain text of several lines is one line of YAML.
        writeln!(script, "{}", parts.join(if is_block { "\n" } else { " " })).unwrap();
    }
    script
}

#[test]
fn the_examples_for_ci_services_run_as_they_stand() {
    let page = std::fs::read_to_string(root().join("docs/src/ci.md")).unwrap();
    let server = Server::listen(0).unwrap();
    let address = server.address().unwrap();
    std::thread::spawn(move || server.serve());
    let bin = Path::new(GORGON).parent().unwrap().display().to_string();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
    for (heading, begin) in [("## GitHub Actions", "- run: "), ("## GitLab", "- ")] {
        let folder = tempfile::tempdir().unwrap();
        // The checkout: a task, and a server, which runs already.
        let made =
            gorgon().args(["new", "shop", "--lang", "rust", "--http"]).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let checkout = folder.path().join("shop");
        std::fs::write(checkout.join("server"), "#!/bin/sh\n").unwrap();
        std::fs::create_dir_all(checkout.join(".gorgon/bin")).unwrap();
        std::os::unix::fs::symlink(GORGON, checkout.join(".gorgon/bin/gorgon")).unwrap();
        let script = commands_of(&page, heading, begin).replace("./server &", "sh ./server &");
        let script = script.replace(" target/", &format!(" {}/", target.display()));
        let script = script.replace("127.0.0.1:8080", &address.to_string());
        let script = script.replace("$SERVICE:8080", &address.to_string());
        // The first run has nothing to compare with, the second one has.
        for round in 0..2 {
            let mut shell = Command::new("bash");
            shell.args(["-c", &script]).current_dir(&checkout).env("CARGO_TARGET_DIR", &target);
            shell.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap())).env("GORGON", "/nowhere");
            shell.env("GITHUB_STEP_SUMMARY", checkout.join("shown.md"));
            shell.env("CI_COMMIT_BRANCH", "main").env("CI_DEFAULT_BRANCH", "main");
            let output = shell.output().unwrap();
            let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
            assert!(output.status.success(), "{heading}: {script}\n{stdout}{stderr}");
            assert_eq!(stdout.contains("difference"), round == 1, "{heading}: {stdout}");
            for file in ["report.json", "report.html", "report.xml", "good.json"] {
                assert!(checkout.join(file).is_file(), "{heading}: {file}");
            }
        }
    }
}

#[test]
fn the_commands_of_other_pages_work() {
    for page in ["docs/src/ci.md", "README.md"] {
        follow(page, None);
    }
}

/// Asserts that the page has `text`, or writes it there if told to bless.
fn assert_page(page: &str, text: &str) {
    let page = root().join("docs/src/reference").join(page);
    if std::env::var_os("GORGON_BLESS").is_some() {
        std::fs::write(&page, text).unwrap();
    }
    let said = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(said == text, "{} is out of date: GORGON_BLESS=1 cargo test -p gorgon-cli --test e2e docs", page.display());
}

fn help(command: &[&str]) -> String {
    let output = gorgon().args(command).arg("--help").env("COLUMNS", "100").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_reference_of_the_command_line_is_its_help() {
    let overview = help(&[]);
    let mut page = format!(
        "# The command line\n\n<!-- Written by a test from `--help`; see tests/docs.rs. -->\n\n```text\n{}\n```\n",
        overview.trim_end()
    );
    let commands = overview.lines().skip_while(|line| *line != "Commands:").skip(1);
    let is_command = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    for line in commands.take_while(|line| !line.is_empty()).filter(is_command) {
        let command = line.split_whitespace().next().unwrap();
        let text = help(&[command]);
        // Help has trailing blanks, which an editor would remove from the page.
        let text: Vec<_> = text.trim_end().lines().map(str::trim_end).collect();
        writeln!(page, "\n## gorgon {command}\n\n```text\n{}\n```", text.join("\n")).unwrap();
    }
    assert_page("commands.md", &page);
}

#[test]
fn the_reference_of_the_interface_is_the_interface() {
    let wit = std::fs::read_to_string(root().join("wit/task.wit")).unwrap();
    let page = format!(
        "# The interface of tasks\n\n<!-- Written by a test from wit/task.wit; see tests/docs.rs. -->\n\nGorgon runs any \
         component with a root export `operation` (another name with `--operation-name`) of type\n`func(u64) -> string` \
         or `func(u64) -> result<string, string>`. It detects the optional imports and exports of the\ncomponent, and \
         requires none of them. WASI 0.2 is always linked, but reaches only what was [granted](../grants.md).\n\n\
         ```wit\n{}\n```\n",
        wit.trim_end()
    );
    assert_page("task.md", &page);
}

#[test]
fn the_reference_of_the_json_report_is_its_schema() {
    let schema = std::fs::read_to_string(root().join("docs/report.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let mut page = String::from(
        "# The JSON report\n\n<!-- Written by a test from docs/report.schema.json; see tests/docs.rs. -->\n\nThe output of \
         `--json FILE`, according to its [JSON \
         Schema](https://github.com/gorgon-load/gorgon/blob/main/docs/report.schema.json).\n[What may \
         change](../versions.md) lists what is guaranteed.\n",
    );
    let parts = schema["$defs"].as_object().unwrap().iter().map(|(name, part)| (name.as_str(), part));
    for (name, part) in std::iter::once(("Report", &schema)).chain(parts) {
        writeln!(page, "\n## {name}\n\n{}", words(part)).unwrap();
        if let Some(fields) = part["properties"].as_object() {
            page += "\n| field | type | meaning |\n| --- | --- | --- |\n";
            for (field, of) in fields {
                writeln!(page, "| `{field}` | {} | {} |", kind(of), words(of)).unwrap();
            }
        }
        if let Some(cases) = part["oneOf"].as_array() {
            page += "\n| value | meaning |\n| --- | --- |\n";
            for case in cases {
                let value = case["const"].as_str().map(|value| format!("`{value}`"));
                writeln!(page, "| {} | {} |", value.unwrap_or_else(|| object(case)), words(case)).unwrap();
            }
        }
    }
    assert_page("report.md", &page);
}

/// The description in a schema, in one line.
fn words(part: &Value) -> String {
    part["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The type of a field, in words.
fn kind(of: &Value) -> String {
    if let Some(name) = of["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let either = |kinds: Vec<String>| kinds.join(" or ");
    if let Some(options) = of["anyOf"].as_array() {
        return either(options.iter().map(kind).collect());
    }
    let names = of["type"].as_array().map_or(std::slice::from_ref(&of["type"]), Vec::as_slice);
    either(names.iter().map(|name| named(name.as_str().unwrap(), of)).collect())
}

fn named(name: &str, of: &Value) -> String {
    match (name, of["prefixItems"].as_array()) {
        ("array", Some(items)) => format!("[{}]", items.iter().map(kind).collect::<Vec<_>>().join(", ")),
        ("array", None) => format!("list of {}", kind(&of["items"])),
        ("object", _) if of["additionalProperties"].is_object() => {
            format!("object of {}", kind(&of["additionalProperties"]))
        }
        _ => name.to_owned(),
    }
}

/// An object with its fields, in words.
fn object(of: &Value) -> String {
    let fields = of["properties"].as_object().into_iter().flatten();
    let fields: Vec<_> = fields.map(|(field, of)| format!("`{field}`: {}", kind(of))).collect();
    format!("{{ {} }}", fields.join(", "))
}

/// Every page is in the summary.
#[test]
fn the_summary_has_every_page() {
    let source = root().join("docs/src");
    let summary = std::fs::read_to_string(source.join("SUMMARY.md")).unwrap();
    for page in pages(&source) {
        let name = page.strip_prefix(&source).unwrap().display().to_string();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in the summary");
    }
}

/// Every link of the book, the READMEs and the other pages leads to a file, and to a heading in it.
#[test]
fn links_lead_somewhere() {
    let root = root();
    let folders = [root.clone(), root.join("docs/src"), root.join("examples"), root.join("host/templates/rust")];
    let mut checked = 0;
    for page in folders.iter().flat_map(|folder| pages(folder)) {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{} links to {link}", page.display());
            let leads =
                heading.is_empty() || headings(&std::fs::read_to_string(target).unwrap()).any(|id| id == heading);
            assert!(leads, "{} links to {link}, a heading that does not exist", page.display());
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links were found");
}

/// The pages in a folder and its subfolders; in the root only the pages directly in it.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        } else if path.is_dir() && folder != root() && !path.ends_with("node_modules") {
            pages.extend(self::pages(&path));
        }
    }
    pages
}

/// The anchors that mdBook and others make for headings.
fn headings(page: &str) -> impl Iterator<Item = String> {
    let titles =
        page.lines().filter_map(|line| line.strip_prefix('#')).map(|title| title.trim_start_matches('#').trim());
    titles.map(|title| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
    })
}
