//! Flags of runs over boxes, and `gorgon boxes`: who is there.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::nats_config::NatsConfigCommand;
use super::output::ignore_closed;
use super::{Exit, command, values};
use crate::cluster::Server;
use crate::cluster::presence::{Presence, Roll};
use crate::cluster::register::Keep;
use crate::controller::{self, ClockReading, OnLoss};
use crate::guest_text::line;
use crate::input;
use crate::report::units::{bytes, duration};
use crate::terminal;

/// The variable that names the server once.
const VARIABLE: &str = "GORGON_ON";

/// How a NATS server is reached.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerFlags {
    /// A file with credentials for the NATS server
    #[arg(long, value_name = "FILE")]
    creds: Option<PathBuf>,

    /// A PEM file with certificate authorities to trust in for the NATS server, besides the system's
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

impl ServerFlags {
    /// The server at `url`.
    pub(super) fn server(&self, url: &str) -> Server {
        Server { url: url.to_owned(), creds: self.creds.clone(), tls_ca: self.tls_ca.clone() }
    }
}

/// The NATS server that a command cannot do without.
#[derive(Clone, Debug, Args)]
pub(super) struct OnFlags {
    /// The NATS server [such as nats://HOST:4222; default: $GORGON_ON]
    #[arg(long, value_name = "URL")]
    on: Option<String>,

    #[command(flatten)]
    server: ServerFlags,
}

impl OnFlags {
    /// The server; `None` if nobody names one.
    pub(super) fn server(self) -> Option<Server> {
        server_of(self.on, &self.server)
    }
}

/// Where a run takes place.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Boxes")]
pub(super) struct BoxFlags {
    /// Run on the boxes whose agents are at this NATS server [such as nats://HOST:4222; default: $GORGON_ON, else this
    /// machine]
    #[arg(long, value_name = "URL")]
    on: Option<String>,

    /// Wait for so many boxes, and use no more [default: all that are there]
    #[arg(long, value_name = "N", value_parser = values::number::<u32>)]
    boxes: Option<u32>,

    /// What becomes of the operations that a lost box held [default: skip]
    #[arg(long, value_name = "WHAT")]
    on_loss: Option<Loss>,

    /// Keep latency and throughput of each box over time, for all reports
    #[arg(long)]
    by_box: bool,

    /// Use only boxes with this label (gorgon agent --label)
    #[arg(long, value_name = "K=V", value_parser = values::label)]
    box_label: Vec<String>,

    /// Go on in the background, and print the name of the run: gorgon attach and gorgon stop take it
    #[arg(long)]
    detach: bool,

    /// How long the boxes wait for another controller when this one is gone [default: 10s; 10m with --detach]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    orphan_timeout: Option<Duration>,

    /// Keep the whole journal when the run has ended, for gorgon report --journal
    #[arg(long)]
    keep_journal: bool,

    /// How much the journal of the command may take on the server [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    journal_max: Option<u64>,

    #[command(flatten)]
    server: ServerFlags,
}

/// How much a journal may take, if the user does not say.
const JOURNAL_MAX: u64 = 1 << 30;

/// A journal needs at least so much: it has to have room for some messages of each box before it is cut.
const LEAST_JOURNAL: u64 = 1 << 20;

/// How long boxes wait for another controller, if the user does not say.
const ATTACHED: Duration = Duration::from_secs(10);

/// See [`ATTACHED`]: of a controller in the background.
const DETACHED: Duration = Duration::from_secs(600);

/// Boxes that wait work for nobody else.
const MOST_ORPHANED: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The server at `on`, or the one that the environment names; `None` if there is none.
pub(super) fn server_of(on: Option<String>, flags: &ServerFlags) -> Option<Server> {
    let on = on.or_else(|| input::variable(VARIABLE).ok()).filter(|url| !url.is_empty());
    on.map(|url| flags.server(&url))
}

/// What becomes of the operations that a lost box held.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Loss {
    /// They are lost, so that none is started twice
    Skip,
    /// They are executed again, and the report says which
    Rerun,
    /// They are lost, and the run is stopped
    Abort,
}

/// The boxes of a command.
#[derive(Clone, Debug)]
pub(super) struct Over {
    /// The server.
    pub(super) server: Server,
    /// How many boxes; `None` for all that are there.
    pub(super) boxes: Option<u32>,
    /// What becomes of the operations that a lost box held.
    pub(super) on_loss: OnLoss,
    /// Whether to keep the operations of each box over time.
    pub(super) by_box: bool,
    /// How much the journal may take, in bytes.
    pub(super) journal_max: u64,
    /// The labels that each box has to have.
    pub(super) labels: Vec<String>,
    /// Whether to go on in the background.
    pub(super) detach: bool,
    /// How long the boxes wait for another controller.
    pub(super) orphan_timeout: Duration,
    /// What stays of the journal.
    pub(super) keep: Keep,
}

