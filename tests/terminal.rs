//! Output on a terminal and in a pipe: what is drawn, what is coloured, what remains.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::tcgetattr;

use crate::browser::reports;
use crate::support::{gorgon, guest, signal, wait_until};

const ESCAPE: char = '\u{1b}';

/// Everything that `command` writes to a terminal with `columns` columns, regardless of its exit code.
pub(crate) fn on_a_terminal(mut command: Command, columns: u16) -> String {
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let end = || -> OwnedFd { terminal.slave.try_clone().unwrap() };
    let mut child = command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    // The command holds copies of the terminal; without them the terminal ends with the process.
    drop(command);
    drop(terminal.slave);
    let mut written = Vec::new();
    // Reading a terminal whose other end is closed gives an error instead of an end.
    let _ = File::from(terminal.master).read_to_end(&mut written);
    child.wait().unwrap();
    String::from_utf8(written).unwrap()
}

fn a_run() -> Command {
    let mut command = gorgon();
    command.arg("run").arg(guest("sleeper")).args(["-n", "40", "-t", "2", "--expect", "x"]);
    command.args(["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=30"]);
    command
}

#[test]
fn progress_is_drawn_and_removed() {
    for columns in [80, 200] {
        let written = on_a_terminal(a_run(), columns);
        assert!(written.contains(" ops  ") && written.contains(" failed"), "{written:?}");
        let drawn = written.split(['\r', '\n']).map(|line| anstream::adapter::strip_str(line).to_string());
        let widest = drawn.filter(|line| line.contains(" ops  ")).map(|line| line.trim_end().chars().count()).max();
        assert!(widest < Some(columns as usize), "{widest:?} of {columns} columns");
        // The line is removed before the report.
        let (progress, report) = written.split_once("closed model").unwrap();
        assert!(progress.contains("\u{1b}[2K"), "{progress:?}");
        assert!(!report.contains(" ops  ") && !report.contains("\u{1b}[2K"), "{report:?}");
        assert!(report.contains("\u{1b}[31m"), "a failed result is red");
    }
}

#[test]
fn output_of_the_task_does_not_break_the_progress_line() {
    let written = on_a_terminal(a_run(), 80);
    let lines: Vec<_> = written.split("\r\n").map(|line| anstream::adapter::strip_str(line).to_string()).collect();
    assert!(lines.iter().any(|line| line.trim_start_matches('\r').ends_with("began")), "{written:?}");
}

#[test]
fn no_colour_and_no_progress_if_unwanted() {
    let mut command = a_run();
    command.env("NO_COLOR", "1").arg("--no-progress");
    let written = on_a_terminal(command, 80);
    assert!(!written.contains(ESCAPE) && !written.contains(" ops  "), "{written:?}");

    let output = a_run().stdin(Stdio::null()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!stdout.contains(ESCAPE) && !stderr.contains(ESCAPE), "{stdout:?} {stderr:?}");
    assert!(!stderr.contains(" ops  "), "a run of less than ten seconds has no plain line: {stderr}");

    let mut quiet = a_run();
    let output = quiet.arg("--quiet").output().unwrap();
    // Every operation has failed, which even a quiet run says.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "gorgon: failed: no operation was ok\n");
    assert!(output.stdout.is_empty());
}

/// What `gorgon run --tui` with `args` writes to a terminal, and does after `act` has done something to the terminal or
/// the process. Also whether the terminal was left as it was found, and the exit code.
fn on_the_screen(args: &[&str], act: impl FnOnce(&mut File, u32)) -> (String, bool, Option<i32>) {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let end = || -> OwnedFd { terminal.slave.try_clone().unwrap() };
    let before = tcgetattr(&terminal.slave).unwrap();
    let mut command = gorgon();
    command.arg("run").arg(guest("sleeper")).args(["--env", "GORGON_SLEEP_EVERY=1", "--env", "GORGON_SLEEP_MS=20"]);
    command.args(["--tui", "-t", "2"]).args(args).env("TERM", "xterm-256color");
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    drop(command);
    let mut master = File::from(terminal.master);
    let (mut reading, written) = (master.try_clone().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let kept = written.clone();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = reading.read(&mut buffer) {
            kept.lock().unwrap().extend_from_slice(&buffer[..length]);
        }
    });
    wait_until("the screen shows results", || {
        assert!(child.try_wait().unwrap().is_none(), "{}", String::from_utf8_lossy(&written.lock().unwrap()));
        String::from_utf8_lossy(&written.lock().unwrap()).contains("per second")
    });
    act(&mut master, child.id());
    let code = child.wait().unwrap().code();
    let after = tcgetattr(&terminal.slave).unwrap();
    drop(terminal.slave);
    reader.join().unwrap();
    let written = String::from_utf8_lossy(&written.lock().unwrap()).into_owned();
    (written, before == after, code)
}

/// Leaves the alternate screen.
const LEFT: &str = "\u{1b}[?1049l";

