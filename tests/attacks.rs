//! Hostile tasks and inputs: each is refused or counted, within bounds of memory and time, and never ends the books.
//! `attacks/table.rs` says which attacks there are, and which test shows what each gets.

mod table;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Ran, gorgon, guest, operation, run, wait_until, wat};
use crate::terminal::on_a_terminal;

const MIB: u64 = 1 << 20;

/// What no process of gorgon may take beside the compiler, in bytes.
const MOST: u64 = 512 * MIB;

/// What a finished command said, and the most memory that one of its processes took, without the compiler.
struct Spent {
    code: Option<i32>,
    said: String,
    peak: u64,
}

/// The processes below and including `process`.
fn family(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> =
        lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
    std::iter::once(process).chain(children.into_iter().flat_map(family)).collect()
}

/// The most memory that a process has taken until now; nothing for the compiler, which has a limit of its own.
fn peak_of(process: u32) -> Option<u64> {
    let command = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let is_compiler = command.split(|byte| *byte == 0).nth(1) == Some(b"compile");
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    (!is_compiler).then(|| peak.trim().parse::<u64>().ok().map(|kib| kib * 1_024)).flatten()
}

/// Runs a command to its end, and looks at its processes all the time.
fn spend(command: &mut Command) -> Spent {
    let said = tempfile::NamedTempFile::new().unwrap();
    let to = || Stdio::from(said.reopen().unwrap());
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(to()).spawn().unwrap();
    let (mut peak, mut code) = (0, None);
    wait_until("the command ends", || {
        peak = family(child.id()).into_iter().filter_map(peak_of).max().unwrap_or_default().max(peak);
        code = child.try_wait().unwrap();
        code.is_some()
    });
    let text = std::fs::read(said.path()).unwrap();
    Spent { code: code.unwrap().code(), said: String::from_utf8_lossy(&text).into_owned(), peak }
}

/// Asserts that a command is refused with this exit code and these words, and takes no more than it may.
fn assert_refused(command: &mut Command, code: i32, words: &[&str]) {
    let Spent { code: ended, said, peak } = spend(command);
    assert_eq!(ended, Some(code), "{command:?}: {said}");
    assert!(words.iter().all(|word| said.contains(word)), "{command:?}: {said}");
    assert!(said.lines().count() == 1 && said.len() < 5_000, "{command:?}: {said}");
    assert!(peak < MOST, "{command:?} took {} MiB", peak / MIB);
}

fn with(args: &[&str]) -> Command {
    let mut command = gorgon();
    command.args(args);
    command
}

fn worker_peak(ran: &Ran) -> u64 {
    let workers = ran.report["runs"][0]["workers"].as_array().unwrap();
    workers.iter().filter_map(|worker| worker["peak_rss_bytes"].as_u64()).max().unwrap()
}

fn hoard(act: &str, args: &[&str]) -> Ran {
    let hoarder = guest("hoarder");
    let ran = run(&hoarder, &[&["-n", "1", "--no-progress"], args, &["--", act]].concat());
    ran.adds_up();
    ran
}

#[test]
fn what_the_host_holds_for_a_task_counts_as_its_memory() {
    for act in ["large fields", "small fields", "bodies", "streams", "timers"] {
        let ran = hoard(act, &["--max-memory", "16MiB"]);
        assert_eq!(ran.code, Some(10), "{act}: {}", ran.stderr);
        let peak = worker_peak(&ran);
        // The process itself, the guest, what the host holds, and what it takes besides.
        assert!(peak < 80 * MIB, "{act}: {} MiB", peak / MIB);
    }
    let trapped = hoard("timers", &["--max-memory", "16MiB"]).results();
    assert_eq!(trapped[0].0, "trap: out of memory");
}