impl BoxFlags {
    /// The boxes, if the run is not to take place on this machine; an error in words if the flags do not fit together.
    pub(super) fn over(&self) -> Result<Option<Over>, String> {
        let Self { on, boxes, on_loss, by_box, box_label, detach, orphan_timeout, keep_journal, journal_max, server } =
            self;
        let resumed = command::resumed().map(|resumed| resumed.server);
        let Some(server) = resumed.or_else(|| server_of(on.clone(), server)) else {
            let stray = [
                (boxes.is_some(), "--boxes"),
                (on_loss.is_some(), "--on-loss"),
                (*by_box, "--by-box"),
                (!box_label.is_empty(), "--box-label"),
                (*detach, "--detach"),
                (orphan_timeout.is_some(), "--orphan-timeout"),
                (*keep_journal, "--keep-journal"),
                (journal_max.is_some(), "--journal-max"),
            ];
            return match stray.iter().find(|(is_given, _)| *is_given) {
                Some((_, flag)) => Err(format!("{flag} needs boxes: name their server (--on nats://HOST:4222)")),
                None => Ok(None),
            };
        };
        if *boxes == Some(0) {
            return Err("cannot run on `0` boxes: give at least 1".into());
        }
        let on_loss = match on_loss {
            None | Some(Loss::Skip) => OnLoss::Skip,
            Some(Loss::Rerun) => OnLoss::Rerun,
            Some(Loss::Abort) => OnLoss::Abort,
        };
        let journal_max = journal_max.unwrap_or(JOURNAL_MAX);
        if journal_max < LEAST_JOURNAL {
            return Err(format!("a journal of {journal_max} bytes is too small: give --journal-max at least 1MiB"));
        }
        let usual = if *detach { DETACHED } else { ATTACHED };
        if orphan_timeout.is_some_and(|timeout| timeout > MOST_ORPHANED) {
            return Err("boxes do not wait for more than a week: give --orphan-timeout at most 7d".into());
        }
        Ok(Some(Over {
            server,
            boxes: *boxes,
            on_loss,
            by_box: *by_box,
            journal_max,
            labels: box_label.clone(),
            detach: *detach,
            orphan_timeout: orphan_timeout.unwrap_or(usual),
            keep: match (keep_journal, detach) {
                (true, _) => Keep::Entries,
                // Whoever attaches later wants the report.
                (false, true) => Keep::Books,
                (false, false) => Keep::Nothing,
            },
        }))
    }

    /// These flags, completed by those of a file.
    pub(super) fn or(self, file: Self) -> Self {
        let ServerFlags { creds, tls_ca } = self.server;
        Self {
            on: self.on.or(file.on),
            boxes: self.boxes.or(file.boxes),
            on_loss: self.on_loss.or(file.on_loss),
            by_box: self.by_box || file.by_box,
            box_label: if self.box_label.is_empty() { file.box_label } else { self.box_label },
            detach: self.detach || file.detach,
            orphan_timeout: self.orphan_timeout.or(file.orphan_timeout),
            keep_journal: self.keep_journal || file.keep_journal,
            journal_max: self.journal_max.or(file.journal_max),
            server: ServerFlags { creds: creds.or(file.server.creds), tls_ca: tls_ca.or(file.server.tls_ca) },
        }
    }
}

/// List the boxes that are there
///
/// A box is a machine on which `gorgon agent` runs. Each says twice a second that it is there.
#[derive(Debug, Args)]
#[command(
    after_help = "\
Examples:
  gorgon boxes --on nats://HOST:4222
  gorgon boxes --on nats://HOST:4222 --json
  gorgon boxes nats-config nats --agent b1 --agent b2",
    args_conflicts_with_subcommands = true
)]
pub(super) struct BoxesCommand {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    on: OnFlags,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What else can be done about boxes.
#[derive(Debug, Subcommand)]
enum What {
    NatsConfig(NatsConfigCommand),
}

/// Agents say twice a second that they are there. Who is there has said so by then.
const CENSUS: Duration = Duration::from_millis(1_500);

impl BoxesCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if let Some(What::NatsConfig(write)) = self.what {
            return write.run();
        }
        let Some(server) = self.on.server() else { return Ok(Exit::no_server()) };
        let link = server.connect("boxes")?;
        let there: Vec<Presence> = Roll::call(&link)?.wait(CENSUS, |_| false);
        let seen: Vec<Seen> =
            there.iter().map(|agent| Seen::new(agent, controller::compare(&link, &agent.name))).collect();
        if self.json {
            let mut json = serde_json::to_string_pretty(&Listed { schema: "gorgon.boxes/1", boxes: &seen })?;
            json.push('\n');
            return print(&json);
        }
        if seen.is_empty() {
            super::say(&format!("no agent is there; start one with `gorgon agent --nats {}`", link.url()));
            return Ok(Exit::CouldNotRun);
        }
        print(&table(&seen))
    }
}

