//! A run on this machine alone: its workers are child processes, and an entry has its place as soon as it is made.

use std::io;
use std::time::Duration;

use crossbeam::channel::Receiver;

use super::books::{Books, Effect};
use super::crew::{Crew, Equipment, not_started};
use super::job::Job;
use super::machine::{Input, Machine};
use super::shell::Reach;
use super::{RunError, hook};
use crate::journal::Entry;
use crate::metrics::NetworkCounts;
use crate::transport::FromWorker;
use crate::wire::Command;

/// This machine.
pub(super) struct Local {
    crew: Crew,
    equipment: Equipment,
    hook_timeout: Option<Duration>,
    /// Why the last worker could not be launched.
    launch: Option<io::Error>,
}

impl Local {
    /// For a run that was opened at `opened` by the system's monotonic clock.
    pub(super) fn new(job: &Job, opened: Duration) -> Self {
        let equipment = Equipment::of(job);
        let crew = Crew::new(equipment.clone(), opened);
        Self { crew, equipment, hook_timeout: job.plan.limits().hook_timeout, launch: None }
    }
}

impl Reach for Local {
    type News = (u32, FromWorker);

    fn news(&self) -> &Receiver<Self::News> {
        self.crew.frames()
    }

    fn understand(&mut self, (worker, news): Self::News) -> Vec<Input> {
        let input = match news {
            FromWorker::Frame(frame, message) => Some(Input::Heard { worker, frame, message }),
            FromWorker::Gone => self.crew.on_end(worker).map(|how| Input::Gone { worker, how }),
        };
        input.into_iter().collect()
    }

    fn open(&mut self, _books: &Books) {}

    fn record(&mut self, entry: Entry) -> Option<Entry> {
        Some(entry)
    }

    fn execute(&mut self, effect: Effect) -> Option<Input> {
        let launched = if let Effect::Launch { worker, .. } = effect { Some(worker) } else { None };
        let error = self.crew.execute(effect).err()?;
        let how = not_started(&error);
        self.launch = Some(error);
        launched.map(|worker| Input::Gone { worker, how })
    }

    fn call(
        &mut self,
        command: Command,
        refused: &mut NetworkCounts,
        stops: &Receiver<()>,
        print: &mut dyn FnMut(Vec<u8>),
    ) -> Result<String, RunError> {
        hook::call(&self.equipment, self.hook_timeout, command, refused, stops, print)
    }

    fn prepare(&mut self, prepared: &str) -> Result<(), RunError> {
        self.crew.prepare(prepared);
        Ok(())
    }

    fn tick(&mut self) -> Option<Input> {
        self.crew.end_late_leavers();
        None
    }

    fn take_launch_error(&mut self) -> Option<io::Error> {
        self.launch.take()
    }

    fn booked(&mut self, _books: &Books) {}

    fn trouble(&mut self) -> Option<RunError> {
        None
    }

    fn end(&mut self) {
        self.crew.end_all();
    }

    fn close(&mut self, _machine: Machine, _at: Duration, _broken: Option<String>) {}
}
