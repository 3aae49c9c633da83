//! How a worker is reached: a child process of this machine, over its stdin and stdout.
//!
//! A worker is this very binary, executed again. Knows how frames get to it and from it, not what they mean.

use std::io::{self, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ExitStatus, Stdio};

use crossbeam::channel::Sender;

use crate::wire::{self, Command, Message};

/// The subcommand behind which a worker's loop lies.
pub const WORKER_SUBCOMMAND: &str = "worker";

/// What comes from a worker.
#[derive(Debug)]
pub enum Event {
    /// It said something.
    Message(Message),
    /// It will say no more: its stdout has ended, or carries noise.
    Gone,
}

/// A worker process. It ends by itself when this is dropped, as its stdin ends then.
pub struct Worker {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Worker {
    /// Starts a worker; what it says arrives at `events` under the number `id`.
    pub fn launch(id: u32, events: Sender<(u32, Event)>) -> io::Result<Self> {
        let mut child = std::process::Command::new(executable()?)
            .arg(WORKER_SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own: Ctrl-C is for the controller, which ends its workers in order.
            .process_group(0)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = stdout.ok_or(io::ErrorKind::BrokenPipe)?;
        std::thread::Builder::new().name(format!("worker {id}")).spawn(move || {
            let mut from = BufReader::with_capacity(64 << 10, stdout);
            while let Ok(Some(message)) = wire::read(&mut from) {
                if events.send((id, Event::Message(message))).is_err() {
                    return;
                }
            }
            // Where nobody listens any more, nobody needs to know.
            let _ = events.send((id, Event::Gone));
        })?;
        Ok(Self { child, stdin })
    }

    /// Tells it something. That it is gone is not an error here: its end arrives as an [`Event::Gone`].
    pub fn tell(&mut self, command: &Command) {
        let told = self.stdin.as_mut().map(|stdin| wire::write(stdin, command));
        if matches!(told, Some(Err(_))) {
            self.stdin = None;
        }
    }

    /// Closes its stdin, by which it ends, and waits for that.
    pub fn end(mut self) -> io::Result<ExitStatus> {
        self.stdin = None;
        self.child.wait()
    }

    /// Ends it at once.
    pub fn kill(mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Its process identifier.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

/// How a process ended, for people.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (_, Some(9)) => "it was killed (signal 9; where nobody did so, memory ran out)".into(),
        (_, Some(signal)) => format!("it was ended by signal {signal}"),
        _ => "it ended".into(),
    }
}

/// This binary: by the kernel's link, which stays right when the file is replaced while we run.
fn executable() -> io::Result<PathBuf> {
    let link = PathBuf::from("/proc/self/exe");
    if link.exists() { Ok(link) } else { std::env::current_exe() }
}
