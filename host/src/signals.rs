//! Requests to stop from outside, Ctrl-C and SIGTERM, as messages.

use std::io;

use crossbeam::channel::{Receiver, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// From now on these signals do not end the process: each arrives as one message.
pub fn stops() -> io::Result<Receiver<()>> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (stop, stops) = unbounded();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if stop.send(()).is_err() {
                return;
            }
        }
    })?;
    Ok(stops)
}