#[test]
fn tables_count_as_memory() {
    let tables: String = (0..90).map(|i| format!("(table $t{i} 1 funcref)")).collect();
    let grown: String =
        (0..90).map(|i| format!("(drop (table.grow $t{i} (ref.func $f) (i32.const 1048000)))")).collect();
    let task = wat(&format!(
        r#"(component
            (core module $m (memory (export "memory") 1) (func $f) (elem declare func $f) {tables}
                (data (i32.const 0) "\10\00\00\00\02\00\00\00") (data (i32.const 16) "ok")
                (func (export "operation") (param i64) (result i32) {grown} i32.const 0))
            (core instance $i (instantiate $m))
            (func (export "operation") (param "n" u64) (result string)
                (canon lift (core func $i "operation") (memory (core memory $i "memory")))))"#
    ));
    let ran = run(task.path(), &["-n", "2", "--max-memory", "32MiB"]);
    assert_eq!(ran.adds_up().code, Some(0), "{}", ran.stderr);
    assert!(worker_peak(&ran) < 100 * MIB, "{} MiB", worker_peak(&ran) / MIB);
}

#[test]
fn sockets_are_not_made_without_a_grant() {
    for (act, socket, flag) in [
        ("tcp sockets", "a TCP socket", "--allow tcp://HOST:PORT"),
        ("udp sockets", "a UDP socket", "--allow udp://HOST:PORT"),
    ] {
        let ran = hoard(act, &[]);
        let refused = &ran.report["runs"][0]["network"]["refused"][0];
        assert_eq!((&refused["destination"], &refused["flag"]), (&socket.into(), &flag.into()), "{}", ran.report);
    }
    // With a grant they count as memory, and as files.
    let ran = hoard("tcp sockets", &["--max-memory", "16MiB", "--allow", "tcp://127.0.0.1:1"]);
    assert_eq!(ran.code, Some(10), "{}", ran.stderr);
}

#[test]
fn listening_needs_a_grant_for_everything_and_is_named() {
    let ran = run(&guest("sockets"), &["-n", "1", "--allow", "tcp://127.0.0.1:1", "--", "listen"]);
    let refused = &ran.report["runs"][0]["network"]["refused"][0];
    assert!(refused["destination"].as_str().unwrap().starts_with("listening at tcp://127.0.0.1"), "{refused}");
    assert_eq!(refused["flag"], "--allow all");
}

#[test]
fn a_worker_has_a_limit_of_its_own() {
    let ran = hoard("memory", &["--max-worker-memory", "100MiB"]);
    assert_eq!(ran.code, Some(11), "{}", ran.stderr);
    let fault = ran.report["runs"][0]["faults"][0]["message"].as_str().unwrap();
    assert!(fault.contains("it took more memory than --max-worker-memory allows"), "{fault}");
    let mut test = with(&["test", guest("hoarder").to_str().unwrap(), "--max-worker-memory", "100MiB", "--", "memory"]);
    let spent = spend(&mut test);
    assert_eq!(spent.code, Some(11), "{}", spent.said);
    assert!(spent.said.contains("--max-worker-memory") && spent.peak < MOST, "{}", spent.said);
}

#[test]
fn random_bytes_and_the_text_of_prepare_have_a_limit() {
    let ran = hoard("random bytes", &[]);
    assert_eq!(ran.code, Some(10));
    assert!(worker_peak(&ran) < 200 * MIB);
    let task = guest("hoarder");
    let mut prepared = with(&["run", task.to_str().unwrap(), "--env", "PREPARED=100000000", "--quiet", "--", "spans"]);
    assert_refused(&mut prepared, 1, &["`prepare` failed", "it returned 100000000 bytes, and may return 1048576"]);
}

#[test]
fn results_and_spans_are_bounded_together() {
    let directory = tempfile::tempdir().unwrap();
    let size = |act: &str, extent: [&str; 2]| {
        let file = |name: &str| directory.path().join(name);
        let mut run = gorgon();
        run.arg("run").arg(guest("hoarder")).args(extent).args(["--quiet", "--json"]).arg(file("r.json"));
        let spent = spend(run.arg("--html").arg(file("r.html")).args(["--", act]));
        assert_eq!(spent.code, Some(0), "{}", spent.said);
        assert!(spent.peak < MOST, "{} MiB", spent.peak / MIB);
        let bytes = |name: &str| std::fs::metadata(file(name)).unwrap().len();
        let report: serde_json::Value = serde_json::from_slice(&std::fs::read(file("r.json")).unwrap()).unwrap();
        crate::support::validate(&report);
        (bytes("r.json"), bytes("r.html"), report)
    };
    let (json, html, report) = size("spans", ["-n", "4000"]);
    assert!(json < 20 * MIB && html < 8 * MIB, "{json} and {html} bytes");
    assert_eq!(report["runs"][0]["operations"]["completed"], 4_000);
    let (json, ..) = size("results", ["-d", "10s"]);
    assert!(json < 20 * MIB, "{json} bytes");
}

