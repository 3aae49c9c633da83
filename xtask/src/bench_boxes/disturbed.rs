//! What disturbances cost a run over three boxes: its time against that of an undisturbed run, and what is lost.

use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::{Agent, Bench, short};

/// When the disturbance comes, after the start of the command.
const BEFORE: Duration = Duration::from_secs(4);

/// Operations that wait for 20 ms, thirty at a time: sixteen seconds without a disturbance.
const CLOSED: [&str; 8] = ["-n", "24000", "-t", "2", "-c", "5", "--env", "GORGON_WAIT_US=20000"];

/// The same operations at a rate.
const OPEN: [&str; 10] = ["--rate", "600/s", "-d", "24s", "-t", "2", "-c", "5", "--env", "GORGON_WAIT_US=20000"];

/// What happens to a run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Happening {
    Nothing,
    AgentKilled,
    AgentLeaves,
    AgentComes,
    BoxStopped,
    CommandKilled,
    CommandStopped,
    ServerKilled,
}

/// What is run, what happens, and what it is called.
const ROWS: [(&str, &[&str], Happening); 11] = [
    ("nothing", &CLOSED, Happening::Nothing),
    ("an agent is killed", &CLOSED, Happening::AgentKilled),
    ("an agent leaves", &CLOSED, Happening::AgentLeaves),
    ("an agent comes", &CLOSED, Happening::AgentComes),
    ("a box stands still for 20 s", &CLOSED, Happening::BoxStopped),
    ("the command is killed, and attached to", &CLOSED, Happening::CommandKilled),
    ("the command stands still for 8 s", &CLOSED, Happening::CommandStopped),
    ("the server is killed, and is back after 3 s", &CLOSED, Happening::ServerKilled),
    ("a rate: nothing", &OPEN, Happening::Nothing),
    ("a rate: an agent is killed", &OPEN, Happening::AgentKilled),
    ("a rate: a box stands still for 20 s", &OPEN, Happening::BoxStopped),
];

/// Prints a row for each disturbance.
pub(super) fn print(bench: &mut Bench) -> anyhow::Result<()> {
    println!(
        "| what happens after {} s | seconds | to undisturbed | completed | lost | dropped | refused frames | left behind |",
        BEFORE.as_secs()
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut undisturbed = 1.0;
    for (name, load, what) in ROWS {
        let (report, left) = bench.disturb(load, what).with_context(|| name.to_owned())?;
        let run = report.pointer("/runs/0").with_context(|| format!("no run in {}", short(&report)))?;
        let figure = |of: &str| run.pointer(of).and_then(Value::as_u64).unwrap_or_default();
        let seconds = figure("/elapsed_ns") as f64 / 1e9;
        if what == Happening::Nothing {
            undisturbed = seconds;
        }
        let boxes = run["boxes"].as_array().context("no boxes")?;
        let refused: u64 = boxes.iter().filter_map(|of| of["refused_frames"].as_u64()).sum();
        println!(
            "| {name} | {seconds:.1} | {:.2} | {} | {} | {} | {refused} | {left} |",
            seconds / undisturbed,
            figure("/operations/completed"),
            figure("/operations/lost"),
            figure("/operations/dropped"),
        );
    }
    println!();
    Ok(())
}

impl Bench {
    /// The report of a run to which something happens, and what is left behind.
    fn disturb(&mut self, load: &[&str], what: Happening) -> anyhow::Result<(Value, String)> {
        let mut agents = self.agents(3)?;
        let url = self.nats.url.clone();
        let args = [load, &["--boxes", "3", "--on", &url, "--orphan-timeout", "60s"]].concat();
        let mut command = self.command("run", "waiter", &args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        std::thread::sleep(BEFORE);
        let output = match what {
            Happening::Nothing => child.wait_with_output()?,
            Happening::AgentKilled => {
                agents[1].0.kill()?;
                child.wait_with_output()?
            }
            Happening::AgentLeaves => {
                signal("TERM", &[agents[1].0.id()])?;
                child.wait_with_output()?
            }
            Happening::AgentComes => {
                agents.push(Agent::start(&self.gorgon, &url, "late")?);
                child.wait_with_output()?
            }
            Happening::BoxStopped => {
                let agent = agents[1].0.id();
                let all = [vec![agent], children(agent)].concat();
                signal("STOP", &all)?;
                std::thread::sleep(Duration::from_secs(20));
                // A worker may be gone by now.
                for process in all {
                    let _ = signal("CONT", &[process]);
                }
                child.wait_with_output()?
            }
            Happening::CommandKilled => self.attached(child, &url)?,
            Happening::CommandStopped => {
                signal("STOP", &[child.id()])?;
                std::thread::sleep(Duration::from_secs(8));
                signal("CONT", &[child.id()])?;
                child.wait_with_output()?
            }
            Happening::ServerKilled => {
                self.nats.process.kill()?;
                self.nats.process.wait()?;
                std::thread::sleep(Duration::from_secs(3));
                self.nats.start_again()?;
                child.wait_with_output()?
            }
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?;
        Ok((report, self.left_behind(&agents)?))
    }

    /// Kills a command, and attaches to it.
    fn attached(&self, mut child: Child, url: &str) -> anyhow::Result<Output> {
        let command = self.commands()?.into_iter().next().context("no command is there")?;
        child.kill()?;
        child.wait()?;
        let mut attach = std::process::Command::new(&self.gorgon);
        Ok(attach.args(["attach", &command, "--on", url]).stdin(Stdio::null()).output()?)
    }

    /// The commands in the register.
    fn commands(&self) -> anyhow::Result<Vec<String>> {
        let mut runs = std::process::Command::new(&self.gorgon);
        let output = runs.args(["runs", "--json", "--on", &self.nats.url]).output()?;
        let listed: Value = serde_json::from_slice(&output.stdout)?;
        let runs = listed["runs"].as_array().context("no list")?;
        Ok(runs.iter().filter_map(|of| of["run"].as_str()).map(str::to_owned).collect())
    }

    /// What is still there of a run that is over.
    fn left_behind(&self, agents: &[Agent]) -> anyhow::Result<String> {
        let until = Instant::now() + Duration::from_secs(15);
        loop {
            let workers: Vec<u32> = agents.iter().flat_map(|agent| children(agent.0.id())).collect();
            let commands = self.commands()?;
            if workers.is_empty() && commands.is_empty() {
                return Ok("nothing".into());
            }
            if Instant::now() >= until {
                return Ok(format!("{} workers, {} commands", workers.len(), commands.len()));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn signal(name: &str, processes: &[u32]) -> anyhow::Result<()> {
    let mut kill = std::process::Command::new("kill");
    kill.arg(format!("-{name}")).args(processes.iter().map(ToString::to_string));
    ensure!(kill.status()?.success(), "cannot send {name} to {processes:?}");
    Ok(())
}

/// The processes that a process has started, and that live.
fn children(of: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids = |text: String| text.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>();
    children.flat_map(pids).collect()
}
