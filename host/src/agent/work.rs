//! An agent's part of one run.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, unbounded};

use super::outbox::Outbox;
use super::{News, Settings, offer};
use crate::clock::{since_boot, system_monotonic};
use crate::cluster::journal::{Appender, Journal, Patience, Posted, Trouble};
use crate::cluster::seal::Key;
use crate::cluster::{Link, Listening, files, subjects};
use crate::controller::remote::{self, Aside, HookCall, HookReply, Invitation, Order, RunName, Start};
use crate::controller::{Crew, Effect, Equipment, call_hook, not_started};
use crate::hook::Hook;
use crate::metrics::NetworkCounts;
use crate::plan::{RunPlan, RunSpec, Trust};
use crate::resolve;
use crate::rows::Rows;
use crate::scratch::Scratch;
use crate::task::{Compiled, Compiler, MOST_OF_COMPONENT, Purpose};
use crate::transport::FromWorker;
use crate::wire::{Command, Message, Phase};

/// What workers have said waits in this process up to so many bytes; then it waits in their pipes.
const MOST_WAITING: usize = 64 << 20;

/// What need not be heard at once is sent this often.
const SENT: Duration = Duration::from_secs(1);

/// A file of certificate authorities has at most so many bytes.
const MOST_OF_AUTHORITIES: u64 = 16 << 20;

fn lock(hooks: &Mutex<Hooks>) -> MutexGuard<'_, Hooks> {
    // Nothing that holds the lock can panic half-way.
    hooks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent's part of one run.
pub(super) struct Work {
    name: RunName,
    index: u32,
    equipment: Equipment,
    /// How many workers the box has at most.
    most: u32,
    /// What the workers read.
    _files: (Compiled, Option<Rows>, Vec<Scratch>),
    /// From the beginning on.
    started: Option<Started>,
    journal: Journal,
    /// Whether the journal is kept whole.
    is_kept: bool,
    _orders: Listening,
    /// Stops the hook that is being called.
    hook: Option<Sender<()>>,
    hooks: Arc<Mutex<Hooks>>,
}

/// The hooks that were called, by name: each once, whoever asks for it.
type Hooks = BTreeMap<&'static str, Called>;

/// A hook that was called.
enum Called {
    /// It has not ended; with the subject for the answer.
    Running(String),
    /// What it returned, sealed.
    Ended(Vec<u8>),
}

struct Started {
    crew: Crew,
    /// How many workers it has at most.
    most: u32,
    opened: Duration,
    journal: Appender,
    outbox: Outbox,
    /// The index of the last order that was carried out.
    orders: u64,
    sent: Duration,
    is_leaving: bool,
}

impl Work {
    /// Fetches what the run needs, and compiles the task.
    pub(super) fn open(
        invitation: Invitation,
        key: &Key,
        settings: &Settings,
        link: &Link,
        news: &Sender<News>,
    ) -> Result<Self, String> {
        let Invitation { run, index, phases, contact, task, sha256, data, authorities, is_kept, orphan_timeout: _ } =
            invitation;
        let fetch = |digest: &str, most| link.get(digest, most).map_err(|error| error.to_string());
        let wasm = fetch(&sha256, MOST_OF_COMPONENT)?;
        let purpose = phases.last().map_or(Purpose::Multiply, |(_, plan)| Purpose::of(plan));
        let compiled = Compiler::new(purpose).and_then(|of| of.compile_bytes(Path::new(&task), &wasm, |_| ()));
        let compiled = compiled.map_err(|error| error.to_string())?;
        let mut scratches = Vec::new();
        let mut keep = |content: Vec<u8>| {
            let scratch = Scratch::new(|file: &mut dyn Write| file.write_all(&content));
            let scratch = scratch.map_err(|error| format!("cannot keep a file: {error}"))?;
            let path = scratch.path().to_owned();
            scratches.push(scratch);
            Ok::<_, String>(path)
        };
        let opened = |digest: &str, most| {
            let sealed = fetch(digest, most)?;
            key.open(remote::FILE, &sealed).ok_or_else(|| "a file was not sealed by the controller".to_owned())
        };
        let data = data.map(|digest| keep(opened(&digest, files::MOST_BYTES)?)).transpose()?;
        let authorities = authorities.map(|digest| keep(opened(&digest, MOST_OF_AUTHORITIES)?)).transpose()?;
        let rows = data.as_deref().map(Rows::read).transpose().map_err(|error| error.to_string())?;
        let here = |(phase, plan): &(Phase, RunPlan)| {
            let mut spec: RunSpec = offer::granted(plan, settings)?.into();
            spec.data = data.clone();
            if let Some(path) = &authorities {
                spec.http.trust = Trust::RootsAnd(path.clone());
            }
            let plan = RunPlan::try_from(spec).map_err(|error| error.to_string())?;
            Ok::<_, String>((*phase, plan))
        };
        let phases = phases.iter().map(here).collect::<Result<Vec<_>, _>>()?;
        let addresses = phases.last().map(|(_, plan)| resolve::ask(plan.grants().network.names())).unwrap_or_default();
        let facts = rows.as_ref().map(|rows| rows.facts().clone());
        let (machine_code, has_objects) = (compiled.machine_code.clone(), compiled.has_objects);
        let equipment = Equipment { phases, machine_code, has_objects, addresses, rows: facts, contact };
        let files = (compiled, rows, scratches);
        let journal = Journal::of(&run.command, key);
        let orders = vec![subjects::to(&run.command, &settings.name)];
        let orders = journal.follow(link, orders, 0, news.clone(), News::Posted);
        let (started, hook, hooks) = (None, None, Arc::default());
        let most = settings.max_processes;
        Ok(Self {
            name: run,
            index,
            journal,
            is_kept,
            equipment,
            most,
            _files: files,
            started,
            _orders: orders,
            hook,
            hooks,
        })
    }

