//! `prepare` and `cleanup`: called once for a whole run, in a worker process of their own.
//!
//! Guest code never runs in the controller, so that nothing a task does can end the run's books.

use crossbeam::channel::unbounded;

use super::{Observer, RunError, RunEvent};
use crate::plan::RunPlan;
use crate::task::Compiled;
use crate::transport::{Event, Worker, describe};
use crate::wire::{Command, Message, WorkerPlan};

/// Calls the hook that `command` names; what it returned.
pub(super) fn call(
    compiled: &Compiled,
    plan: &RunPlan,
    command: Command,
    observe: &mut Observer<'_>,
) -> Result<String, RunError> {
    let (events_in, events) = unbounded();
    let mut worker = Worker::launch(0, events_in)?;
    let plan = WorkerPlan { run: plan.clone(), first_thread: 0, machine_code: compiled.machine_code.clone() };
    worker.tell(&Command::Load(Box::new(plan)));
    worker.tell(&command);
    while let Ok((_, Event::Message(message))) = events.recv() {
        match message {
            Message::HookReturned(returned) => {
                worker.end()?;
                return Ok(returned);
            }
            Message::Refused(reason) => return Err(RunError::Refused(reason)),
            Message::Output(bytes) => observe(RunEvent::Output(&bytes)),
            _ => {}
        }
    }
    Err(RunError::Died(describe(worker.kill()?)))
}
