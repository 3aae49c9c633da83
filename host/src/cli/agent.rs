//! `gorgon agent`: a box that runs what it is given.

use std::path::PathBuf;

use clap::Args;

use super::boxes::ServerFlags;
use super::{Exit, values};
use crate::agent::{self, Settings};
use crate::machine;
use crate::network::{Allow, Policy};
use crate::signals::Stops;

/// Offer this machine as a box, for runs of others
///
/// The agent connects to a NATS server, says that it is there, and starts worker processes for runs that name the same
/// server (`gorgon run … --on URL`). Tasks reach only what both the run and this agent allow. Ctrl-C or SIGTERM lets
/// the operations in flight end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon agent --nats nats://HOST:4222 --allow http://shop.test:8080
  gorgon agent --nats nats://HOST:4222 --name b1 --max-processes 4 --allow all
  gorgon agent --nats tls://HOST:4222 --creds agent.creds --tls-ca ca.pem")]
pub(super) struct AgentCommand {
    /// The NATS server [such as nats://HOST:4222]
    #[arg(long, value_name = "URL")]
    nats: String,

    /// The name of this box [default: the name of the machine]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The most worker processes at a time [default: four for each processor]
    #[arg(long, value_name = "P", value_parser = values::number::<u32>)]
    max_processes: Option<u32>,

    /// Let tasks reach this, if their run allows it too, such as http://host:8080, https://*.example.com,
    /// tcp://db:5432, or all
    #[arg(long, value_name = "WHAT")]
    allow: Vec<Allow>,

    /// What this box is like, for runs that ask for it (`--box-label zone=a`)
    #[arg(long, value_name = "K=V", value_parser = values::label)]
    label: Vec<String>,

    /// Let runs give tasks directories below this one
    #[arg(long, value_name = "DIR")]
    dir_root: Vec<PathBuf>,

    /// Take part only in runs that the owner of this public key has signed, as gorgon boxes nats-config prints it
    #[arg(long, value_name = "KEY", value_parser = values::public_key)]
    trust: Vec<String>,

    #[command(flatten)]
    server: ServerFlags,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

/// The worker processes for each processor, if the user does not say.
const PER_CPU: u32 = 4;

impl AgentCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { nats, name, max_processes, allow, label, dir_root, trust, server, quiet } = self;
        let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
        let settings = Settings {
            server: server.server(&nats),
            name: name.unwrap_or_else(machine_name),
            max_processes: max_processes.unwrap_or(cpus * PER_CPU),
            network: Policy(allow),
            dir_roots: dir_root,
            labels: label,
            trust,
        };
        let stops = Stops::listen(Exit::Stopped.code())?;
        let mut say = |said: &agent::Said| {
            if !quiet {
                super::tell(&said.to_string());
            }
        };
        agent::run(settings, stops.receiver(), &mut say)?;
        Ok(Exit::Done)
    }
}

/// The machine's name, with what a name of an agent cannot have replaced.
fn machine_name() -> String {
    let name: String =
        machine::name().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect();
    if name.is_empty() { "box".into() } else { name }
}