#[test]
fn a_bomb_of_instances_is_refused_before_it_is_compiled() {
    let module =
        "(component $c0 (core module $m (memory 1) (table 1 funcref)) (core instance (instantiate $m)))".to_owned();
    let bomb = (1..=4).fold(module, |inner, level| {
        let (made, below) = ("(instance (instantiate $x))".repeat(100), level - 1);
        format!("{inner}(component $c{level} (alias outer 1 $c{below} (component $x)) {made})")
    });
    let task = wat(&format!("(component {bomb} (instance (instantiate $c4)))"));
    assert!(std::fs::metadata(task.path()).unwrap().len() < 2_000);
    for command in ["inspect", "test", "run"] {
        let words = ["it has 201010101 instances, and gorgon runs tasks of up to 10,000"];
        assert_refused(&mut with(&[command, task.path().to_str().unwrap()]), 1, &words);
    }
}

#[test]
fn segments_and_globals_of_many_instances_are_refused() {
    let (made, boxes) = ("(core instance (instantiate $m))".repeat(900), "(instance (instantiate $c))".repeat(11));
    for item in ["(data \"\")", "(global v128 (v128.const i64x2 0 0))"] {
        let items = item.repeat(20_000);
        let task = wat(&format!("(component (component $c (core module $m {items}) {made}) {boxes})"));
        for command in ["inspect", "test", "run"] {
            let words = ["MiB of functions, globals, segments and the like in all its instances", "of up to 16"];
            assert_refused(&mut with(&[command, task.path().to_str().unwrap()]), 1, &words);
        }
    }
}

#[test]
fn long_texts_of_requests_are_refused() {
    let ran = hoard("methods", &[]);
    assert_eq!(ran.results()[0].0, "refused");
    assert!(worker_peak(&ran) < 200 * MIB, "{} MiB", worker_peak(&ran) / MIB);
}

