//! Components and modules that were not made here. `components/cases` has one situation each, as text; cases that begin
//! with `cmp-` are core modules. `components/answers.txt` has what gorgon says to each.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::NamedTempFile;
use xtask::languages::Language;

use crate::support::{Ran, gorgon, run, wat};

/// Words of an engine or of a library. An answer that has them says what happened inside, not what to do.
const FOREIGN: [&str; 9] = [
    "host error",
    "failed to parse",
    "failed to decode",
    "failed to validate",
    "implementation is missing",
    "known packages",
    "proposal not enabled",
    "module was not valid",
    "at offset",
];

/// The longest answer, in bytes.
const LONGEST: usize = 1_000;

/// `GORGON_BLESS=1` rewrites the answers.
#[test]
fn every_component_and_module_is_run_or_answered() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/components");
    let mut cases: Vec<_> = fs::read_dir(folder.join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let scratch = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let answers: Vec<_> = cases.iter().map(|_| std::sync::OnceLock::new()).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(at) =
                    Some(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).filter(|at| *at < cases.len())
                {
                    answers[at].set(answer(&cases[at], scratch.path())).unwrap();
                }
            });
        }
    });
    let said: String = answers.iter().map(|answer| answer.get().unwrap().as_str()).collect();
    let kept = folder.join("answers.txt");
    if std::env::var_os("GORGON_BLESS").is_some() {
        fs::write(&kept, &said).unwrap();
    }
    let kept = fs::read_to_string(kept).unwrap_or_default();
    for (said, kept) in said.lines().zip(kept.lines()) {
        assert_eq!(said, kept, "GORGON_BLESS=1 rewrites the answers");
    }
    assert_eq!(said.lines().count(), kept.lines().count());
    for line in said.lines() {
        assert!(line.len() <= LONGEST && !line.chars().any(char::is_control), "{line}");
        let foreign = FOREIGN.iter().find(|words| line.contains(**words));
        assert!(foreign.is_none(), "{foreign:?} in: {line}");
    }
}

/// A component whose operation has this body, and these types and globals before it.
fn with(types: &str, body: &str) -> NamedTempFile {
    wat(&format!(
        r#"(component
          (core module $m
            {types}
            (memory (export "memory") 1)
            (data (i32.const 8) "SUCCESS") (data (i32.const 16) "\08\00\00\00\07\00\00\00")
            (func (export "op") (param i64) (result i32) (local i32) {body} i32.const 16))
          (core instance $i (instantiate $m))
          (func $f (param "n" u64) (result string)
            (canon lift (core func $i "op") (memory (core memory $i "memory"))))
          (export "operation" (func $f)))"#
    ))
}

const NODE: &str = "(type $node (struct (field (mut (ref null $node))) (field i64) (field i64)))
    (global $head (mut (ref null $node)) (ref.null $node))";

/// A loop of so many rounds.
fn rounds(count: u32, body: &str) -> String {
    format!(
        "(loop $l {body} (br_if $l (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const {count}))))"
    )
}

#[test]
fn the_table_of_proposals_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/src/languages.md")).unwrap();
    let answers = fs::read_to_string(root.join("tests/components/answers.txt")).unwrap();
    let table = page.split("| proposal | case | |").nth(1).unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(rows.len() > 10);
    for row in rows {
        let [proposal, case, says] = row[..] else { panic!("{row:?}") };
        let name = case.trim_matches('`');
        let of_case: Vec<&str> =
            answers.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).collect();
        let is_run = of_case.last().is_some_and(|last| last.starts_with("run 0"));
        assert!(!of_case.is_empty() && is_run == (says == "runs"), "{proposal}: {of_case:?}");
    }
}

/// Why the operations of the most frequent result failed.
fn reasons(ran: &Ran) -> String {
    ran.report["runs"][0]["results"][0]["reasons"].to_string()
}

