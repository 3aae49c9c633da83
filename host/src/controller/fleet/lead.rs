//! Controls the runs of a command: begins to, looks who is there before each run, and appends decisions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam::channel::{Receiver, bounded};

use super::choice::{self, Next};
use super::{Fleet, FleetError, Role, farthest, find, why_failed};
use crate::clock::system_monotonic;
use crate::cluster::journal::{Appender, Trouble};
use crate::cluster::presence::{Presence, Roll};
use crate::cluster::register::Registered;
use crate::cluster::{Listening, subjects};
use crate::controller::{CUTS, RunError};

/// How often the agents hear that the controller lives.
const PULSE: Duration = Duration::from_millis(500);

/// A process that controls.
pub(super) struct Lead {
    /// The system's monotonic clock, and the server's clock, when it began to control.
    pub(super) since: (Duration, SystemTime),
    /// Appends decisions, for all runs.
    decider: Appender,
    /// Why it does not append any more.
    trouble: Receiver<Trouble>,
    /// The agents hear that the controller lives, also between two runs.
    _pulse: Listening,
    /// Others can ask it to stop.
    _stop: Listening,
    /// Which agents are there.
    roll: Arc<Roll>,
}

impl Fleet {
    /// Controls the command from now on, if no other process begins to.
    pub(super) fn lead(&self) -> Result<(), FleetError> {
        let Registered { mut listing, revision, .. } = find(&self.link, &self.command)?;
        if let Some(why) = why_failed(&listing, self.journal.key()) {
            return Err(FleetError::Failed(self.command.clone(), why));
        }
        if listing.ended {
            return Err(FleetError::Over(self.command.clone()));
        }
        if listing.epoch > self.epoch() {
            return Err(FleetError::Taken(self.command.clone()));
        }
        listing.epoch += 1;
        listing.host = crate::machine::name();
        let revision = self.link.register(&self.command, &listing, revision)?;
        let revision = revision.ok_or_else(|| FleetError::Taken(self.command.clone()))?;
        self.registration.replace(listing, revision);
        self.begin_to_lead(Arc::new(Roll::call(&self.link)?))
    }

    pub(super) fn begin_to_lead(&self, roll: Arc<Roll>) -> Result<(), FleetError> {
        let here = system_monotonic();
        let Registered { changed, .. } = find(&self.link, &self.command)?;
        let pulse = self.link.beat(subjects::pulse(&self.command), PULSE);
        let (key, stops, subject) = (self.journal.key().clone(), self.stops.clone(), subjects::stop(&self.command));
        let asked = AtomicBool::new(false);
        let stop = self.link.answer(&subject.clone(), move |payload| {
            if key.open(&subject, payload).is_none() {
                return Vec::new();
            }
            // If nobody listens any more, the command is ending.
            let _ = stops.send(());
            if asked.swap(true, Ordering::Relaxed) { CUTS.to_vec() } else { b"stopping".to_vec() }
        })?;
        let last = self.journal.last_decision(&self.link)?;
        let (tell, trouble) = bounded(1);
        let tell = move |trouble| drop(tell.send(trouble));
        let decider = self.journal.decider(&self.link, self.epoch(), last, self.patience(), tell);
        let since = (here, changed);
        self.leads.store(true, Ordering::Relaxed);
        self.role.replace(Role::Leads(Lead { since, decider, trouble, _pulse: pulse, _stop: stop, roll }));
        Ok(())
    }

    /// Who is there, if this process controls the command.
    pub(in crate::controller) fn roll(&self) -> Option<Arc<Roll>> {
        match &*self.role.borrow() {
            Role::Leads(lead) => Some(Arc::clone(&lead.roll)),
            Role::Follows(_) | Role::Replaced => None,
        }
    }

    /// Looks which boxes are there for the next run: those of the run before, or others in their places. Returns what
    /// people should know about a change.
    pub(in crate::controller) fn muster(
        &self,
        stops: &Receiver<()>,
        say: &dyn Fn(&str),
    ) -> Result<Option<String>, RunError> {
        let roll = self.roll().ok_or_else(|| RunError::Fenced(self.command.clone()))?;
        let (before, former) = (self.agents(), self.former.borrow().clone());
        let is_stopped = || stops.try_recv().is_ok();
        let (boxes, size) = ((&*before, &*former), self.size as usize);
        let next = choice::for_the_next_run(&roll, boxes, &self.wanted, size, &is_stopped, say);
        let Next { agents, changes, is_short } = next.ok_or(RunError::Stopped)?;
        if agents.is_empty() {
            return Err(RunError::Refused(format!("no box can be used any more ({changes})")));
        }
        let process = |agent: &Presence| (agent.name.clone(), agent.session);
        if before.iter().map(process).eq(agents.iter().map(process)) {
            return Ok(None);
        }
        let fenced = |error: &RunError| {
            if let RunError::Fenced(_) = error {
                self.lose_command();
            }
        };
        self.registration.change(|listing| listing.agents.clone_from(&agents)).inspect_err(fenced)?;
        self.rtt.set(farthest(&self.link, &agents));
        let is_gone = |agent: &Presence| agents.iter().all(|of| of.name != agent.name);
        self.former.borrow_mut().extend(before.into_iter().filter(is_gone));
        let plural = if agents.len() == 1 { "box" } else { "boxes" };
        let boxes = format!("{} {plural}", agents.len());
        let instead = if agents.len() < size { format!(" instead of {size}") } else { String::new() };
        let said = format!("{boxes}{instead} ({changes})");
        self.absent.replace((is_short || agents.len() < size).then(|| said.clone()));
        Ok(Some(format!("the run now has {said}")))
    }

    /// What appends decisions, and why it does not any more; `None` if this process does not control.
    pub(in crate::controller) fn decider(&self) -> Option<(Appender, Receiver<Trouble>)> {
        match &*self.role.borrow() {
            Role::Leads(lead) => Some((lead.decider.clone(), lead.trouble.clone())),
            Role::Follows(_) | Role::Replaced => None,
        }
    }
}
