//! `gorgon demo`: the main job with nothing to set up.

use std::path::Path;

use anyhow::Context;
use clap::{Args, CommandFactory, FromArgMatches};

use super::run::Run;
use super::{Cli, Exit};
use crate::demo::Server;

/// The flow that is run: `examples/flow`, built and checked in, so that the demo needs no toolchain.
const FLOW: &[u8] = include_bytes!("../../embedded/flow.wasm");

/// Run a flow against an embedded server on loopback: the main job with nothing to set up
///
/// Each operation creates an object, reads it by the id that came back, and deletes it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon demo
  gorgon demo -d 5s -t 2 -c 20
  gorgon demo --serve                 only the server, for tasks of your own
  gorgon demo --serve --port 9000")]
pub(super) struct Demo {
    /// Only serve, until Ctrl-C
    #[arg(long)]
    serve: bool,

    /// The server's port on 127.0.0.1 [default: any that is free; 8080 with --serve]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Flags of `gorgon run`: -d, -n, -t, -c, --json … [default: -d 3s -c 10]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "RUN FLAGS")]
    flags: Vec<String>,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let port = self.port.unwrap_or(if self.serve { 8080 } else { 0 });
        let listening = Server::listen(port);
        let server = listening.with_context(|| format!("cannot listen on 127.0.0.1:{port}; name another --port"))?;
        let address = server.address()?;
        if self.serve {
            anstream::eprintln!(
                "serving on http://{address} until Ctrl-C; `curl http://{address}/` says what there is"
            );
            server.serve()?;
            return Ok(Exit::Done);
        }
        std::thread::Builder::new().name("server".into()).spawn(move || server.serve())?;
        let directory = tempfile::tempdir()?;
        let task = directory.path().join("flow.wasm");
        std::fs::write(&task, FLOW)?;
        self.multiply(&task, &format!("http://{address}"))
    }

    /// What `gorgon run` would do with the same words.
    fn multiply(&self, task: &Path, base: &str) -> anyhow::Result<Exit> {
        let defaults = ["-d", "3s", "-c", "10"].map(str::to_owned);
        let flags = if self.flags.is_empty() { &defaults[..] } else { &self.flags };
        let mut words = vec!["gorgon".to_owned(), "run".into(), task.display().to_string()];
        words.extend(["--env".into(), format!("BASE={base}"), "--allow".into(), base.to_owned()]);
        words.extend(flags.iter().cloned());
        let matches = match Cli::command().try_get_matches_from(words) {
            Ok(matches) => matches,
            Err(error) => return Ok(super::answer(&error)),
        };
        match matches.subcommand() {
            Some(("run", matches)) => Run::from_arg_matches(matches)?.run(),
            _ => unreachable!("the words begin with `gorgon run`"),
        }
    }
}
