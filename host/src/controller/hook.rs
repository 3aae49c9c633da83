//! `prepare` and `cleanup`: called once for a whole run, in a separate worker process.
//!
//! Guest code never runs in the controller, so that nothing a task does can end the books.

use std::time::Duration;

use crossbeam::channel::{Receiver, after, bounded, never, select};

use super::RunError;
use super::crew::Equipment;
use crate::metrics::NetworkCounts;
use crate::pace::SlotIndex;
use crate::transport::{FromWorker, WorkerProcess};
use crate::wire::{Command, Message};

/// The worker enforces the hook's time-out. If the worker has not answered this long after the time-out, it hangs, and
/// is killed.
const GRACE: Duration = Duration::from_secs(20);

/// Calls the hook that `command` names, with this time-out, and returns what the hook returned. Destinations that the
/// hook was refused are added to `refused`; `print` gets what the hook prints.
pub fn call(
    equipment: &Equipment,
    timeout: Option<Duration>,
    command: Command,
    refused: &mut NetworkCounts,
    stops: &Receiver<()>,
    print: &mut dyn FnMut(Vec<u8>),
) -> Result<String, RunError> {
    let (frames_in, frames) = bounded(1);
    let mut worker = WorkerProcess::launch(0, frames_in).map_err(RunError::Launch)?;
    worker.tell(Command::Load(Box::new(equipment.plan(0, SlotIndex(0)))));
    worker.tell(command);
    // Without a time-out, hooks may take for ever.
    let too_late = timeout.map_or_else(never, |timeout| after(timeout.saturating_add(GRACE)));
    loop {
        let heard = select! {
            recv(frames) -> heard => heard,
            recv(stops) -> _ => {
                worker.kill();
                return Err(RunError::Stopped);
            }
            recv(too_late) -> _ => {
                worker.kill();
                return Err(RunError::Refused("its worker process was killed, as it had stopped responding".into()));
            }
        };
        match heard {
            Ok((_, FromWorker::Frame(_, Message::HookReturned(returned)))) => {
                worker.close();
                // The worker has two seconds to end by itself.
                let _ = frames.recv_timeout(super::machine::LAST_PATIENCE);
                worker.kill();
                return Ok(returned);
            }
            Ok((_, FromWorker::Frame(_, Message::HookRefused(counts)))) => *refused += &counts,
            Ok((_, FromWorker::Frame(_, Message::Refused(reason)))) => {
                worker.kill();
                return Err(RunError::Refused(reason));
            }
            Ok((_, FromWorker::Frame(_, Message::Output(bytes)))) => print(bytes),
            Ok((_, FromWorker::Frame(..))) => {}
            Ok((_, FromWorker::Gone)) | Err(_) => {
                return Err(RunError::Refused(format!("its worker process died: {}", worker.kill())));
            }
        }
    }
}