    /// The run.
    pub(super) fn name(&self) -> &RunName {
        &self.name
    }

    /// The index of the run, and how many orders have been carried out.
    pub(super) fn carried_out(&self) -> (u32, u64) {
        (self.name.run, self.started.as_ref().map_or(0, |started| started.orders))
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> u32 {
        self.started.as_ref().map_or(0, |started| started.crew.size())
    }

    /// What its workers say; `None` while too much waits already.
    pub(super) fn frames(&self) -> Option<&Receiver<(u32, FromWorker)>> {
        let started = self.started.as_ref()?;
        (started.journal.waiting_bytes() < MOST_WAITING).then(|| started.crew.frames())
    }

    /// The run begins.
    pub(super) fn begin(&mut self, link: &Link, start: &Start) -> Result<(), String> {
        if start.run != self.name {
            return Err("it was not invited to this run".into());
        }
        if self.started.is_some() {
            // The controller before has begun.
            return Ok(());
        }
        let mut crew = Crew::new(self.equipment.clone(), start.opened);
        crew.prepare(&start.prepared);
        let agent = link.name().to_owned();
        let subject = subjects::from(&self.name.command, &agent);
        let writer = format!("{agent}/{}/{:x}", self.name.run, fastrand::u64(..));
        let trouble = Trouble::told(link, self.journal.key(), subjects::trouble(&self.name.command));
        let patience = Patience::of_agent(self.is_kept);
        let journal = self.journal.appender(link, subject, writer, 0, patience, trouble);
        let (opened, outbox, sent) = (start.opened, Outbox::default(), since_boot());
        self.started =
            Some(Started { crew, most: self.most, opened, journal, outbox, orders: 0, sent, is_leaving: false });
        Ok(())
    }

    /// Calls a hook on a thread of its own, which answers to `reply`, sealed for `place`. If the hook has been called
    /// already, it is not called again.
    pub(super) fn call(
        &mut self,
        link: &Arc<Link>,
        call: HookCall,
        reply: String,
        place: String,
    ) -> Result<(), String> {
        if call.run != self.name {
            return Err("it was not invited to this run".into());
        }
        let name = match &call.command {
            Command::Prepare => Hook::Prepare.name(),
            Command::Cleanup(_) => Hook::Cleanup.name(),
            _ => return Err("that is not a hook".into()),
        };
        {
            let mut hooks = lock(&self.hooks);
            match hooks.get_mut(name) {
                Some(Called::Running(to)) => {
                    *to = reply;
                    return Ok(());
                }
                Some(Called::Ended(answer)) => {
                    link.publish(&reply, answer.clone());
                    return Ok(());
                }
                None => hooks.insert(name, Called::Running(reply)),
            };
        }
        let (stop, stops) = unbounded();
        self.hook = Some(stop);
        let (equipment, link, hooks) = (self.equipment.clone(), Arc::clone(link), Arc::clone(&self.hooks));
        let (run, output, key) = (self.name.run, subjects::output(&self.name.command), self.journal.key().clone());
        let timeout = equipment.phases.last().and_then(|(_, plan)| plan.limits().hook_timeout);
        let work = move || {
            let mut refused = NetworkCounts::default();
            let mut print = |bytes| {
                let message = Message::Output(bytes);
                if let Ok(aside) = remote::seal(&key, &output, &Aside { run, message }) {
                    link.publish(&output, aside);
                }
            };
            let returned = call_hook(&equipment, timeout, call.command, &mut refused, &stops, &mut print);
            let answer = HookReply { returned: returned.map_err(|error| error.to_string()), refused };
            let sealed = remote::seal(&key, &place, &answer).map_err(|error| error.to_string());
            let answer = remote::bytes(&sealed).unwrap_or_default();
            let before = lock(&hooks).insert(name, Called::Ended(answer.clone()));
            if let Some(Called::Running(reply)) = before {
                link.publish(&reply, answer);
            }
        };
        let spawned = std::thread::Builder::new().name("hook".into()).spawn(work);
        spawned.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
    }

    /// Stops the hook that is being called. Returns whether there was one.
    pub(super) fn stop_hook(&mut self) -> bool {
        // Fails if the hook has ended.
        self.hook.take().is_some_and(|stop| stop.send(()).is_ok())
    }

    /// Carries out orders, each once. Orders follow from the journal alone, so that whoever gives one, and if another
    /// controller has replaced it by then, gives the same.
    pub(super) fn obey(&mut self, posted: &Posted) {
        let Some(started) = &mut self.started else { return };
        for item in &posted.bundle.items {
            let Ok(order) = remote::read::<Order>(item) else { continue };
            if order.run != self.name.run || order.index != started.orders + 1 {
                continue;
            }
            started.orders = order.index;
            started.carry_out(order.effect);
        }
        started.send_if_due(&self.name, self.index);
    }

    /// A worker said something, or is gone.
    pub(super) fn hear(&mut self, link: &Link, worker: u32, frame: FromWorker) {
        let Some(started) = &mut self.started else { return };
        let at = system_monotonic().saturating_sub(started.opened);
        match frame {
            FromWorker::Frame(_, message) if message.is_aside() => {
                let subject = subjects::output(&self.name.command);
                let aside = Aside { run: self.name.run, message };
                if let Ok(aside) = remote::seal(self.journal.key(), &subject, &aside) {
                    link.publish(&subject, aside);
                }
            }
            FromWorker::Frame(_, message) => started.outbox.say(at, worker, message),
            FromWorker::Gone => {
                if let Some(how) = started.crew.on_end(worker) {
                    started.outbox.gone(at, worker, how);
                }
            }
        }
        if started.crew.frames().is_empty() {
            started.send_if_due(&self.name, self.index);
        }
    }

    /// Some time has passed.
    pub(super) fn look(&mut self) {
        if let Some(started) = &mut self.started {
            started.crew.end_late_leavers();
            started.send_if_due(&self.name, self.index);
        }
    }

    /// Ends all workers, because the controller has given them up. Returns whether there were any.
    pub(super) fn abandon(&mut self) -> bool {
        let Some(started) = &mut self.started else { return false };
        let at = system_monotonic().saturating_sub(started.opened);
        let abandoned = started.crew.kill_all();
        for &worker in &abandoned {
            started.outbox.gone(at, worker, "its box had heard nothing from the controller".into());
        }
        !abandoned.is_empty()
    }

    /// Lets the operations in flight end, and starts no more.
    pub(super) fn leave(&mut self) {
        if let Some(started) = &mut self.started {
            started.is_leaving = true;
            started.outbox.leave(system_monotonic().saturating_sub(started.opened));
            started.crew.stop_all();
        }
    }

    /// Whether it has no workers, and everything that they said is in the journal.
    pub(super) fn is_idle(&self) -> bool {
        self.started.as_ref().is_none_or(|started| started.crew.size() == 0 && started.journal.waiting_bytes() == 0)
    }

    /// The run is over here.
    pub(super) fn end(&mut self) {
        if let Some(started) = &mut self.started {
            started.crew.end_all();
        }
    }
}

impl Started {
    fn carry_out(&mut self, effect: Effect) {
        let Some(worker) = effect.worker() else { return };
        if self.is_leaving && matches!(effect, Effect::Launch { .. }) {
            self.fail(worker, "its box is leaving".into());
            return;
        }
        if self.crew.size() >= self.most && matches!(effect, Effect::Launch { .. }) {
            let how = format!("its box starts at most {} worker processes (--max-processes)", self.most);
            self.fail(worker, how);
            return;
        }
        let begins = matches!(effect, Effect::Go { .. });
        if let Err(error) = self.crew.execute(effect) {
            self.fail(worker, not_started(&error));
        }
        if self.is_leaving && begins {
            // Before it began, it could not be stopped.
            self.crew.stop_all();
        }
    }

    fn fail(&mut self, worker: u32, how: String) {
        self.outbox.gone(system_monotonic().saturating_sub(self.opened), worker, how);
    }

    /// Sends what waits: once a second, and at once if it is urgent.
    fn send_if_due(&mut self, name: &RunName, index: u32) {
        let now = since_boot();
        if !self.outbox.is_urgent() && now.saturating_sub(self.sent) < SENT {
            return;
        }
        self.sent = now;
        self.outbox.take(name.run, index).into_iter().for_each(|item| self.journal.append(item));
    }
}
