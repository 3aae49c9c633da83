//! `prepare` and `cleanup`: called once for a whole run, in a worker process of their own.
//!
//! Guest code never runs in the controller, so that nothing a task does can end the run's books.

use crossbeam::channel::{Receiver, select, unbounded};

use super::{Observer, RunError, RunEvent};
use crate::capability::resolve;
use crate::metrics::NetworkCounts;
use crate::plan::RunPlan;
use crate::task::Compiled;
use crate::transport::{Event, Worker, describe};
use crate::wire::{Command, Message, WorkerPlan};

/// Calls the hook that `command` names; what it returned. What it was refused is added to `network`.
pub(super) fn call(
    compiled: &Compiled,
    plan: &RunPlan,
    command: Command,
    network: &mut NetworkCounts,
    stops: &Receiver<()>,
    observe: &mut Observer<'_>,
) -> Result<String, RunError> {
    let (events_in, events) = unbounded();
    let mut worker = Worker::launch(0, events_in)?;
    let plan = WorkerPlan {
        run: plan.clone(),
        place: 0,
        joins: None,
        machine_code: compiled.machine_code.clone(),
        addresses: resolve::ask(plan.grants.network.names()),
    };
    worker.tell(&Command::Load(Box::new(plan)));
    worker.tell(&command);
    loop {
        let event = select! {
            recv(events) -> event => event,
            recv(stops) -> _ => {
                worker.kill()?;
                return Err(RunError::Stopped);
            }
        };
        match event {
            Ok((_, Event::Message(Message::HookReturned(returned)))) => {
                worker.end()?;
                return Ok(returned);
            }
            Ok((_, Event::Message(Message::HookRefused(refused)))) => *network += &refused,
            Ok((_, Event::Message(Message::Refused(reason)))) => return Err(RunError::Refused(reason)),
            Ok((_, Event::Message(Message::Output(bytes)))) => observe(RunEvent::Output(&bytes)),
            Ok((_, Event::Message(_))) => {}
            Ok((_, Event::Gone)) | Err(_) => break,
        }
    }
    Err(RunError::Died(describe(worker.kill()?)))
}
