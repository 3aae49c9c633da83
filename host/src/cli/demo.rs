//! `gorgon demo`: a complete example without any setup.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::Exit;
use super::flags::TaskSource;
use super::run::RunFlags;
use crate::demo::Server;

/// The flow that is run: a built copy of `examples/flow`, so that the demo needs no toolchain.
const FLOW: TaskSource =
    TaskSource::Embedded { name: "embedded flow.wasm", wasm: include_bytes!("../../embedded/flow.wasm") };

/// The defaults for duration and operations in flight: long enough to see progress.
const DURATION: Duration = Duration::from_secs(3);
const IN_FLIGHT: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// Run a flow against an embedded server on loopback, without any setup
///
/// Each operation creates an object, reads it by the returned id, and deletes it. Without -n or -d the demo runs for
/// three seconds with ten operations in flight.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon demo
  gorgon demo -d 10s -t 2 -c 20
  gorgon demo --serve                 only the server, for your own tasks
  gorgon demo --serve --port 9000")]
pub(super) struct DemoCommand {
    /// Only serve, until Ctrl-C
    #[arg(long)]
    serve: bool,

    /// The server's port on 127.0.0.1 [default: any free port; 8080 with --serve]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    #[command(flatten)]
    flags: RunFlags,
}

impl DemoCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let Self { serve, port, mut flags } = self;
        let port = port.unwrap_or(if serve { 8080 } else { 0 });
        let listening = Server::listen(port);
        let server = listening.with_context(|| format!("cannot listen on 127.0.0.1:{port}; name another --port"))?;
        let base = format!("http://{}", server.address()?);
        if serve {
            super::tell(&format!("serving on {base} until Ctrl-C; `curl {base}/` lists what it serves"));
            server.serve()?;
            return Ok(Exit::Done);
        }
        std::thread::Builder::new().name("server".into()).spawn(move || server.serve())?;
        flags.or_else(DURATION, IN_FLIGHT);
        let allow = base.parse().context("the server's address is not a destination")?;
        flags.plan.task.give(vec![("BASE".into(), base)], Some(allow));
        flags.run(&FLOW, Vec::new())
    }
}
