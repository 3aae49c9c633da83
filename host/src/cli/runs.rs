//! `gorgon runs`, `gorgon attach` and `gorgon stop`: commands over boxes, from anywhere.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use clap::{Args, Parser};
use serde::Serialize;

use super::boxes::OnFlags;
use super::command::{self, Made, Resumed};
use super::output::ignore_closed;
use super::{Cli, Exit};
use crate::cluster::journal::Journal;
use crate::cluster::register::Registered;
use crate::cluster::seal::Key;
use crate::cluster::subjects::Ask;
use crate::cluster::{Link, files, subjects};
use crate::controller::CUTS;
use crate::controller::remote::{self, Asked, RunName};
use crate::guest_text::line;
use crate::report::units::duration;
use crate::terminal;

/// The pulse of a controller comes twice a second.
const PULSE: Duration = Duration::from_millis(1_600);

/// How long a controller may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A command that begins is in the register long before this.
const BEGINNING: Duration = Duration::from_secs(60);

/// What no controller has claimed for so long is removed by `--prune`.
const OLD: Duration = Duration::from_secs(7 * 24 * 3_600);

/// List the commands over boxes that are there
///
/// A command is there while it runs. It stays if its controller died, or if its journal is kept (--keep-journal,
/// --detach).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon runs --on nats://HOST:4222
  gorgon runs --on nats://HOST:4222 --prune")]
pub(super) struct RunsCommand {
    #[command(flatten)]
    on: OnFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Remove the commands that have no controller, and have had none for seven days
    #[arg(long, conflicts_with = "json")]
    prune: bool,

    /// With --prune: remove this one now, if it has no controller
    #[arg(value_name = "RUN", requires = "prune")]
    run: Option<String>,
}

/// A command over boxes that is there.
#[derive(Debug, Args)]
struct NamedRun {
    /// The command, as `gorgon runs` lists it
    #[arg(value_name = "RUN")]
    run: String,

    #[command(flatten)]
    on: OnFlags,

    /// The file with the key of the command [default: where this user's commands keep theirs]
    #[arg(long, value_name = "FILE")]
    run_key: Option<PathBuf>,
}

/// Follow a command over boxes, and go on with it if its controller is gone
///
/// Shows what its controller shows, and prints its report. If the controller is gone, this process takes its place:
/// numbers that were given out stay given out, and none is started twice. Ctrl-C lets go of a command that another
/// process controls, and stops it otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon attach 5f0c9e4b1a2d3c77 --on nats://HOST:4222
  gorgon attach 5f0c9e4b1a2d3c77 --on nats://HOST:4222 --run-key run.key    on another machine")]
pub(super) struct AttachCommand {
    #[command(flatten)]
    named: NamedRun,

    /// Take over at once, even if the controller lives: it is fenced
    #[arg(long)]
    take_over: bool,
}

/// Stop a command over boxes
///
/// As Ctrl-C does where it was begun: the operations in flight end, and the report is written. A second stop cuts them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon stop 5f0c9e4b1a2d3c77 --on nats://HOST:4222")]
pub(super) struct StopCommand {
    #[command(flatten)]
    named: NamedRun,
}

impl RunsCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Some(server) = self.on.server() else { return Ok(Exit::no_server()) };
        let link = server.connect("runs")?;
        let (commands, foreign) = link.commands()?;
        let beating = link.heard(&subjects::pulse("*"), PULSE)?;
        let seen: Vec<Seen> = commands.iter().map(|of| Seen::new(of, &beating)).collect();
        if self.prune {
            if let Some(run) = self.run.as_ref().filter(|run| foreign.contains(run)) {
                remove(&link, run)?;
                return Ok(Exit::Done);
            }
            let known: Vec<&String> = commands.iter().map(|of| &of.command).chain(&foreign).collect();
            let left = |(command, age): &(String, Duration)| *age >= BEGINNING && !known.contains(&command);
            let left: Vec<String> = link.journals()?.into_iter().filter(left).map(|(command, _)| command).collect();
            return prune(&link, self.run.as_deref(), (&commands, &seen), &left);
        }
        if !foreign.is_empty() {
            super::say(&format!("another version of gorgon began these commands: {}", foreign.join(", ")));
        }
        if self.json {
            let mut json = serde_json::to_string_pretty(&Listed { schema: "gorgon.runs/1", runs: &seen })?;
            json.push('\n');
            return print(&json);
        }
        if seen.is_empty() {
            super::say("there are no commands; `gorgon run TASK.wasm --on URL` begins one");
            return Ok(Exit::Done);
        }
        print(&table(&seen))
    }
}

