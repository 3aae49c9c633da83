//! Projects of `gorgon new` in every language: they match the examples, the commands of their READMEs build and run
//! them, and they have the results of the Rust examples.
//!
//! Missing toolchains are installed, which takes some minutes and the package registries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gorgon::demo::Server;
use tempfile::TempDir;
use xtask::languages::{self, Commands, Language, Tools};

use crate::support::{Ran, gorgon, guest, ran, run};

const GORGON: &str = env!("CARGO_BIN_EXE_gorgon");

/// A project of `gorgon new` in a separate folder.
struct Project {
    folder: TempDir,
    name: &'static str,
}

impl Project {
    fn new(name: &'static str, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = new(folder.path(), name, args);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder, name }
    }

    /// A copy of an example that `gorgon new` does not make.
    fn copied(example: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_to(&examples().join(example), &folder.path().join("copy"));
        Self { folder, name: "copy" }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// Its files, by path.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        files(&self.path())
    }

    /// Replaces `from` in every file.
    fn replace(&self, from: &str, to: &str) {
        for (file, text) in self.files() {
            std::fs::write(self.path().join(file), text.replace(from, to)).unwrap();
        }
    }

    /// Tests, builds, shows and multiplies the task with the three commands of the README. Returns the result of the
    /// last one.
    fn run(&self, tools: Option<&Tools>, env: &[(&str, &str)]) -> Ran {
        let readme = std::fs::read_to_string(self.path().join("README.md")).unwrap();
        let commands = Commands::of(&readme).unwrap();
        if let Some(tools) = tools {
            tools.set_up(&self.path()).unwrap();
        }
        let shell = |line: &str| {
            let mut shell = match tools {
                Some(tools) => tools.shell(&self.path(), Path::new(GORGON), line).unwrap(),
                None => rust(&self.path(), line),
            };
            for (key, value) in gorgon().get_envs().filter_map(|(key, value)| Some((key, value?))) {
                // Other tools keep their usual caches.
                if key != "XDG_CACHE_HOME" || line.starts_with("gorgon") {
                    shell.env(key, value);
                }
            }
            shell.envs(env.iter().copied()).output().unwrap()
        };
        succeeded(commands.test, &shell(commands.test));
        succeeded(commands.build, &shell(commands.build));
        // `gorgon run TASK -n 1000 …` also shows how to show one operation.
        let words: Vec<_> = commands.run.split(' ').collect();
        let (task, grants) = (words[2], words.iter().position(|word| *word == "--allow"));
        let grants = grants.map(|at| words[at..].join(" ")).unwrap_or_default();
        let shown = succeeded("gorgon test", &shell(&format!("gorgon test {task} -n 5 {grants}")));
        assert!(shown.contains("5 operations: 5 ok, 0 not"), "{shown}");
        ran(shell(&format!("{} --json -", commands.run)))
    }
}

/// Runs `gorgon new` in `folder`.
fn new(folder: &Path, name: &str, args: &[&str]) -> Output {
    gorgon().args(["new", name]).args(args).current_dir(folder).output().unwrap()
}

/// A shell for a Rust project. It keeps what is built, so that dependencies are compiled only once.
fn rust(project: &Path, line: &str) -> Command {
    let mut shell = Command::new("bash");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", Path::new(GORGON).parent().unwrap().display());
    // The folder replaces the README's `target`.
    let line = line.replace(" target/", &format!(" {}/", target.display()));
    shell.args(["-ec", &line]).current_dir(project).env("CARGO_TARGET_DIR", target).env("PATH", path);
    shell
}

