//! Runs gorgon on tasks that are built from Rust sources or written as WebAssembly text.

pub(crate) mod nats;
pub(crate) mod proxy;
pub(crate) mod servers;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT};
use tempfile::NamedTempFile;

/// The gorgon binary, with a cache of compiled tasks and a place for keys that only the tests use. Its signals do what
/// they do by default, even if the tests were started in the background by a shell that ignores them: a signal with a
/// handler gets its default back in a new program, and an ignored one stays ignored.
pub(crate) fn gorgon() -> Command {
    static SIGNALS: OnceLock<()> = OnceLock::new();
    SIGNALS.get_or_init(|| {
        for signal in [SIGINT, SIGHUP] {
            let is_default = Arc::new(AtomicBool::new(true));
            signal_hook::flag::register_conditional_default(signal, is_default).expect("a signal has a handler");
        }
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_gorgon"));
    command.env("XDG_CACHE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    command.env("XDG_STATE_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("state"));
    command.env_remove("NO_COLOR");
    command
}

/// The component of an example or a test guest, built like a user would build it.
pub(crate) fn guest(name: &str) -> PathBuf {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    let packages: Vec<&str> = include_str!("../guests/packages").lines().collect();
    let target = TARGET.get_or_init(|| build(&packages, &["--release"]));
    target.join("release").join(name).with_extension("wasm")
}

/// The component of an example with debug information.
pub(crate) fn debug_guest(name: &str) -> PathBuf {
    build(&[name], &[]).join("debug").join(name).with_extension("wasm")
}

/// The component of an example as it is checked in, without paths of the machine that built it.
pub(crate) fn portable_guest(name: &str) -> PathBuf {
    let home = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let cargo = home("CARGO_HOME").or(home("HOME").map(|home| home.join(".cargo"))).expect("cargo has a home");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the checkout is there");
    let remapped = [(cargo, "cargo"), (root, "gorgon")];
    let remapped = remapped.map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display()));
    let built = build_into("portable", &[name], &["--release"], &[("RUSTFLAGS", &remapped.join(" "))]);
    built.join("release").join(name).with_extension("wasm")
}

/// Builds tasks and returns the directory of the binaries.
fn build(packages: &[&str], flags: &[&str]) -> PathBuf {
    build_into("guests", packages, flags, &[])
}

fn build_into(folder: &str, packages: &[&str], flags: &[&str], env: &[(&str, &str)]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--target", "wasm32-wasip2"]).args(flags).arg("--manifest-path").arg(manifest);
    build.args(packages.iter().flat_map(|package| ["-p", package]));
    let status = build.env("CARGO_TARGET_DIR", &target).envs(env.iter().copied()).status().expect("cargo starts");
    assert!(status.success(), "the guests do not build; is the target there? `cargo xtask guests` installs it");
    target.join("wasm32-wasip2")
}

/// A component from WebAssembly text, in a file that exists as long as the value.
pub(crate) fn wat(text: &str) -> NamedTempFile {
    let file = tempfile::Builder::new().suffix(".wasm").tempfile().expect("a temporary file");
    std::fs::write(file.path(), wat::parse_str(text).expect("valid text")).expect("it can be written");
    file
}

/// A component whose operation has this body in core WebAssembly. The body gets the number as `$n`, and returns "ok"
/// unless it ends otherwise.
pub(crate) fn operation(body: &str) -> NamedTempFile {
    component(body, "")
}

/// The same with an empty body and these bytes as data.
pub(crate) fn operation_with_data(bytes: &str) -> NamedTempFile {
    component("", &format!("(data \"{bytes}\")"))
}

fn component(body: &str, data: &str) -> NamedTempFile {
    wat(&format!(
        r#"(component
            (core module $m
                (memory (export "memory") 1)
                {data}
                (data (i32.const 16) "ok")
                (data (i32.const 0) "\10\00\00\00\02\00\00\00")
                (func (export "operation") (param $n i64) (result i32)
                    {body}
                    i32.const 0)
                (func $deep (param i32) (result i32)
                    (i32.add (call $deep (local.get 0)) (call $deep (local.get 0)))))
            (core instance $i (instantiate $m))
            (func (export "operation") (param "n" u64) (result string)
                (canon lift (core func $i "operation") (memory (core memory $i "memory")))))"#
    ))
}

