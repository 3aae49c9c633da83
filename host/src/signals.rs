//! Ctrl-C, SIGTERM and the end of the terminal (SIGHUP): a message if there is something to stop, otherwise the end of
//! the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use crate::system;

/// How long a signal that ends the process lets it go on. Somebody who presses Ctrl-C once too often must not lose a
/// report that is being written, and a second is enough for a reader that reads.
const GRACE: Duration = Duration::from_secs(1);

/// Requests to stop, by a signal or by a message.
#[derive(Debug)]
pub struct Stops {
    asked: Sender<()>,
    stops: Receiver<()>,
    /// Whether a signal becomes a message. If not, it ends the process.
    is_heard: Arc<AtomicBool>,
}

impl Stops {
    /// Takes over these signals, except one that is ignored, as `nohup` ignores SIGHUP. Each becomes one message until
    /// [`Self::let_end`] is called; from then on it ends the process with `exit_code`.
    pub fn listen(exit_code: u8) -> io::Result<Self> {
        let ignored = ignored();
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0))?;
        let (asked, stops) = unbounded();
        let is_heard = Arc::new(AtomicBool::new(true));
        let (tell, is_message) = (asked.clone(), is_heard.clone());
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                if !is_message.load(Ordering::SeqCst) {
                    std::thread::sleep(GRACE);
                }
                if !is_message.load(Ordering::SeqCst) || tell.send(()).is_err() {
                    // Exit without the usual clean-up: another thread may be stuck in a write and hold the lock of
                    // stdout.
                    low_level::exit(exit_code.into());
                }
            }
        })?;
        Ok(Self { asked, stops, is_heard })
    }

    /// From now on each signal becomes one message again.
    pub fn hear(&self) {
        self.is_heard.store(true, Ordering::SeqCst);
    }

    /// From now on a signal ends the process a second later: what follows may wait for a reader, and a stop could save
    /// nothing.
    pub fn let_end(&self) {
        self.is_heard.store(false, Ordering::SeqCst);
    }

    /// Requests a stop without a signal.
    pub fn sender(&self) -> Sender<()> {
        self.asked.clone()
    }

    /// The messages.
    pub fn receiver(&self) -> &Receiver<()> {
        &self.stops
    }
}

/// The signals that this process ignores, one bit for each. Only the kernel's files tell that and leave them as they
/// are; without those, none is taken to be ignored.
fn ignored() -> u64 {
    let status = system::proc("self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Makes a file that is larger than the limit (`ulimit -f`) an error like any other, and not the end of the process.
pub fn outlive_large_files() {
    // If this fails, such a file ends the process, as it would have.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}
