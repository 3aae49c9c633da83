//! How a worker is reached: it is a child process on this machine, with frames on its stdin and stdout.
//!
//! A worker is this same binary, executed again. Knows how frames travel, not what they mean.

use std::io::{self, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, unbounded};

use crate::binary;
use crate::wire::{self, Command, Message, TOO_MUCH_MEMORY};

/// The hidden subcommand that runs a worker.
pub const WORKER_SUBCOMMAND: &str = "worker";

/// How long the system may take to end a process that was killed. A process that is stuck in the kernel may take for
/// ever, so nothing waits for it longer than this.
const REAPING: Duration = Duration::from_secs(1);

/// What comes from a worker.
#[derive(Debug)]
pub enum FromWorker {
    /// A frame: its index among the worker's frames, from 1 and not counting what guests print; and its message.
    Frame(u64, Message),
    /// No more frames will come: the worker's stdout has ended, or carries something else.
    Gone,
}

/// A worker process. Dropping this closes its stdin, and so ends the worker.
pub struct WorkerProcess {
    child: Child,
    /// Commands go through a thread: a worker that does not read must not block the controller.
    commands: Option<Sender<Command>>,
}

impl WorkerProcess {
    /// Starts a worker. Its frames arrive at `frames` with the identifier `id`.
    pub fn launch(id: u32, frames: Sender<(u32, FromWorker)>) -> io::Result<Self> {
        let mut child = binary::command(WORKER_SUBCOMMAND)?.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (stdin, stdout) = stdin.zip(stdout).ok_or(io::ErrorKind::BrokenPipe)?;
        let (commands, told) = unbounded::<Command>();
        let threads = spawn(format!("from {id}"), move || {
            let mut from = BufReader::with_capacity(64 << 10, stdout);
            let mut frame = 0;
            while let Ok(Some(message)) = wire::read::<Message>(&mut from) {
                frame += u64::from(!message.is_aside());
                if frames.send((id, FromWorker::Frame(frame, message))).is_err() {
                    return;
                }
            }
            // If nobody listens, the run is over.
            let _ = frames.send((id, FromWorker::Gone));
        })
        .and_then(|()| {
            spawn(format!("to {id}"), move || {
                // It is not an error here if the worker is gone: its end arrives as `FromWorker::Gone`.
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

    /// Sends the worker a command. Never waits.
    pub fn tell(&self, command: Command) {
        // If the writing thread has ended, so has the worker, or it is about to end.
        let _ = self.commands.as_ref().map(|commands| commands.send(command));
    }

    /// Closes the worker's stdin once all commands are sent, and so lets the worker end.
    pub fn close(&mut self) {
        self.commands = None;
    }

    /// Kills the worker if it has not ended, and returns how it ended, for people.
    pub fn kill(mut self) -> String {
        // Fails if the worker has already ended, which is fine.
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

    /// The worker's process identifier.
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
        (Some(TOO_MUCH_MEMORY), _) => "it took more memory than --max-worker-memory allows".into(),
        (Some(code), _) => format!("it ended with exit code {code}"),
        (_, Some(9)) => "it was killed (signal 9; if nobody killed it, memory ran out)".into(),
        (_, Some(signal)) => format!("it was ended by signal {signal}"),
        _ => "it ended".into(),
    }
}