/// Prints what agents say of themselves. They may be anybody's.
fn print(text: &str) -> anyhow::Result<Exit> {
    ignore_closed(terminal::stdout().write_all(text.as_bytes()))?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Listed<'a> {
    schema: &'static str,
    boxes: &'a [Seen],
}

/// A box that is there.
#[derive(Debug, Serialize)]
struct Seen {
    name: String,
    gorgon: String,
    /// Why it cannot be used by this gorgon; null if it can.
    unfit: Option<String>,
    cpus: u32,
    memory_bytes: u64,
    free_bytes: u64,
    /// Processes that wanted to run in the last minute, on average.
    load: f64,
    workers: u32,
    max_processes: u32,
    /// What its tasks may reach.
    policy: Vec<String>,
    /// What its owner says about it.
    labels: Vec<String>,
    rtt_ns: Option<u64>,
    /// By how much its wall clock is ahead of this machine's.
    clock_offset_ns: Option<i64>,
}

impl Seen {
    fn new(agent: &Presence, clock: Option<ClockReading>) -> Self {
        let unfit = match &agent.command {
            _ if !agent.fits() => Some("another version of the protocol".to_owned()),
            _ if agent.has_twin => Some("two agents have this name".to_owned()),
            _ if agent.leaving => Some("leaving".to_owned()),
            command => command.as_ref().map(|command| format!("works for {command}")),
        };
        Self {
            name: agent.name.clone(),
            gorgon: agent.version.clone(),
            unfit,
            cpus: agent.cpus,
            memory_bytes: agent.memory_bytes,
            free_bytes: agent.free_bytes,
            load: f64::from(agent.load_permille) / 1_000.0,
            workers: agent.workers,
            max_processes: agent.max_processes,
            policy: agent.policy.clone(),
            labels: agent.labels.clone(),
            rtt_ns: clock.map(|clock| clock.rtt_ns),
            clock_offset_ns: clock.map(|clock| clock.offset_ns),
        }
    }

    fn cells(&self) -> [String; 8] {
        let sign = if self.clock_offset_ns.unwrap_or_default() < 0 { "-" } else { "+" };
        let offset = self.clock_offset_ns.map(|ns| format!("{sign}{}", duration(ns.unsigned_abs())));
        [
            line(&self.name),
            line(&self.gorgon),
            self.cpus.to_string(),
            format!("{:.1}", self.load),
            format!("{} of {}", bytes(self.free_bytes), bytes(self.memory_bytes)),
            format!("{} of {}", self.workers, self.max_processes),
            self.rtt_ns.map_or_else(|| "-".to_owned(), duration),
            offset.unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

/// A row for each box, and under it what its tasks may reach, and why it cannot be used.
fn table(seen: &[Seen]) -> String {
    let head = ["box", "gorgon", "cpus", "load", "memory free", "workers", "rtt", "clock"].map(str::to_owned);
    let rows: Vec<_> = seen.iter().map(Seen::cells).collect();
    let widths: [usize; 8] =
        std::array::from_fn(|i| rows.iter().chain([&head]).map(|row| row[i].chars().count()).max().unwrap_or_default());
    let row = |cells: &[String; 8]| {
        let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = row(&head);
    for (of, cells) in seen.iter().zip(&rows) {
        text.push_str(&row(cells));
        let allowed = if of.policy.is_empty() { "nothing".to_owned() } else { of.policy.join(", ") };
        text.push_str(&format!("  tasks may reach {}\n", line(&allowed)));
        if !of.labels.is_empty() {
            text.push_str(&format!("  has the labels {}\n", line(&of.labels.join(", "))));
        }
        if let Some(unfit) = &of.unfit {
            text.push_str(&format!("  cannot be used now: {}\n", line(unfit)));
        }
    }
    text
}
