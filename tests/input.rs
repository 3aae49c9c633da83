//! Unusable input: one line says what is wrong and what to do, the exit code is right, and nothing is left behind.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Stdio;

use crate::support::{gorgon, guest, limited, operation, wat};

/// Runs gorgon in an empty directory. Asserts its exit code, that it prints one line with all `words`, and that it
/// leaves no files.
fn assert_refused(args: &[&str], code: i32, words: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let output = gorgon().current_dir(directory.path()).args(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{args:?}: no `{word}` in: {stderr}");
    }
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{args:?} left something behind");
}

fn assert_task_refused(task: &Path, words: &[&str]) {
    for command in ["run", "test"] {
        assert_refused(&[command, task.to_str().unwrap()], 1, words);
    }
}

/// A component that lifts a core function of type `core` as `operation` of type `ty`.
fn lifted(core: &str, ty: &str) -> tempfile::NamedTempFile {
    wat(&format!(
        r#"(component
            (core module $m (memory (export "memory") 1) (func (export "f") {core} unreachable))
            (core instance $i (instantiate $m))
            (func (export "operation") {ty} (canon lift (core func $i "f") (memory (core memory $i "memory")))))"#
    ))
}

#[test]
fn files_that_are_not_tasks() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    assert_task_refused(&directory.path().join("none.wasm"), &["none.wasm", "No such file"]);
    assert_task_refused(directory.path(), &["is a directory", "name the .wasm file"]);
    assert_task_refused(&file("empty.wasm", b""), &["is empty"]);
    assert_task_refused(&file("text.wasm", b"fn main() {}\n"), &["is text", "compiled .wasm file"]);
    assert_task_refused(&file("half.wasm", b"\0asm\x0d\0\x01\0garbage"), &["half.wasm"]);
    let module = file("module.wasm", &wat::parse_str("(module)").unwrap());
    assert_task_refused(&module, &["a core module", "wasm32-wasip2"]);
    let elf = std::fs::read(env!("CARGO_BIN_EXE_gorgon")).unwrap();
    assert_task_refused(&file("binary.wasm", &elf[..4_096]), &["some other file"]);
    let cache = directory.path().join("cache");
    gorgon().arg("inspect").arg(operation("").path()).env("XDG_CACHE_HOME", &cache).output().unwrap();
    let compiled = std::fs::read_dir(cache.join("gorgon/compiled")).unwrap().next().unwrap().unwrap();
    let cwasm = std::fs::read(compiled.path()).unwrap();
    assert_task_refused(&file("task.cwasm", &cwasm), &["machine code", "never taken from a file"]);
}

#[test]
fn components_that_are_not_tasks() {
    let none = wat(r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
        (func (export "go") (canon lift (core func $i "f"))))"#);
    assert_task_refused(none.path(), &["no function `operation`", "it exports `go`", "--operation-name"]);
    let typed = lifted("(param i32) (result i32)", r#"(param "n" u32) (result string)"#);
    assert_task_refused(typed.path(), &["`operation` as func(u32) -> string", "func(u64) -> string"]);
    let imports = wat(r#"(component (import "db:client/query" (instance (export "run" (func))))
        (core module $m (memory (export "memory") 1) (func (export "f") (param i64) (result i32) i32.const 0))
        (core instance $i (instantiate $m))
        (func (export "operation") (param "n" u64) (result string)
            (canon lift (core func $i "f") (memory (core memory $i "memory")))))"#);
    assert_task_refused(imports.path(), &["db:client/query"]);
}

#[test]
fn outputs_that_cannot_be_written_are_found_before_the_run() {
    let task = guest("noop");
    let task = task.to_str().unwrap();
    assert_refused(&["run", task, "--json", "/none/report.json"], 1, &["`/none/report.json`", "no directory `/none`"]);
    assert_refused(&["run", task, "--json", "/"], 1, &["is a directory"]);
    assert_refused(&["run", task, "--json", "/proc/report.json"], 1, &["`/proc/report.json`"]);
    assert_refused(&["run", task, "--snapshot", "1s", "--json", "-"], 2, &["--snapshot needs a file"]);
}

#[test]
fn a_full_disk_loses_the_file_and_not_the_report() {
    let output = gorgon().arg("run").arg(guest("noop")).args(["-n", "10", "--json", "/dev/full"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("operations  "));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("`/dev/full`") && stderr.contains("No space left"), "{stderr}");
    assert!(std::fs::metadata("/dev/full").unwrap().file_type().is_char_device(), "/dev/full is still a device");
}

#[test]
fn a_reader_that_closes_the_pipe_early_is_not_an_error() {
    for args in
        [&["run", "TASK", "-n", "5"][..], &["test", "TASK"], &["inspect", "TASK"], &["man"], &["completions", "zsh"]]
    {
        let task = guest("noop");
        let args = args.iter().map(|&arg| if arg == "TASK" { task.to_str().unwrap() } else { arg });
        let mut child = gorgon().args(args.clone()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{:?}", args.collect::<Vec<_>>());
    }
}

#[test]
fn shell_limits_that_are_too_low_are_named() {
    for (limit, args, advice) in [("-v 4000000", &["-t", "4"][..], "ulimit -v"), ("-n 20", &["-p", "20"], "ulimit -n")]
    {
        let output = limited(limit, &guest("noop"), args);
        let (code, said) = (output.status.code(), String::from_utf8_lossy(&output.stderr));
        assert_eq!(code, Some(1), "{limit}: {said}");
        assert!(said.contains(advice), "{limit}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{limit}: {said}");
    }
}