#[test]
fn large_components_are_compiled_in_a_process_of_their_own() {
    let functions: String = (0..20_000).map(|i| format!("(func (result i32) (i32.const {i}))")).collect();
    let task = wat(&format!(
        r#"(component
            (core module $m (memory (export "memory") 1) {functions}
                (func (export "operation") (param i64) (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func (export "operation") (param "n" u64) (result string)
                (canon lift (core func $i "operation") (memory (core memory $i "memory")))))"#
    ));
    let cache = tempfile::tempdir().unwrap();
    let spent = spend(with(&["inspect", task.path().to_str().unwrap()]).env("XDG_CACHE_HOME", cache.path()));
    assert_eq!(spent.code, Some(0), "{}", spent.said);
    assert!(spent.peak < 100 * MIB, "{} MiB beside the compiler", spent.peak / MIB);
}

#[test]
fn start_functions_and_hooks_end_by_their_own_timeout() {
    let start = wat(r#"(component
            (core module $m (memory (export "memory") 1) (func $s (loop (br 0))) (start $s)
                (func (export "operation") (param i64) (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func (export "operation") (param "n" u64) (result string)
                (canon lift (core func $i "operation") (memory (core memory $i "memory")))))"#);
    let start = start.path().to_str().unwrap();
    for command in ["run", "test"] {
        let words = ["its start function took longer than --hook-timeout 300ms"];
        assert_refused(&mut with(&[command, start, "--hook-timeout", "300ms", "--timeout", "0"]), 1, &words);
    }
    let prepare = crate::support::endless_prepare();
    let prepare = prepare.path().to_str().unwrap();
    assert_refused(
        &mut with(&["run", prepare, "--hook-timeout", "300ms"]),
        1,
        &["`prepare` failed: it took longer than --hook-timeout 300ms"],
    );
    let teardown = wat(r#"(component
            (core module $m (memory (export "memory") 1)
                (func (export "teardown") (result i32) (loop (br 0)) unreachable)
                (func (export "operation") (param i64) (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func (export "teardown") (result (result (error string)))
                (canon lift (core func $i "teardown") (memory (core memory $i "memory"))))
            (func (export "operation") (param "n" u64) (result string)
                (canon lift (core func $i "operation") (memory (core memory $i "memory")))))"#);
    let ran = run(teardown.path(), &["-n", "4", "--hook-timeout", "300ms", "--timeout", "0"]);
    assert_eq!(ran.adds_up().figure("/operations/completed"), 4, "{}", ran.stderr);
    assert!(
        ran.report["runs"][0]["faults"][0]["message"]
            .as_str()
            .unwrap()
            .contains("`teardown` failed: it took longer than")
    );
}

#[test]
fn a_device_without_an_end_is_no_input() {
    let task = guest("noop");
    let (task, zero, url) = (task.to_str().unwrap(), "/dev/zero", "http://127.0.0.1:1/");
    let more = "it has more than";
    for (args, code, words) in [
        (&["run", zero][..], 1, more),
        (&["test", zero], 1, more),
        (&["inspect", zero], 1, more),
        (&["component", zero, "-o", "/dev/null"], 1, more),
        (&["suite", zero], 1, more),
        (&["report", zero], 1, more),
        (&["compare", zero, zero], 1, more),
        (&["http", zero], 1, more),
        (&["http", url, "--body", "@/dev/zero"], 2, more),
        (&["http", url, "--ca-cert", zero], 1, more),
        (&["run", task, "--data", zero], 1, "it is a pipe or a device"),
        (&["http", url, "--data", zero], 1, "it is a pipe or a device"),
    ] {
        assert_refused(&mut with(args), code, &[zero, words]);
    }
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    assert_refused(&mut with(&["run", task, "--data", pipe]), 1, &["it is a pipe or a device"]);
}

#[test]
fn calls_that_share_a_large_body_or_value_are_counted_together() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("big"), vec![b'x'; 60 << 20]).unwrap();
    let of_bodies = directory.path().join("bodies.http");
    std::fs::write(&of_bodies, "POST http://x.test/\n\n< big\n\n###\n".repeat(100)).unwrap();
    let of_values = directory.path().join("values.http");
    let value = format!("@v={}\n", "z".repeat(1_000_000));
    std::fs::write(&of_values, value + &"###\nGET http://x.test/\nX-A: {{v}}\n\n".repeat(5_000)).unwrap();
    for file in [of_bodies, of_values] {
        let file = file.to_str().unwrap();
        for command in [&["http", file, "--dry-run"][..], &["test", file]] {
            assert_refused(&mut with(command), 1, &["up to here the calls take more than 128 MiB together"]);
        }
    }
}

#[test]
fn types_and_exports_that_multiply_are_cut_or_refused() {
    let nested = |levels: u32, of: &str| {
        let first = format!("(type $t0 {of}) (export $e0 \"e\" (type $t0))");
        let types: String = (1..=levels)
            .map(|level| {
                let below = if level == 1 { "$e0".to_owned() } else { format!("$t{}", level - 1) };
                format!("(type $t{level} (tuple {}))", format!("{below} ").repeat(8))
            })
            .collect();
        let module = "(core module $m (memory (export \"m\") 1) (func (export \"f\") (param i32))
            (func (export \"r\") (param i32 i32 i32 i32) (result i32) i32.const 0))
            (core instance $i (instantiate $m))";
        let lift = "(canon lift (core func $i \"f\") (memory (core memory $i \"m\"))
            (realloc (core func $i \"r\")))";
        format!("(component {first} {types} {module} (func (export \"operation\") (param \"a\" $t{levels}) {lift}))")
    };
    let task = wat(&nested(5, "(enum \"a\" \"b\")"));
    let task = task.path().to_str().unwrap();
    let spent = spend(&mut with(&["inspect", task]));
    assert!(spent.said.len() < 5_000 && spent.peak < MOST, "{} bytes, {} MiB", spent.said.len(), spent.peak / MIB);
    assert_refused(&mut with(&["test", task]), 1, &["tuple<tuple<", "…"]);
}

#[test]
fn millions_of_calls_are_refused() {
    let mut file = tempfile::Builder::new().suffix(".txt").tempfile().unwrap();
    let lines: String = (0..4_000_000).map(|i| format!("http://127.0.0.1:1/{i}\n")).collect();
    file.write_all(lines.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    assert_refused(&mut with(&["http", path, "--allow", "calls"]), 1, &[":200001:", "more than 200,000 calls"]);
}

#[test]
fn the_rows_of_a_large_file_are_held_once() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "number,text").unwrap();
    let row = "x".repeat(90);
    (0..1_000_000).for_each(|i| writeln!(file, "{i},{row}").unwrap());
    let data = file.path().to_str().unwrap();
    let spent = spend(with(&["run", guest("noop").to_str().unwrap(), "-p", "3", "-n", "3"]).args(["--data", data]));
    assert_eq!(spent.code, Some(0), "{}", spent.said);
    assert!(spent.peak < 60 * MIB, "{} MiB for a file of 100 MB", spent.peak / MIB);
}

#[test]
fn bodies_of_megabytes_and_many_rows_are_no_attack() {
    let server = crate::support::servers::demo();
    let mut body = tempfile::NamedTempFile::new().unwrap();
    body.write_all(&vec![b'x'; 5_000_000]).unwrap();
    let mut rows = tempfile::NamedTempFile::new().unwrap();
    writeln!(rows, "id").unwrap();
    (0..300_000).for_each(|i| writeln!(rows, "{i}").unwrap());
    let sent = |url: &str, args: &[&str]| {
        let spent = spend(with(&["http", &format!("http://{server}/{url}"), "-n", "3", "--no-progress"]).args(args));
        assert_eq!(spent.code, Some(0), "{}", spent.said);
        assert!(spent.peak < MOST, "{} MiB", spent.peak / MIB);
    };
    sent("objects", &["--body", &format!("@{}", body.path().display())]);
    sent("bytes?n=1&{{id}}", &["--data", rows.path().to_str().unwrap()]);
}

#[test]
fn rates_that_no_machine_reaches_are_refused() {
    for rate in ["1000000000/s", "1e300/s"] {
        let task = guest("noop");
        let args = ["run", task.to_str().unwrap(), "-d", "1s", "--rate", rate];
        assert_refused(&mut with(&args), 2, &["is too fast"]);
    }
}

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attacks").join(name)
}

#[test]
fn a_report_that_cannot_be_true_is_refused_by_field() {
    for (name, field) in [("minmax.json", "latency_ns.min`"), ("claim4G.json", "latency_ns.hdr`")] {
        let file = case(name);
        let file = file.to_str().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let page = directory.path().join("r.html");
        assert_refused(&mut with(&["report", file, "--html", page.to_str().unwrap()]), 1, &["cannot be true", field]);
        assert_refused(&mut with(&["report", file, "--fail-if", "p99>1h"]), 1, &["cannot be true", field]);
        assert_refused(&mut with(&["compare", file, file]), 1, &["cannot be true", field]);
    }
}

#[test]
fn a_damaged_file_of_the_cache_is_not_used() {
    let cache = tempfile::tempdir().unwrap();
    let (one, other) = (operation(""), operation("nop"));
    let cached = |task: &Path| {
        let mut run = with(&["run", task.to_str().unwrap(), "--json", "-"]);
        let ran = crate::support::ran(run.env("XDG_CACHE_HOME", cache.path()).output().unwrap());
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran.report["runs"][0]["startup_ns"]["cached"].as_bool().unwrap()
    };
    let compiled = cache.path().join("gorgon/compiled");
    let files = || -> Vec<PathBuf> {
        let mut files: Vec<_> = std::fs::read_dir(&compiled).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    assert!(!cached(one.path()) && cached(one.path()));
    let code = files().remove(0);
    // Any byte: of the head, of the code, of the digest.
    let good = std::fs::read(&code).unwrap();
    for at in [0, good.len() / 3, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&code, bad).unwrap();
        assert!(!cached(one.path()), "byte {at} was flipped");
    }
    std::fs::write(&code, &good[..good.len() - 7]).unwrap();
    assert!(!cached(one.path()), "it was cut short");
    // The code of another task under this name.
    assert!(!cached(other.path()));
    let another = files().into_iter().find(|file| *file != code).unwrap();
    std::fs::copy(another, &code).unwrap();
    assert!(!cached(one.path()), "it was the code of another task");
}

#[test]
fn a_cache_that_others_can_replace_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let open = tempfile::tempdir().unwrap();
    let home = open.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut inspect = with(&["inspect", guest("noop").to_str().unwrap()]);
    let output = inspect.env("XDG_CACHE_HOME", &home).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("above it, can be written by others"), "{said}");
}

#[test]
fn idle_connections_cost_no_report_and_other_names_no_figures() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""]).arg(env!("CARGO_BIN_EXE_gorgon"));
    shell.arg("run").arg(guest("noop")).args(["-d", "60s", "--pause", "20ms", "--metrics", "127.0.0.1:0", "--json"]);
    shell.arg(directory.path().join("r.json")).arg("--html").arg(directory.path().join("r.html"));
    for (name, value) in gorgon().get_envs().filter_map(|(name, value)| Some((name, value?))) {
        shell.env(name, value);
    }
    let mut run = shell.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = std::io::BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    let address = line.trim().strip_prefix("metrics are at http://").unwrap().strip_suffix("/metrics").unwrap();
    let ask = |host: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(ask(address).starts_with("HTTP/1.1 200 "));
    assert!(ask("localhost:9464").starts_with("HTTP/1.1 200 "));
    let answer = ask("evil.example");
    assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("gorgon_"), "{answer}");
    // Neither a second name counts, nor one in the first line.
    let answer = ask(&format!("{address}\r\nHost: evil.example"));
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let open = || std::fs::read_dir(format!("/proc/{}/fd", run.id())).unwrap().count();
    let before = open();
    // More than the process may have files. They say a little, and then nothing.
    let idle: Vec<TcpStream> = (0..100).filter_map(|_| TcpStream::connect(address).ok()).collect();
    for mut stream in &idle {
        let _ = stream.write_all(b"GET /");
    }
    assert_eq!(idle.len(), 100);
    // The server has no more of them than it may.
    wait_until("it has accepted some", || open() > before + 5);
    assert!(open() < before + 30, "{} files are open, {before} before", open());
    crate::support::signal("INT", run.id());
    assert_eq!(run.wait().unwrap().code(), Some(130));
    for name in ["r.json", "r.html"] {
        assert!(std::fs::metadata(directory.path().join(name)).unwrap().len() > 1_000, "{name}");
    }
}

#[test]
fn suite_files_of_strangers_are_refused_in_plain_text() {
    let directory = tempfile::tempdir().unwrap();
    let escape = "name = \"\\u001b]0;x\\u0007\"\n[[run]]\nname=\"\\u001b]52;c;aGk=\\u0007\"\ntask = \"none.wasm\"\n";
    for (name, text, word) in [
        ("escape.toml", escape.to_owned(), "none.wasm"),
        ("negative.toml", "repetitions = -1\n[[run]]\ntask = \"x\"\n".to_owned(), "repetitions"),
        ("option.toml", "[[run]]\ntask = \"--help\"\noperations = 1\n".to_owned(), "--help"),
        ("deep.toml", format!("a={}", "[".repeat(100_000)), "deep.toml"),
        ("key.toml", format!("{} = 1\n", "k".repeat(3_000_000)), "key.toml"),
    ] {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut suite = gorgon();
        suite.arg("suite").arg(&file);
        let written = on_a_terminal(suite, 80);
        assert!(written.contains(word) && written.len() < 6_000, "{name}: {} bytes, {written:.300}", written.len());
        assert_eq!(crate::hostile::unsafe_parts(&written), Vec::<String>::new(), "{name}");
    }
}
