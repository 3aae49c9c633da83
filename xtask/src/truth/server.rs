//! The server whose latencies are known (`server.c`).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::{root, run};

/// Compiles the server.
pub(super) fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let server = folder.join("server");
    let source = root().join("xtask/src/truth/server.c");
    run(Command::new("cc").args(["-O2", "-o"]).arg(&server).arg(source).arg("-lm"))
        .context("the server of this bench needs a C compiler: install `cc`, such as gcc or clang")?;
    Ok(server)
}

/// A server in a separate process.
pub(super) struct Server {
    process: Child,
    pub(super) url: String,
}

impl Server {
    /// Starts it with these arguments: how many requests it serves at a time, and how long a service takes.
    pub(super) fn start(program: &Path, folder: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let mut process = Command::new(program).arg(folder.join("log")).args(args).stderr(Stdio::piped()).spawn()?;
        let says = process.stderr.take().context("it has no stderr")?;
        let mut line = String::new();
        BufReader::new(says).read_line(&mut line)?;
        let port = line.split_whitespace().next().context("the server names no port")?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), process })
    }

    /// Ends it, so that it writes its log and its processor time is known.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        run(Command::new("kill").arg(self.process.id().to_string()))?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, unless a measurement failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
