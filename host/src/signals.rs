//! Ctrl-C and SIGTERM: messages while there is something to stop, the end of the process otherwise.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::channel::{Receiver, Sender, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Stops that somebody asks for: by a signal, or by a message.
#[derive(Debug)]
pub struct Stops {
    asked: Sender<()>,
    stops: Receiver<()>,
    /// Whether a signal is a message. If it is not, it ends the process.
    is_heard: Arc<AtomicBool>,
}

impl Stops {
    /// Takes the two signals from the system: each is one message until [`Self::let_end`] is called, and ends the process
    /// with `exit_code` from then on.
    pub fn listen(exit_code: u8) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let (asked, stops) = unbounded();
        let is_heard = Arc::new(AtomicBool::new(true));
        let (tell, is_message) = (asked.clone(), is_heard.clone());
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                if !is_message.load(Ordering::SeqCst) || tell.send(()).is_err() {
                    // Without the usual cleaning up: another thread may be stuck in a write and hold the lock of stdout.
                    low_level::exit(exit_code.into());
                }
            }
        })?;
        Ok(Self { asked, stops, is_heard })
    }

    /// From now on each signal is one message again.
    pub fn hear(&self) {
        self.is_heard.store(true, Ordering::SeqCst);
    }

    /// From now on a signal ends the process: what comes next may wait for a reader, and has nothing that a stop could
    /// save.
    pub fn let_end(&self) {
        self.is_heard.store(false, Ordering::SeqCst);
    }

    /// Asks for a stop without a signal.
    pub fn sender(&self) -> Sender<()> {
        self.asked.clone()
    }

    /// The messages.
    pub fn receiver(&self) -> &Receiver<()> {
        &self.stops
    }
}