/// The command in a namespace of its own, in which the shell has done `mounts`; `None` if the system does not allow
/// that.
pub(crate) fn with_mounts(mounts: &str, command: &Command) -> Option<Command> {
    let unshare = |run: &str| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--map-root-user", "sh", "-c", &format!("{mounts} && exec {run}")]);
        unshare
    };
    if !unshare("true").output().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: the system allows no namespace of mounts");
        return None;
    }
    let mut wrapped = unshare("\"$0\" \"$@\"");
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    Some(wrapped)
}

/// Sends `signal`, such as `KILL`, to a process.
pub(crate) fn signal(signal: &str, process: u32) {
    let sent = Command::new("kill").args([format!("-{signal}"), process.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "no process {process} to send {signal} to");
}

/// The worker processes of a running gorgon.
pub(crate) fn workers(of: &Child) -> Vec<u32> {
    // Each thread has a separate list of children, and any of them may have started a worker.
    let threads = std::fs::read_dir(format!("/proc/{}/task", of.id())).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let children =
        lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>());
    // Until a child executes another program, its parent waits for it in the kernel: a signal that stops the child then
    // stops both.
    let is_worker = |child: &u32| {
        let command = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|argument| argument == b"worker")
    };
    children.filter(is_worker).collect()
}

/// Waits until `is_so`, up to a minute, which is more than anything here takes.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        // Whoever only yields takes a processor from those that it waits for.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether a process lives; a zombie does not.
pub(crate) fn lives(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// The processor time that a process has used, from `/proc`; `None` once it has ended. On a busy machine programs wait
/// longer, but do not use more processor time.
pub(crate) fn processor_time(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok().filter(|_| lives(process))?;
    // The name is in parentheses and may contain anything. User and system time are fields 14 and 15.
    let fields: Vec<_> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
    // Linux counts them in hundredths of a second for all programs.
    Some(Duration::from_millis(ticks * 10))
}

/// A task whose `prepare` never returns.
pub(crate) fn endless_prepare() -> NamedTempFile {
    wat(r#"(component
            (core module $m
                (memory (export "memory") 1)
                (func (export "prepare") (result i32) (loop (br 0)) unreachable)
                (func (export "operation") (param i64) (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func (export "prepare") (result (result string (error string)))
                (canon lift (core func $i "prepare") (memory (core memory $i "memory"))))
            (func (export "operation") (param "n" u64) (result string)
                (canon lift (core func $i "operation") (memory (core memory $i "memory")))))"#)
}

/// A running gorgon that keeps its JSON report up to date in a file.
pub(crate) struct Watched {
    pub(crate) gorgon: Child,
    directory: tempfile::TempDir,
}

/// Starts `gorgon run TASK ARGS…` with a report that can be read while it runs.
pub(crate) fn watch(task: &Path, args: &[&str]) -> Watched {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = gorgon();
    command.arg("run").arg(task).args(["--snapshot", "500ms", "--quiet", "--json"]);
    command.arg(directory.path().join("report.json")).args(args);
    let gorgon = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("gorgon starts");
    Watched { gorgon, directory }
}

impl Watched {
    /// The directory with the report.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The current content of the file; null before there is one.
    pub(crate) fn report(&self) -> Value {
        let file = std::fs::read(self.directory.path().join("report.json"));
        file.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// The number of completed operations in the file.
    pub(crate) fn completed(&self) -> u64 {
        self.report()["runs"][0]["operations"]["completed"].as_u64().unwrap_or_default()
    }

    /// Waits for the end of the run.
    pub(crate) fn finish(mut self) -> Ran {
        let mut stderr = String::new();
        let mut pipe = self.gorgon.stderr.take().expect("it is piped");
        std::io::Read::read_to_string(&mut pipe, &mut stderr).expect("gorgon writes UTF-8");
        let status = self.gorgon.wait().expect("gorgon ends");
        let report = self.report();
        validate(&report);
        Ran { code: status.code(), report, stderr }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A failed test must not leave a process behind. Killing a process that has ended does nothing.
        let _ = self.gorgon.kill();
        let _ = self.gorgon.wait();
    }
}

/// Starts a gorgon whose output the test reads.
pub(crate) fn spawn(task: &Path, args: &[&str]) -> Child {
    let mut command = gorgon();
    command.arg("run").arg(task).args(["--json", "-"]).args(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gorgon starts")
}

/// Runs a task under a limit of the shell, such as `-n 40`.
pub(crate) fn limited(limit: &str, task: &Path, args: &[&str]) -> Output {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")]).arg(env!("CARGO_BIN_EXE_gorgon"));
    for (key, value) in gorgon().get_envs().filter_map(|(key, value)| Some((key, value?))) {
        shell.env(key, value);
    }
    shell.arg("run").arg(task).args(args).output().expect("bash starts")
}

/// The result of a finished gorgon.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) report: Value,
    pub(crate) stderr: String,
}

/// Runs `gorgon run TASK ARGS… --json -`.
pub(crate) fn run(task: &Path, args: &[&str]) -> Ran {
    let output = gorgon().arg("run").arg(task).args(["--json", "-"]).args(args).output().expect("gorgon starts");
    ran(output)
}

/// Parses the output of `gorgon run … --json -`.
pub(crate) fn ran(output: Output) -> Ran {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    validate(&report);
    Ran { code: output.status.code(), report, stderr }
}

/// Checks JSON from gorgon against the schema of its format.
pub(crate) fn validate(report: &Value) {
    static SCHEMAS: OnceLock<[(&str, jsonschema::Validator); 3]> = OnceLock::new();
    let schemas = SCHEMAS.get_or_init(|| {
        let schemas = [
            ("gorgon.report/1", include_str!("../../docs/report.schema.json")),
            ("gorgon.find/1", include_str!("../../docs/find.schema.json")),
            ("gorgon.compare/1", include_str!("../../docs/compare.schema.json")),
        ];
        schemas.map(|(format, text)| {
            let schema = serde_json::from_str(text).expect("the schema is JSON");
            (format, jsonschema::validator_for(&schema).expect("it is a schema"))
        })
    });
    let (_, schema) = schemas.iter().find(|(format, _)| report["schema"] == *format).expect("a format with a schema");
    let wrong: Vec<_> = schema.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

impl Ran {
    /// The figure at a JSON pointer in the first run.
    pub(crate) fn figure(&self, pointer: &str) -> u64 {
        let value = &self.report["runs"][0];
        value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no figure at {pointer} in {value:#}"))
    }

    /// The results of the first run: result, outcome, operations.
    pub(crate) fn results(&self) -> Vec<(String, String, u64)> {
        let results = self.report["runs"][0]["results"].as_array().expect("an array");
        results
            .iter()
            .map(|r| {
                let text = |key: &str| r[key].as_str().unwrap_or_default().to_owned();
                (text("result"), text("outcome"), r["operations"].as_u64().unwrap_or_default())
            })
            .collect()
    }

    /// Asserts that the counts of every run add up.
    pub(crate) fn adds_up(&self) -> &Self {
        for run in self.report["runs"].as_array().expect("an array") {
            let of = |key: &str| run["operations"][key].as_u64().unwrap_or_else(|| panic!("no {key} in {run:#}"));
            assert_eq!(of("offered"), of("completed") + of("dropped") + of("lost") + of("in_flight"));
            assert_eq!(of("completed"), of("ok") + of("failed") + of("trapped") + of("timed_out"));
            let sum = |list: &Value, key: &str| -> u64 {
                list.as_array().expect("an array").iter().map(|item| item[key].as_u64().unwrap_or_default()).sum()
            };
            assert_eq!(of("completed"), sum(&run["results"], "operations"), "results");
            assert_eq!(of("completed"), sum(&run["timeline"]["buckets"], "started"), "started");
            let cut = run["cut"].as_array().expect("an array").len() as u64;
            assert!((of("in_flight")..=of("in_flight") + of("timed_out")).contains(&cut), "{cut} cut");
            assert_eq!(of("completed"), sum(&run["timeline"]["buckets"], "completed"), "completed");
            assert_eq!(of("completed"), sum(&run["workers"], "operations"), "workers");
            assert_eq!(of("completed"), run["latency_ns"]["count"].as_u64().unwrap_or_default());
        }
        self
    }
}

/// Runs one GET of `url` with `args`.
pub(crate) fn get(url: &str, args: &[&str]) -> Ran {
    let env = format!("URL={url}");
    let ran = run(&guest("http"), &[&["--env", &env][..], args].concat());
    ran.adds_up();
    ran
}

/// The result that all operations had in common.
pub(crate) fn only_result(ran: &Ran) -> String {
    let results = ran.results();
    assert_eq!(results.len(), 1, "{results:?}");
    results[0].0.clone()
}
