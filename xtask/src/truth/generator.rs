//! The items of generator-limited: was it the machine, or the target?

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::server::Server;
use super::{Bench, Measured, NOBODY, Ran};

/// A run of which it is known whether the machine limits it.
struct Case {
    what: &'static str,
    task: &'static str,
    /// The arguments of the server.
    server: Option<&'static [&'static str]>,
    args: &'static [&'static str],
    /// The share of a processor that its control group allows.
    quota: Option<f64>,
}

/// Each is a mirror image of the one in [`FREE`].
const LIMITED: [Case; 5] = [
    Case::computing(
        "50 instances that compute 2 ms in one thread",
        &["-c", "50", "--env", "CPU_US=2000", "--env", "WAIT_US=20000"],
    ),
    Case::computing(
        "1,000 per second that compute 2 ms",
        &["-c", "50", "--rate", "1000/s", "--env", "CPU_US=2000", "--env", "WAIT_US=20000"],
    ),
    Case::calling("a server that answers at once", &["0", "constant", "0"], &["-c", "50"]),
    Case::computing(
        "starts that are late by the time that an operation takes",
        &["-c", "100", "--rate", "250/s", "--arrivals", "poisson", "--env", "CPU_US=3000", "--env", "WAIT_US=2000"],
    ),
    Case::computing(
        "half a processor of work in a group that has a fifth of one",
        &["-c", "10", "--env", "CPU_US=1000", "--env", "WAIT_US=20000"],
    )
    .within(0.2),
];

const FREE: [Case; 5] = [
    Case::computing(
        "4 instances that compute 2 ms in one thread",
        &["-c", "4", "--env", "CPU_US=2000", "--env", "WAIT_US=20000"],
    ),
    Case::computing(
        "100 per second that compute 2 ms",
        &["-c", "50", "--rate", "100/s", "--env", "CPU_US=2000", "--env", "WAIT_US=20000"],
    ),
    Case::calling("a server that answers after 20 ms", &["0", "constant", "20000"], &["-c", "10"]),
    Case::computing("starts that are late by a hundredth of the time that an operation takes", &SLOW),
    Case::computing(
        "half a processor of work in a group that has two",
        &["-c", "10", "--env", "CPU_US=1000", "--env", "WAIT_US=20000"],
    )
    .within(2.0),
];

/// Operations of a second whose starts are late by some milliseconds.
const SLOW: [&str; 9] =
    ["-c", "300", "--rate", "100/s", "--arrivals", "poisson", "--env", "CPU_US=3000", "--env=WAIT_US=1000000"];

/// Targets that take above 100 ms. A confident "the machine was the limit" would be wrong.
const BEHIND_SLOW: [Case; 2] = [
    Case::calling("a server that answers after 150 ms", &["0", "constant", "150000"], &["-c", "50"]),
    Case::computing("operations of a second", &SLOW),
];

const ROUNDS: usize = 10;

pub(super) fn limited(bench: &Bench) -> anyhow::Result<Measured> {
    count(bench, &LIMITED, true, 2)
}

pub(super) fn free(bench: &Bench) -> anyhow::Result<Measured> {
    count(bench, &FREE, false, 2)
}

pub(super) fn slow(bench: &Bench) -> anyhow::Result<Measured> {
    count(bench, &BEHIND_SLOW, false, 0)
}

/// Runs each case ten times, and counts how often the report says that the machine was the limit, or that it was not.
fn count(bench: &Bench, cases: &[Case], is_limited: bool, most_wrong: usize) -> anyhow::Result<Measured> {
    let mut right = 0;
    for _ in 0..ROUNDS {
        for case in cases {
            let ran = bench.alone(|| case.run(bench))?;
            let ours = ran.report["runs"][0]["generator"]["limited"].as_bool().context("the report does not say it")?;
            right += usize::from(ours == is_limited);
            if ours != is_limited {
                eprintln!("{}: limited is {ours}: {}", case.what, ran.reasons().join("; "));
            }
        }
    }
    let all = ROUNDS * cases.len();
    Ok(Measured::counted(right, all, all - most_wrong))
}

impl Case {
    /// A task that computes for `CPU_US` and waits for `WAIT_US`.
    const fn computing(what: &'static str, args: &'static [&'static str]) -> Self {
        Self { what, task: "mixer", server: None, args, quota: None }
    }

    /// A task that calls a server with these arguments.
    const fn calling(what: &'static str, server: &'static [&'static str], args: &'static [&'static str]) -> Self {
        Self { what, task: "getter", server: Some(server), args, quota: None }
    }

    /// The same in a control group with so many processors.
    const fn within(self, processors: f64) -> Self {
        Self { quota: Some(processors), ..self }
    }

    fn run(&self, bench: &Bench) -> anyhow::Result<Ran> {
        let server = self.server.map(|server| Server::start(&bench.server, &bench.folder, server)).transpose()?;
        let group = self.quota.map(Group::new).transpose()?;
        let mut gorgon = bench.command("run", self.task, server.as_ref().map_or(NOBODY, |server| &server.url));
        gorgon.args(["-t", "1", "-d", "2s"]).args(self.args);
        if let Some(group) = &group {
            gorgon = group.run(&gorgon);
        }
        Ran::new(&gorgon.output()?, server)
    }
}

/// A control group of the kernel with a share of a processor.
struct Group {
    folder: PathBuf,
}

impl Group {
    const PERIOD_US: f64 = 100e3;

    fn new(processors: f64) -> anyhow::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let (is_v1, quota_us) = (root.join("cpu").is_dir(), (processors * Self::PERIOD_US).to_string());
        let parent = if is_v1 { root.join("cpu") } else { root.into() };
        let folder = parent.join(format!("gorgon-truth-{}", std::process::id()));
        let (file, limit) =
            if is_v1 { ("cpu.cfs_quota_us", quota_us) } else { ("cpu.max", format!("{quota_us} {}", Self::PERIOD_US)) };
        std::fs::create_dir(&folder).and_then(|()| std::fs::write(folder.join(file), limit)).with_context(|| {
            format!("{}: this item needs a control group of its own, and thus root", folder.display())
        })?;
        Ok(Self { folder })
    }

    /// The same command, in the group.
    fn run(&self, command: &Command) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]).arg(&self.folder);
        shell.arg(command.get_program()).args(command.get_args()).process_group(0);
        shell
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty, because its processes have ended.
        let _ = std::fs::remove_dir(&self.folder);
    }
}
