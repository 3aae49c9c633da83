//! A real NATS server, and agents that are connected to it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{gorgon, signal, wait_until};

/// The server's program, which is installed once.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| xtask::languages::nats_server().expect("the NATS server can be installed"))
}

/// A server with JetStream on a free port of loopback, whose streams are in a directory of its own.
pub(crate) struct NatsServer {
    process: Child,
    directory: TempDir,
    address: String,
    port: u16,
}

impl NatsServer {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1")
    }

    /// The same at another address of this machine.
    pub(crate) fn start_at(address: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), address)
    }

    /// The same with its streams in `directory`.
    pub(crate) fn start_in(directory: TempDir, address: &str) -> Self {
        let (process, port) = launch(directory.path(), address, -1);
        Self { process, directory, address: address.to_owned(), port }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}:{}", self.address, self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where its streams are.
    pub(crate) fn store(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts the server again, at the same port and with the same streams.
    pub(crate) fn start_again(&mut self) {
        (self.process, _) = launch(self.directory.path(), &self.address, self.port.into());
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(directory: &Path, address: &str, port: i32) -> (Child, u16) {
    let mut server = Command::new(program());
    server.args(["--addr", address, "--port", &port.to_string(), "--jetstream"]);
    server.arg("--store_dir").arg(directory).arg("--ports_file_dir").arg(directory);
    let process = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let file = directory.join(format!("nats-server_{}.ports", process.id()));
    let mut port = None;
    wait_until("the NATS server listens", || {
        let ports: Option<serde_json::Value> =
            std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let url = ports.as_ref().and_then(|ports| ports["nats"][0].as_str());
        port = url.and_then(|url| url.rsplit(':').next()?.parse().ok());
        port.is_some()
    });
    (process, port.unwrap())
}

/// An agent.
pub(crate) struct Agent {
    pub(crate) process: Child,
    said: Option<std::thread::JoinHandle<String>>,
}

impl Agent {
    /// Starts `gorgon agent` as `name`, and waits until it is there.
    pub(crate) fn start(url: &str, name: &str, args: &[&str]) -> Self {
        let mut command = gorgon();
        command.args(["agent", "--nats", url, "--name", name]).args(args);
        Self::launch(command)
    }

    /// Starts this command line of an agent, and waits until it is there.
    pub(crate) fn launch(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains("waits for runs"), "{line}");
        let said = std::thread::spawn(move || {
            let mut rest = String::new();
            // The pipe ends with the agent, however it ends.
            let _ = std::io::Read::read_to_string(&mut stderr, &mut rest);
            rest
        });
        Self { process, said: Some(said) }
    }

    /// Ends the agent in order, and returns what it said after it was there.
    pub(crate) fn leave(mut self) -> String {
        signal("TERM", self.process.id());
        assert_eq!(self.process.wait().unwrap().code(), Some(0));
        self.said.take().unwrap().join().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
