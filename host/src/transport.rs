//! How a worker is reached: a child process of this machine, over its stdin and stdout.
//!
//! A worker is this very binary, executed again. Knows how frames get to it and from it, not what they mean.

use std::io::{self, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, unbounded};

use crate::wire::{self, Command, Message};

/// The subcommand behind which a worker's loop lies.
pub const WORKER_SUBCOMMAND: &str = "worker";

/// How long the system may take to end a process that was killed. One that is stuck in the kernel may take for ever,
/// and is left to it.
const REAPING: Duration = Duration::from_secs(1);

/// What comes from a worker.
#[derive(Debug)]
pub enum FromWorker {
    /// A frame: which of those that it sent, counted from 1 without what guests print, and what it says.
    Frame(u64, Message),
    /// It will say no more: its stdout has ended, or carries noise.
    Gone,
}

/// A worker process. It ends by itself when this is dropped, as its stdin ends then.
pub struct Worker {
    child: Child,
    /// What it is told goes through a thread: a worker that does not read must not keep the controller waiting.
    commands: Option<Sender<Command>>,
}

impl Worker {
    /// Starts a worker; what it says arrives at `frames` under the number `id`.
    pub fn launch(id: u32, frames: Sender<(u32, FromWorker)>) -> io::Result<Self> {
        let mut child = std::process::Command::new(executable()?)
            .arg(WORKER_SUBCOMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own: Ctrl-C is for the controller, which ends its workers in order.
            .process_group(0)
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (stdin, stdout) = stdin.zip(stdout).ok_or(io::ErrorKind::BrokenPipe)?;
        let (commands, told) = unbounded::<Command>();
        let threads = spawn(format!("from {id}"), move || {
            let mut from = BufReader::with_capacity(64 << 10, stdout);
            let mut frame = 0;
            while let Ok(Some(message)) = wire::read(&mut from) {
                frame += u64::from(!matches!(message, Message::Output(_)));
                if frames.send((id, FromWorker::Frame(frame, message))).is_err() {
                    return;
                }
            }
            // If nobody listens any more, nobody needs to know.
            let _ = frames.send((id, FromWorker::Gone));
        })
        .and_then(|()| {
            spawn(format!("to {id}"), move || {
                // That a worker is gone is not an error here: its end arrives as `FromWorker::Gone`.
                while told.recv().is_ok_and(|command| wire::write(&stdin, &command).is_ok()) {}
            })
        });
        let worker = Self { child, commands: Some(commands) };
        match threads {
            Ok(()) => Ok(worker),
            Err(error) => {
                worker.kill();
                Err(error)
            }
        }
    }

    /// Tells it something. Never waits.
    pub fn tell(&self, command: Command) {
        // If the thread that writes has ended, so has the worker, or it is about to.
        let _ = self.commands.as_ref().map(|commands| commands.send(command));
    }

    /// Closes its stdin once all is said, and so lets it end.
    pub fn close(&mut self) {
        self.commands = None;
    }

    /// Ends it at once, if it has not ended; how it ended, for people.
    pub fn kill(mut self) -> String {
        // One that has ended cannot be killed, which is as good.
        let _ = self.child.kill();
        let begin = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return describe(status),
                Ok(None) if begin.elapsed() < REAPING => std::thread::sleep(Duration::from_micros(200)),
                Ok(None) => return "it was killed, and the system has not ended it yet".into(),
                Err(error) => return error.to_string(),
            }
        }
    }

    /// Its process identifier.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name).spawn(work).map(drop)
}

/// How a process ended, for people.
fn describe(status: ExitStatus) -> String {
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
