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
    log: PathBuf,
    pub(super) url: String,
}

/// A request in its log. Times are in nanoseconds of the server's clock.
pub(super) struct Served {
    pub(super) parsed_ns: u64,
    pub(super) sent_ns: u64,
}

impl Server {
    /// Starts it with these arguments: how many requests it serves at a time, and how long a service takes.
    pub(super) fn start(program: &Path, folder: &Path, args: &[&str]) -> anyhow::Result<Self> {
        let log = folder.join("log");
        let mut process = Command::new(program).arg(&log).args(args).stderr(Stdio::piped()).spawn()?;
        let says = process.stderr.take().context("it has no stderr")?;
        let mut line = String::new();
        BufReader::new(says).read_line(&mut line)?;
        let port = line.split_whitespace().next().context("the server names no port")?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), process, log })
    }

    /// Ends it, so that it writes its log and its processor time is known. Returns the log.
    pub(super) fn stop(mut self) -> anyhow::Result<Vec<Served>> {
        run(Command::new("kill").arg(self.process.id().to_string()))?;
        self.process.wait()?;
        let log = std::fs::read_to_string(&self.log)?;
        let served = log.lines().map(|line| {
            // Its number, its connection, and when its first byte came, it was complete, it was due, it was answered.
            let words: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            let [.., _, parsed_ns, _, sent_ns] = words[..] else { anyhow::bail!("the log has the line `{line}`") };
            Ok(Served { parsed_ns, sent_ns })
        });
        served.collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already, unless a measurement failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