fn succeeded(what: &str, output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in std::fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_owned();
                files.insert(name, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    files
}

/// The results of the Rust example for the same number of operations and the same shape.
fn as_in_rust() -> Vec<(String, String, u64)> {
    run(&guest("hash"), &["-n", "1000", "-p", "2", "-t", "2"]).results()
}

/// A project of `gorgon new`.
fn hashes(language: Language) {
    hash(&Project::new("shop-seven", &["--lang", language.name()]), Some(&language.install().unwrap()));
}

/// The example of a language that `gorgon new` does not have.
fn example_hashes(language: Language) {
    let project = Project::copied(&format!("{}/hash", language.name()));
    hash(&project, Some(&language.install().unwrap()));
}

fn hash(project: &Project, tools: Option<&Tools>) {
    let ran = project.run(tools, &[]);
    assert_eq!(ran.adds_up().results(), as_in_rust(), "{}", ran.stderr);
    assert_eq!((ran.code, ran.figure("/operations/completed")), (Some(0), 1_000));
}

fn flows(language: &str, tools: Option<&Tools>) {
    flow(&Project::new("shop-eight", &["--lang", language, "--http"]), tools);
}

fn flow(project: &Project, tools: Option<&Tools>) {
    let server = Server::listen(0).unwrap();
    let address = server.address().unwrap().to_string();
    std::thread::spawn(move || server.serve());
    project.replace("127.0.0.1:8080", &address);
    let ran = project.run(tools, &[]);
    assert_eq!(ran.adds_up().results(), [("done".into(), "ok".into(), 1_000)], "{}", ran.stderr);
    assert_eq!(ran.figure("/network/requests"), 3_000);
    let spans = ran.report["runs"][0]["results"][0]["spans"].as_array().unwrap();
    let names: Vec<_> = spans.iter().map(|span| (span["name"].as_str().unwrap(), span["count"].as_u64())).collect();
    let expected = ["POST /objects", "GET /objects/{id}", "DELETE /objects/{id}"];
    assert_eq!(names, expected.map(|name| (name, Some(1_000))));
}

#[test]
fn python_hashes_as_rust_does() {
    hashes(Language::Python);
}

#[test]
fn javascript_hashes_as_rust_does() {
    hashes(Language::Js);
}

#[test]
fn typescript_hashes_as_rust_does() {
    hashes(Language::Ts);
}

#[test]
fn c_hashes_as_rust_does() {
    hashes(Language::C);
}

#[test]
fn go_hashes_as_rust_does() {
    hashes(Language::Go);
}

#[test]
fn python_sends_requests() {
    flows("python", Some(&Language::Python.install().unwrap()));
}

#[test]
fn javascript_sends_requests() {
    flows("js", Some(&Language::Js.install().unwrap()));
}

#[test]
fn typescript_sends_requests() {
    flows("ts", Some(&Language::Ts.install().unwrap()));
}

#[test]
fn c_sends_requests() {
    flows("c", Some(&Language::C.install().unwrap()));
}

#[test]
fn go_sends_requests() {
    flows("go", Some(&Language::Go.install().unwrap()));
}

#[test]
fn rust_hashes_and_sends_requests() {
    let project = Project::new("shop-seven", &["--lang", "rust"]);
    let ran = project.run(None, &[]);
    assert_eq!(ran.adds_up().results(), as_in_rust(), "{}", ran.stderr);
    flows("rust", None);
}

/// The SDK lies in the project. After publication it comes by its version; here a patch stands in for the registry.
#[test]
fn a_rust_project_builds_with_a_published_sdk() {
    let project = Project::new("shop-seven", &["--lang", "rust"]);
    let manifest = project.files()[Path::new("Cargo.toml")].clone();
    let (before, after) = manifest.split_once("path = \"gorgon-guest\"").unwrap();
    let version = format!("version = \"{}\"", env!("CARGO_PKG_VERSION"));
    std::fs::write(project.path().join("Cargo.toml"), format!("{before}{version}{after}")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let sdk = elsewhere.path().join("sdk");
    std::fs::rename(project.path().join("gorgon-guest"), &sdk).unwrap();
    let patch = format!("patch.crates-io.gorgon-guest.path='{}'", sdk.display());
    let build = format!("cargo build --release --target wasm32-wasip2 --config \"{patch}\"");
    succeeded("cargo", &rust(&project.path(), &build).output().unwrap());
}

#[test]
fn zig_hashes_as_rust_does() {
    example_hashes(Language::Zig);
}

#[test]
fn zig_sends_requests() {
    flow(&Project::copied("zig/http"), Some(&Language::Zig.install().unwrap()));
}

#[test]
fn cpp_throws_catches_and_hashes_as_rust_does() {
    example_hashes(Language::Cpp);
}

#[test]
fn javascript_in_a_smaller_engine_hashes_as_rust_does() {
    example_hashes(Language::QuickJs);
}

#[test]
fn assemblyscript_hashes_as_rust_does() {
    example_hashes(Language::AssemblyScript);
}

#[test]
fn nim_hashes_as_rust_does() {
    example_hashes(Language::Nim);
}

#[test]
fn kotlin_hashes_as_rust_does() {
    example_hashes(Language::Kotlin);
}

#[test]
fn rust_without_the_sdk_hashes_in_an_interface_of_its_own() {
    hash(&Project::copied("rust-wit-bindgen/hash"), None);
}

/// A copy of an example, for building or running it there.
fn copy(example: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_to(&examples().join(example), folder.path());
    folder
}

/// Copies the files of a folder, and what its links lead to.
fn copy_to(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy_to(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

#[test]
fn pytest_calls_what_gorgon_multiplies() {
    let (tools, folder) = (languages::pytest().unwrap(), copy("reuse/pytest"));
    let mut pytest = tools.shell(folder.path(), Path::new(GORGON), "pytest -q -p no:cacheprovider").unwrap();
    let said = succeeded("pytest", &pytest.env("TASK", guest("hash")).output().unwrap());
    assert!(said.contains("11 passed"), "{said}");

    // In Python too, an operation that returns an `Err` has failed.
    let call =
        "import os, gorgon_task; task = gorgon_task.Task(os.environ['TASK']); print(task.operation(0), task.failures)";
    let mut python = tools.shell(folder.path(), Path::new(GORGON), &format!("python3 -c \"{call}\"")).unwrap();
    let said = succeeded("python3", &python.env("TASK", guest("spans")).output().unwrap());
    assert_eq!(said, "run me with --data users.csv ['run me with --data users.csv']\n");
}

#[test]
fn node_calls_what_gorgon_multiplies() {
    let (tools, folder) = (Language::Js.install().unwrap(), copy("reuse/node"));
    tools.set_up(folder.path()).unwrap();
    let mut node = tools.shell(folder.path(), Path::new(GORGON), "npm test").unwrap();
    let said = succeeded("npm test", &node.env("TASK", guest("hash")).output().unwrap());
    assert!(said.contains("# pass 10") || said.contains("pass 10"), "{said}");
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

#[test]
fn new_projects_are_the_examples() {
    for language in ["python", "js", "ts", "c", "go"] {
        for example in std::fs::read_dir(examples().join(language)).unwrap() {
            let example = example.unwrap().path();
            let mut args = vec!["--lang", language];
            args.extend(example.ends_with("http").then_some("--http"));
            let project = Project::new("my-task", &args);
            assert_eq!(project.files(), files(&example), "{}", example.display());
        }
    }
}

#[test]
fn a_new_project_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, args: &[&str]| {
        let output = new(folder.path(), name, args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        (output.status.code(), stderr)
    };
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    for (name, args, code, wanted) in [
        ("taken", &["--lang", "js"][..], 1, "cannot make the folder `taken`"),
        ("My Task", &["--lang", "js"], 2, "such as my-task"),
        ("../up", &["--lang", "js"], 2, "such as my-task"),
        ("7up", &["--lang", "js"], 2, "such as my-task"),
        ("loop", &["--lang", "rust"], 2, "Rust does not accept a crate called `loop`"),
        ("shop", &["--lang", "go", "--sdk", "."], 2, "--sdk is for --lang rust"),
        ("shop", &["--lang", "rust", "--sdk", "taken"], 1, "`taken` has no gorgon-guest"),
        ("shop", &["--lang", "cobol"], 2, "possible values: rust, python, js, ts, c, go"),
        ("shop", &[], 2, "--lang <LANGUAGE>"),
    ] {
        let (found, stderr) = refused(name, args);
        assert!(found == Some(code) && stderr.contains(wanted), "{name}: {found:?} {stderr}");
        assert!(!folder.path().join("shop").exists());
    }
}

/// Every file below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

#[test]
fn a_new_project_names_nothing_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().display().to_string();
    for (name, args) in [
        ("rust", &["--lang", "rust"][..]),
        ("rust-http", &["--lang", "rust", "--http"]),
        ("python", &["--lang", "python", "--http"]),
        ("js", &["--lang", "js", "--http"]),
        ("ts", &["--lang", "ts", "--http"]),
        ("c", &["--lang", "c", "--http"]),
        ("go", &["--lang", "go", "--http"]),
    ] {
        assert!(new(folder.path(), name, args).status.success());
        for file in below(&folder.path().join(name)) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(!text.contains(&checkout), "{} names {checkout}", file.display());
        }
    }
    let manifest = std::fs::read_to_string(folder.path().join("rust/Cargo.toml")).unwrap();
    assert!(manifest.contains("gorgon-guest = { path = \"gorgon-guest\" }"), "{manifest}");
    // A folder that was named from here is named from the project.
    std::fs::create_dir(folder.path().join("sdk")).unwrap();
    std::fs::write(folder.path().join("sdk/Cargo.toml"), "[package]\nname = \"gorgon-guest\"\n").unwrap();
    assert!(new(folder.path(), "linked", &["--lang", "rust", "--sdk", "sdk"]).status.success());
    let manifest = std::fs::read_to_string(folder.path().join("linked/Cargo.toml")).unwrap();
    assert!(manifest.contains("gorgon-guest = { path = \"../sdk\" }"), "{manifest}");
    assert!(!folder.path().join("linked/gorgon-guest").exists());
}

#[test]
fn a_module_that_cannot_become_a_component_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("core.wasm");
    for (bytes, wanted) in [
        (&b"int main"[..], "is not a core WebAssembly module"),
        (b"", "is not a core WebAssembly module"),
        (b"\0asm\x01\0\0\0\xff", "is not a core WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", "is a component already"),
        (b"\0asm\x01\0\0\0", "exports no `operation`: export a function"),
        (
            &wat::parse_str("(module (memory (export \"memory\") 1) (func (export \"operation\")))").unwrap(),
            "exports `operation` as (): in a core module it is (i64) -> i32",
        ),
        (
            &wat::parse_str(
                "(module (import \"a:b/c\" \"d\" (func)) (memory (export \"memory\") 1)
                 (func (export \"operation\") (param i64) (result i32) i32.const 0))",
            )
            .unwrap(),
            "a:b",
        ),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let output = gorgon().arg("component").arg(&file).arg("-o").arg(folder.path().join("x")).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && stderr.contains(wanted), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn a_module_brings_its_hooks_and_may_be_fallible() {
    let folder = tempfile::tempdir().unwrap();
    let (core, task) = (folder.path().join("core.wasm"), folder.path().join("task.wasm"));
    // `err("no")` at 16: a discriminant, then the address and the length of the text.
    let module = r#"(module
        (memory (export "memory") 1)
        (data (i32.const 8) "no")
        (data (i32.const 16) "\01\00\00\00\08\00\00\00\02\00\00\00")
        (func (export "operation") (param i64) (result i32) i32.const 16)
        (func (export "setup") (result i32) i32.const 64))"#;
    std::fs::write(&core, wat::parse_str(module).unwrap()).unwrap();
    let output = gorgon().arg("component").arg(&core).arg("--fallible").arg("-o").arg(&task).output().unwrap();
    succeeded("gorgon component", &output);
    let inspection = gorgon().arg("inspect").arg(&task).output().unwrap();
    assert!(succeeded("gorgon inspect", &inspection).contains("hooks       setup"));
    assert_eq!(run(&task, &["-n", "3"]).results(), [("no".into(), "failed".into(), 3)]);
}