#[test]
fn the_screen_is_given_back_whatever_ends_the_run() {
    let keys = |keys: &'static [u8]| move |to: &mut File, _: u32| to.write_all(keys).unwrap();
    // Its end, a key, Ctrl-C, a signal.
    let (written, is_as_before, code) = on_the_screen(&["-d", "3s"], |_, _| ());
    assert!(is_as_before && code == Some(0), "{code:?}");
    let (screen, report) = written.split_once(LEFT).unwrap();
    assert!(screen.contains("\u{1b}[?1049h") && screen.contains("1 results"), "{screen:?}");
    assert!(report.contains("closed model") && !report.contains("\u{1b}[?1049h"), "{report:?}");
    for press in [&b"2p\tq"[..], b"\x03"] {
        let (written, is_as_before, code) = on_the_screen(&["-d", "60s"], keys(press));
        assert!(is_as_before && code == Some(130), "{code:?}");
        let (_, report) = written.split_once(LEFT).unwrap();
        // What was said on the screen is not lost with it.
        assert!(report.contains("stopping: ") && report.contains("closed model"), "{report:?}");
    }
    let (written, is_as_before, code) = on_the_screen(&["-d", "60s"], |_, process| signal("TERM", process));
    assert!(is_as_before && code == Some(130) && written.contains(LEFT), "{code:?}");
}

#[test]
fn a_screen_needs_a_terminal() {
    let output = gorgon().arg("run").arg(guest("noop")).arg("--tui").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("--tui needs a terminal at stderr"), "{stderr}");
}

/// Reports on terminals of two widths: no line is wider, and the pictures in the documentation show them as they are;
/// `GORGON_BLESS=1` takes them again.
#[test]
fn reports_fit_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/images");
    for (name, report) in [("report", reports::shown()), ("open", reports::open()), ("suite", reports::suite())] {
        let file = folder.path().join(name).with_extension("json");
        std::fs::write(&file, serde_json::to_vec(&report).unwrap()).unwrap();
        for columns in [80, 120] {
            let mut command = gorgon();
            command.env_remove("COLUMNS").arg("report").arg(&file);
            let written = on_a_terminal(command, columns).replace("\r\n", "\n");
            for line in written.lines() {
                let wide = anstream::adapter::strip_str(line).to_string().chars().count();
                assert!(wide <= usize::from(columns), "{wide} of {columns} columns: {line}");
            }
            let drawn = anstyle_svg::Term::new().min_width_px(0).render_svg(&written);
            let picture = images.join(format!("terminal-{name}-{columns}.svg"));
            if std::env::var_os("GORGON_BLESS").is_some() {
                std::fs::write(&picture, &drawn).unwrap();
            }
            let kept = std::fs::read_to_string(&picture).unwrap();
            assert!(kept == drawn, "{} is not what is printed: GORGON_BLESS=1 takes it again", picture.display());
        }
    }
}

/// A task whose function of that name never ends, in a folder.
fn endless(name: &str, folder: &Path) -> std::path::PathBuf {
    let function = match name {
        "cleanup" => "(param i32 i32) (result i32) (loop br 0) i32.const 64",
        _ => "(result i32) (loop br 0) i32.const 64",
    };
    let module = format!(
        r#"(module (memory (export "memory") 1) (data (i32.const 16) "\08\00\00\00\07\00\00\00")
           (func (export "operation") (param i64) (result i32) i32.const 16)
           (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
           (func (export "{name}") {function}))"#
    );
    let (core, task) = (folder.join("core.wasm"), folder.join(format!("{name}.wasm")));
    std::fs::write(&core, wat::parse_str(module).unwrap()).unwrap();
    assert!(gorgon().arg("component").arg(core).arg("-o").arg(&task).status().unwrap().success());
    task
}

#[test]
fn a_hook_that_does_not_end_is_named_and_can_be_stopped() {
    let folder = tempfile::tempdir().unwrap();
    for (hook, waits, stops, code) in [
        ("prepare", "waiting for `prepare`: ", 1, 130),
        ("setup", "waiting for 1 of 1 worker to set up: ", 1, 130),
        ("teardown", "waiting for 1 worker to tear down: ", 2, 130),
        ("cleanup", "waiting for `cleanup`: ", 1, 130),
    ] {
        let task = endless(hook, folder.path());
        let mut command = gorgon();
        command.arg("run").arg(task).args(["-n", "10", "--hook-timeout", "600s"]);
        let (written, found) = until_stopped(command, waits, stops);
        assert!(written.contains(&format!("{waits}1 s ")), "{hook}: {written:?}");
        assert!(written.contains("(--hook-timeout 10m)"), "{hook}: {written:?}");
        assert_eq!(found, Some(code), "{hook}: {written:?}");
    }
}

/// What `command` writes to a terminal of 80 columns, and its exit code, if it gets Ctrl-C so many times after it has
/// written `awaited`.
fn until_stopped(mut command: Command, awaited: &str, stops: u32) -> (String, Option<i32>) {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let end = || -> OwnedFd { terminal.slave.try_clone().unwrap() };
    let mut child = command.env("TERM", "xterm-256color").stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    drop(command);
    drop(terminal.slave);
    let (mut master, mut written, mut left) = (File::from(terminal.master), String::new(), stops);
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = master.read(&mut buffer) {
        written.push_str(&String::from_utf8_lossy(&buffer[..length]));
        let is_told = if left == stops { written.contains(awaited) } else { written.contains("stopping: ") };
        if left > 0 && is_told {
            left -= 1;
            signal("INT", child.id());
        }
    }
    (written, child.wait().unwrap().code())
}
