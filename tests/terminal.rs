//! Output on a terminal and in a pipe: what is drawn, what is coloured, what remains.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};

use crate::support::{gorgon, guest};

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