/// Removes what nobody controls: the command `only`, or those that nobody has controlled for long. `left` are commands
/// that have a journal, and are not in the register: they were killed while they began.
fn prune(
    link: &Link,
    only: Option<&str>,
    (commands, seen): (&[Registered], &[Seen]),
    left: &[String],
) -> anyhow::Result<Exit> {
    let mut removed = 0;
    for command in left.iter().filter(|command| only.is_none_or(|only| only == *command)) {
        remove(link, command)?;
        removed += 1;
    }
    if let Some(only) = only.filter(|_| removed == 0) {
        ensure!(seen.iter().any(|of| of.run == only), "there is no command `{only}`; `gorgon runs` lists them");
    }
    for (of, seen) in commands.iter().zip(seen) {
        let is_old = of.changed.elapsed().unwrap_or_default() >= OLD;
        if only.map_or(!is_old, |only| only != of.command) {
            continue;
        }
        if seen.state == "runs" {
            ensure!(only.is_none(), "the command `{}` has a controller: stop it first (gorgon stop)", of.command);
            continue;
        }
        if seen.state == "alone" {
            release(link, of);
        }
        link.forget(&of.listing.inputs);
        remove(link, &of.command)?;
        removed += 1;
    }
    super::tell(&format!("removed {removed} of {} commands", commands.len() + left.len()));
    Ok(Exit::Done)
}

/// Tells the boxes of a command that nobody will go on with it. Without its key they cannot be told.
fn release(link: &Link, of: &Registered) {
    let (name, agents) = (&of.command, &of.listing.agents);
    let Ok(key) = command::key_of(name, None) else {
        let boxes = agents.iter().map(|agent| line(&agent.name)).collect::<Vec<_>>().join(", ");
        let waited = duration(u64::try_from(of.listing.orphan_timeout.as_nanos()).unwrap_or(u64::MAX));
        return super::say(&format!(
            "the key of `{name}` is not here: its boxes ({boxes}) may wait for it for {waited}; an agent that is \
             started again does not"
        ));
    };
    for agent in agents {
        let subject = subjects::ask(&agent.name, Ask::Release);
        let asked = Asked { epoch: of.listing.epoch, what: RunName { command: name.clone(), run: 0 } };
        if let Ok(release) = remote::seal(&key, &subject, &asked) {
            link.publish(&subject, release);
        }
    }
}

/// Removes a command that has ended and that nobody needs. What fails can be removed later.
pub(super) fn forget(link: &Link, command: &str) {
    if let Ok(Some(of)) = link.registered(command) {
        link.forget(&of.listing.inputs);
    }
    let _ = remove(link, command);
}

/// Removes what is kept of a command.
fn remove(link: &Link, name: &str) -> anyhow::Result<()> {
    // It may be gone already.
    let _ = Journal::remove(link, name);
    link.unregister(name)?;
    command::forget_key(name);
    Ok(())
}