#[test]
fn objects_are_collected_and_count_as_memory() {
    // Two objects that refer to each other, and to nothing else: 200,000 of them in an operation, 12 MB.
    let cycle = "(global.set $head (struct.new $node (ref.null $node) (local.get 0) (local.get 0)))
        (struct.set $node 0 (global.get $head) (struct.new $node (global.get $head) (local.get 0) (local.get 0)))
        (global.set $head (ref.null $node))";
    let collected = run(with(NODE, &rounds(100_000, cycle)).path(), &["-n", "100", "--max-memory", "16MiB"]);
    assert_eq!(collected.results(), [("SUCCESS".into(), "ok".into(), 100)]);
    // A list that stays is one that no limit holds but its own.
    let kept = "(global.set $head (struct.new $node (global.get $head) (local.get 0) (local.get 0)))";
    let refused = run(with(NODE, &rounds(2_000_000, kept)).path(), &["-n", "3", "--max-memory", "16MiB"]);
    assert_eq!(refused.results(), [("trap: out of memory".into(), "trapped".into(), 3)]);
    assert!(
        reasons(&refused).contains("its objects take more than --max-memory 16.0 MiB allows"),
        "{}",
        refused.report
    );
    let peak = refused.report["runs"][0]["workers"][0]["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak < 80 << 20, "{peak}");
}

#[test]
fn exceptions_are_caught_or_told() {
    let caught = with("(tag $t)", "(block $h (try_table (catch $t $h) (throw $t)))");
    assert_eq!(run(caught.path(), &["-n", "20"]).results(), [("SUCCESS".into(), "ok".into(), 20)]);
    let thrown = run(with("(tag $t)", "(throw $t)").path(), &["-n", "20"]);
    assert_eq!(thrown.results(), [("trap: uncaught exception".into(), "trapped".into(), 20)]);
    assert!(reasons(&thrown).contains("it threw an exception that nobody caught"), "{}", thrown.report);
}

#[test]
fn c_with_setjmp_runs() {
    let tools = Language::C.install().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/components/setjmp");
    for name in ["task.c", "tag.s"] {
        fs::copy(sources.join(name), folder.path().join(name)).unwrap();
    }
    let build = "python3 -m ziglang cc -target wasm32-wasi -O2 -mexec-model=reactor -mexception-handling \
                 -mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false task.c tag.s -lsetjmp -o core.wasm && \
                 gorgon component core.wasm -o task.wasm";
    let built = tools.shell(folder.path(), Path::new(env!("CARGO_BIN_EXE_gorgon")), build).unwrap().output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let ran = run(&folder.path().join("task.wasm"), &["-n", "1000", "-t", "2"]);
    assert_eq!(ran.results(), [("SUCCESS".into(), "ok".into(), 900), ("FAIL".into(), "ok".into(), 100)]);
}

#[test]
fn an_operation_inside_an_interface_is_found_or_named() {
    let interface = |name: &str| {
        format!(
            "(instance ${name} (export \"operation\" (func $f))) (export \"my:{name}/task@1.0.0\" (instance ${name}))"
        )
    };
    let of = |interfaces: &str| {
        wat(&format!(
            r#"(component
              (core module $m (memory (export "memory") 1)
                (data (i32.const 8) "SUCCESS") (data (i32.const 16) "\08\00\00\00\07\00\00\00")
                (func (export "op") (param i64) (result i32) i32.const 16))
              (core instance $i (instantiate $m))
              (func $f (param "n" u64) (result string)
                (canon lift (core func $i "op") (memory (core memory $i "memory"))))
              {interfaces})"#
        ))
    };
    let one = of(&interface("a"));
    assert_eq!(run(one.path(), &["-n", "3"]).figure("/operations/ok"), 3);
    let two = of(&(interface("a") + &interface("b")));
    let asked = gorgon().arg("run").arg(two.path()).args(["-n", "3"]).output().unwrap();
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.code() == Some(1), "{said}");
    assert!(
        said.contains(
            "more than one function `operation`: name one by --operation-name (`my:a/task@1.0.0#operation`, `my:b/"
        ),
        "{said}"
    );
    for name in ["my:b/task@1.0.0#operation", "my:b/task#operation"] {
        assert_eq!(run(two.path(), &["-n", "3", "--operation-name", name]).figure("/operations/ok"), 3);
    }
    let shown = gorgon().arg("inspect").arg(one.path()).output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("operation   my:a/task@1.0.0#operation: func(u64) -> string"), "{shown}");
}

/// What gorgon answers to a case: a line for each command, until one refuses it.
fn answer(case: &Path, scratch: &Path) -> String {
    let name = case.file_stem().unwrap().to_str().unwrap();
    let file = scratch.join(format!("{name}.wasm"));
    let mut said = String::new();
    // A text can be such that no file has it.
    let bytes = match wat::parse_bytes(&fs::read(case).unwrap()) {
        Ok(bytes) => bytes.into_owned(),
        Err(error) => {
            let first = error.to_string().lines().next().unwrap_or_default().to_owned();
            return format!("{name}: no file has this: {first}\n");
        }
    };
    let is_module = bytes[4..8] == [1, 0, 0, 0];
    fs::write(&file, bytes).unwrap();
    let task = if is_module { scratch.join(format!("{name}.task.wasm")) } else { file.clone() };
    let mut commands = Vec::new();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    if is_module {
        commands.push(vec!["component".to_owned(), text(&file), "-o".to_owned(), text(&task)]);
    }
    commands.push(vec!["inspect".to_owned(), text(&task)]);
    let run = ["run", &text(&task), "-n", "2", "--timeout", "2s", "--hook-timeout", "2s", "--quiet"];
    commands.push(run.map(str::to_owned).to_vec());
    for words in commands {
        let output = command(&words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).replace(&format!("{}/", scratch.display()), "");
        let last = stderr.lines().last().unwrap_or_default().trim_start_matches("gorgon: ");
        let code = output.status.code().map_or("ended by a signal".to_owned(), |code| code.to_string());
        writeln!(said, "{name} {} {code} {last}", words[0]).unwrap();
        if !output.status.success() {
            break;
        }
    }
    said
}

fn command(words: &[String]) -> Command {
    let mut command = gorgon();
    command.args(words);
    command
}

