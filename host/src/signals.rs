//! Requests to stop the command, by Ctrl-C or SIGTERM, as messages.

use std::io;

use crossbeam::channel::{Receiver, Sender, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// From now on these signals do not end the process: each arrives as one message. The sender can be used to request a
/// stop too.
pub fn stops() -> io::Result<(Sender<()>, Receiver<()>)> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (stop, stops) = unbounded();
    let asks = stop.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if stop.send(()).is_err() {
                return;
            }
        }
    })?;
    Ok((asks, stops))
}