impl AttachCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { named: NamedRun { run, on, run_key }, take_over } = self;
        let Some(server) = on.server() else { return Ok(Exit::no_server()) };
        let link = server.connect("attach")?;
        let registered = find(&link, &run)?;
        let listing = registered.listing;
        ensure!(
            listing.protocol == remote::REMOTE,
            "gorgon {} began the command `{run}`, and this version cannot go on with it: use that one",
            listing.gorgon
        );
        let key = command::key_of(&run, run_key.as_deref())?;
        let sealed = link.get(&listing.inputs, files::MOST_BYTES)?;
        let made = Made::open(&key, &sealed).with_context(|| format!("the key is not that of the command `{run}`"))?;
        drop(link);
        let resumed = Resumed { server, command: run, key, takes_over: take_over };
        let (args, _kept) = made.resume(resumed)?;
        Cli::try_parse_from(args)?.run()
    }
}

impl StopCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let NamedRun { run, on, run_key } = self.named;
        let Some(server) = on.server() else { return Ok(Exit::no_server()) };
        let link = server.connect("stop")?;
        ensure!(!find(&link, &run)?.listing.ended, "the command `{run}` has ended");
        let key: Key = command::key_of(&run, run_key.as_deref())?;
        let subject = subjects::stop(&run);
        let stop = key.seal(&subject, Vec::new())?;
        let answer = link.request(&subject, stop, ANSWER);
        ensure!(
            answer.is_some(),
            "the command `{run}` has no controller: `gorgon attach {run}` goes on with it, \
             `gorgon runs --prune {run}` removes it"
        );
        ensure!(answer.as_ref().is_some_and(|answer| !answer.is_empty()), "the key is not that of the command `{run}`");
        let what = if answer.as_deref() == Some(CUTS) { "are cut" } else { "end" };
        super::tell(&format!("the command {run} stops: its operations in flight {what}, and its report is written"));
        Ok(Exit::Done)
    }
}

/// A command in the register.
pub(super) fn find(link: &Link, command: &str) -> anyhow::Result<Registered> {
    let registered = if subjects::is_name(command) { link.registered(command)? } else { None };
    registered.with_context(|| format!("there is no command `{command}` at {}; `gorgon runs` lists them", link.url()))
}

#[derive(Serialize)]
struct Listed<'a> {
    schema: &'static str,
    runs: &'a [Seen],
}

/// A command that is there.
#[derive(Debug, Serialize)]
struct Seen {
    run: String,
    /// `runs`, `ended` (its journal is kept), or `alone` (its controller is gone).
    state: &'static str,
    title: String,
    gorgon: String,
    /// The machine of its controller.
    host: String,
    /// How many controllers it has had before this one.
    epoch: u32,
    boxes: Vec<String>,
    /// How long ago somebody began to control it, or it ended.
    since_ns: u64,
}

impl Seen {
    fn new(of: &Registered, beating: &[String]) -> Self {
        let Registered { command, listing, changed, .. } = of;
        let state = match () {
            () if listing.ended => "ended",
            () if beating.contains(&subjects::pulse(command)) => "runs",
            () => "alone",
        };
        let since = SystemTime::now().duration_since(*changed).unwrap_or_default();
        Self {
            run: command.clone(),
            state,
            title: listing.title.clone(),
            gorgon: listing.gorgon.clone(),
            host: listing.host.clone(),
            epoch: listing.epoch,
            boxes: listing.agents.iter().map(|agent| agent.name.clone()).collect(),
            since_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        }
    }
}

/// A row for each command.
fn table(seen: &[Seen]) -> String {
    let head = ["run", "state", "boxes", "controller", "since", "command"].map(str::to_owned);
    let cells = |of: &Seen| {
        [
            line(&of.run),
            of.state.to_owned(),
            of.boxes.len().to_string(),
            line(&of.host),
            duration(of.since_ns),
            line(&of.title),
        ]
    };
    let rows: Vec<[String; 6]> = [head].into_iter().chain(seen.iter().map(cells)).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or_default());
    let row = |cells: &[String; 6]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(row).collect()
}

/// Prints what others say of their commands.
fn print(text: &str) -> anyhow::Result<Exit> {
    ignore_closed(terminal::stdout().write_all(text.as_bytes()))?;
    Ok(Exit::Done)
}