/// What the table in `docs/src/languages.md` says of the limits of a task.
#[test]
fn the_limits_of_a_task_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let task = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
        file
    };
    let component = |rest: &str, core: &str| {
        format!(
            r#"(component {rest} (core module $m {core}) (core instance $i (instantiate $m))
               (func $f (param "n" u64) (result string)
                 (canon lift (core func $i "operation") (memory (core memory $i "memory"))))
               (export "operation" (func $f)))"#
        )
    };
    let small = r#"(memory (export "memory") 1) (data (i32.const 8) "SUCCESS")
                   (data (i32.const 16) "\08\00\00\00\07\00\00\00")
                   (func (export "operation") (param i64) (result i32) i32.const 16)"#;
    // A result of 200 MiB, and one of 128 MiB.
    let text = |mib: u32| {
        let length: String = (mib << 20).to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect();
        let core = format!(
            r#"(memory (export "memory") 3300) (data (i32.const 16) "\40\00\00\00{length}")
               (func (export "operation") (param i64) (result i32) i32.const 16)"#
        );
        task("text.wasm", &component("", &core))
    };
    let ran = run(&text(200), &["-n", "1"]);
    let found: Vec<_> = ran.results().into_iter().map(|(result, ..)| result).collect();
    assert_eq!(found, ["trap: too much data"]);
    assert!(ran.report.to_string().contains("it passed more than 128.0 MiB to the host in one call"), "{}", ran.report);
    assert_eq!(run(&text(128), &["-n", "1"]).code, Some(0));
    // Exports, and imports that nothing provides.
    let many = |number: u32, each: fn(String) -> String| {
        let name = |i: u32| (0..4).map(|at| char::from(b'a' + (i / 26_u32.pow(at) % 26) as u8)).collect();
        (0..number).map(|i| each(name(i))).collect::<String>()
    };
    let exports = |number| {
        let all = many(number, |name| format!("(export \"x-{name}\" (func $f))"));
        component("", small).trim_end_matches(')').to_owned() + ")) " + &all + ")"
    };
    let said = |file: &Path| {
        let output = gorgon().arg("run").arg(file).args(["-n", "1"]).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(said(&task("exports.wasm", &exports(5_000))).0, Some(0));
    let (code, refused) = said(&task("exports.wasm", &exports(10_000)));
    assert_eq!(code, Some(1));
    assert!(
        refused.contains("it has 10001 exports in all its instances, and gorgon runs tasks of up to 10,000"),
        "{refused}"
    );
    let imports = |number| many(number, |name| format!("(import \"a:b/i-{name}\" (instance (export \"f\" (func))))"));
    let (code, refused) = said(&task("imports.wasm", &component(&imports(900), small)));
    assert_eq!(code, Some(1));
    assert!(refused.contains("`a:b/i-haaa` and 892 more, which nothing here provides"), "{refused}");
    let (code, refused) = said(&task("imports.wasm", &component(&imports(1_100), small)));
    assert_eq!(code, Some(1));
    assert!(refused.contains("it has more instances than engines of WebAssembly take, which is 1000"), "{refused}");
}

/// Modules that become components, and surprise their authors; and those that do not, in their own words.
#[test]
fn what_a_module_hides_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("core.wasm");
    let said = |rest: &str, args: &[&str]| {
        // Imports come first.
        let (imports, rest) = rest.split_once(';').unwrap_or(("", rest));
        let text = format!(
            r#"(module {imports} (memory (export "memory") 1) (data (i32.const 8) "SUCCESS")
               (data (i32.const 16) "\08\00\00\00\07\00\00\00") {rest})"#
        );
        fs::write(&core, wat::parse_str(text).unwrap()).unwrap();
        let mut command = gorgon();
        let output = command.arg("component").arg(&core).arg("-o").arg(folder.path().join("task.wasm")).args(args);
        let output = output.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let operation = r#"(func (export "operation") (param i64) (result i32) i32.const 16)"#;
    for (rest, code, wanted) in [
        (format!(r#"{operation} (func (export "_start"))"#), 0, "gorgon does not call that"),
        (format!(r#"{operation} (func (export "setup"))"#), 1, "exports `setup` as (), which is the name of a hook"),
        (format!(r#"{operation} (@custom "linking" "")"#), 1, "is an object file: link it"),
        (r#"(func (export "opration") (param i64) (result i32) i32.const 16)"#.into(), 1, "rename `opration`"),
        (String::new(), 1, "exports no `operation`: export a function `operation`"),
        (
            format!(r#"(import "env" "abort" (func)) (import "env" "b" (func)) (import "c" "d" (func)) ; {operation}"#),
            1,
            "also unfit: `env::b`, `c::d`",
        ),
    ] {
        let (found, stderr) = said(&rest, &[]);
        assert!(found == Some(code) && stderr.contains(wanted), "{found:?} {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    // A result whose type is another than the module says.
    assert_eq!(said(operation, &["--fallible"]), (Some(0), String::new()));
    let ran = run(&folder.path().join("task.wasm"), &["-n", "1"]);
    assert!(
        ran.report.to_string().contains("an operation that returns a string needs no --fallible"),
        "{}",
        ran.report
    );
}
