//! The only way to run something, for all commands. It compiles each task once, listens for stops, and shows progress.
//! The command decides what to do with the record of a run.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use crossbeam::channel::{Receiver, Sender, bounded, select};

use super::boxes::Over;
use super::command::{self, KeptKey, Made, Resumed};
use super::flags::TaskSource;
use super::{Exit, invocation};
use crate::cluster::files;
use crate::cluster::register::Keep;
use crate::cluster::seal::Key;
use crate::controller::{
    self, Books, FilesThere, Fleet, Identity, Job, Observer, OnLoss, RunError, RunEvent, Spread, Wanted,
};
use crate::input;
use crate::lane::Lane;
use crate::plan::{PlanError, RunPlan, Shape, Trust};
use crate::progress::{Messages, Progress, Screen, Show};
use crate::record::{Environment, FileFacts, FileRole, Origin, RunRecord, Startup, TaskFacts};
use crate::resolve::{self, Addresses};
use crate::rows::Rows;
use crate::signals::Stops;
use crate::task::{self, Compiled, Compiler, Purpose, Task, TaskError};
use crate::terminal;

/// How long a stop waits until what was done for the boxes is undone.
const UNDO: Duration = Duration::from_secs(10);

/// Runs the jobs of a command.
pub(super) struct Runner {
    /// By path.
    compiled: HashMap<(PathBuf, Purpose), (Compiler, Compiled)>,
    stops: Stops,
    progress: Progress,
    show: Show,
    over: Option<Over>,
    leads: Arc<AtomicBool>,
    /// How many worker processes each box needs room for, in any run of the command.
    processes: u32,
    /// The boxes, once they have been gathered.
    fleet: Option<Fleet>,
    /// The key of the command over boxes, for as long as it may be needed. Dropped after `fleet`.
    key: Option<KeptKey>,
}

/// Why a run could not start or finish.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotRun {
    /// The command line does not fit the task.
    #[error("{0}")]
    Usage(String),
    /// Any other error.
    #[error("{0:#}")]
    Failed(anyhow::Error),
    /// Another process goes on with it.
    #[error("{0}")]
    Away(RunError),
    /// It goes on in the background.
    #[error("the command {0} goes on in the background; `gorgon attach {0}` follows it, `gorgon stop {0}` stops it")]
    Detached(String),
}

impl CannotRun {
    /// Prints the error, and returns the exit code of the command.
    pub(super) fn say(&self) -> Exit {
        if let Self::Detached(command) = self {
            super::tell(&self.to_string());
            // Only the name, for scripts.
            let _ = writeln!(terminal::stdout(), "{command}");
            return Exit::Done;
        }
        super::say(&self.to_string());
        self.code()
    }

    /// The same, of a run that is written at `place`.
    pub(super) fn at(self, place: Option<&str>) -> Self {
        match (self, place) {
            (Self::Failed(error), Some(place)) => Self::Failed(error.context(place.to_owned())),
            (Self::Usage(error), Some(place)) => Self::Usage(format!("{place}: {error}")),
            (error, _) => error,
        }
    }

    /// The exit code of the command.
    pub(super) fn code(&self) -> Exit {
        match self {
            Self::Detached(_) | Self::Away(RunError::LetGo(_)) => Exit::Done,
            Self::Away(_) => Exit::CouldNotRun,
            Self::Usage(_) => Exit::Usage,
            Self::Failed(_) => Exit::CouldNotRun,
        }
    }
}

impl From<anyhow::Error> for CannotRun {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<TaskError> for CannotRun {
    fn from(error: TaskError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<PlanError> for CannotRun {
    fn from(error: PlanError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl Runner {
    /// From now on a signal stops the runs and no longer ends the process.
    pub(super) fn new(show: Show, over: Option<Over>) -> anyhow::Result<Self> {
        let stops = Stops::listen(Exit::Stopped.code()).context("cannot listen for Ctrl-C")?;
        let progress = Progress::new(show, stops.sender())?;
        Ok(Self {
            compiled: HashMap::new(),
            stops,
            progress,
            show,
            over,
            leads: Arc::new(AtomicBool::new(command::resumed().is_none())),
            processes: 1,
            fleet: None,
            key: None,
        })
    }

    /// Asks for a stop.
    pub(super) fn stop(&self) -> Sender<()> {
        self.stops.sender()
    }

    /// Whether this process controls the runs: not if it follows those of another one.
    pub(super) fn leads(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.leads)
    }

    /// Prints a line, unless nothing may be shown.
    pub(super) fn say(&self, message: &str) {
        if self.show != Show::Nothing {
            self.messages().say(message);
        }
    }

    /// Prints messages beside the progress, without waiting for the terminal.
    pub(super) fn messages(&self) -> Messages {
        self.progress.messages()
    }

    /// The screen, if runs are shown on it.
    pub(super) fn screen(&self) -> Option<Screen> {
        self.progress.screen()
    }

    /// Waits up to `most` for a stop, and returns whether one came.
    pub(super) fn is_stopped_within(&self, most: Duration) -> bool {
        !most.is_zero() && self.stops.receiver().recv_timeout(most).is_ok()
    }

    /// Waits for a stop without a limit.
    pub(super) fn wait_for_stop(&self) {
        self.stops.hear();
        // This cannot fail, because `self` holds a sender.
        let _ = self.stops.receiver().recv();
    }

    /// From now on a signal is a message again, for somebody who waits for something.
    pub(super) fn stops_again(&self) -> &Receiver<()> {
        self.stops.hear();
        // What came before was for the runs.
        while self.stops.receiver().try_recv().is_ok() {}
        self.stops.receiver()
    }

    /// From now on, after the runs, a signal ends the process, even while it waits.
    pub(super) fn let_signals_end(&self) {
        self.stops.let_end();
    }

    /// Runs `plan` with the task from `source`, and reports events to `observer` besides progress. Returns `None` if a
    /// stop came before there was anything to record.
    pub(super) fn run(
        &mut self,
        source: &TaskSource,
        plan: &RunPlan,
        observer: Option<Observer<'_>>,
    ) -> Result<Option<RunRecord>, CannotRun> {
        let Some((task, compiled)) = self.load(source, plan)? else { return Ok(None) };
        let Some(plan) = self.spread(source, plan)? else { return Ok(None) };
        let plan = &plan;
        let network = plan.grants().network.clone();
        let is_here = self.over.is_none();
        let resolve = move || if is_here { resolve::ask(network.names()) } else { Addresses::new() };
        let Some(addresses) = self.unless_stopped("resolve", resolve)? else { return Ok(None) };
        let of_files = plan.clone();
        let Some(read) = self.unless_stopped("files", move || read_files(&of_files))? else { return Ok(None) };
        // The workers find the rows for as long as this holds them.
        let (files, rows) = read?;
        let rows_of = rows.as_ref().map(|rows| rows.facts().clone());
        let job = Job { files, rows: rows_of, ..job(&task, &compiled, source.origin(), plan, addresses) };
        let progress = &self.progress;
        let show: Observer<'_> = Box::new(|event: &RunEvent, books: &Books| progress.on(event, books));
        let mut observers: Vec<Observer<'_>> = observer.into_iter().chain([show]).collect();
        let stops = self.stops.receiver();
        let record = match (&self.fleet, &self.over) {
            (Some(fleet), Some(over)) => {
                let refused = |error: anyhow::Error| RunError::Refused(format!("{error:#}"));
                let job = || {
                    let spread = fleet.spread(over.on_loss, over.by_box);
                    let plan = plan.on_boxes(spread.boxes.len() as u32).map_err(|error| refused(error.into()))?;
                    Ok(Job { spread, plan, ..job.clone() })
                };
                let files = || put(fleet, source, plan).map_err(refused);
                let over = controller::Over { fleet, job: &job, files: &files, say: &|message| self.say(message) };
                controller::run_over(&over, stops, &mut observers)
            }
            _ => controller::run(&job, stops, &mut observers),
        };
        match record {
            Err(RunError::Stopped) => Ok(None),
            // Nothing went wrong with the run.
            Err(away @ (RunError::LetGo(_) | RunError::Fenced(_))) => {
                // Another process needs it.
                self.key.iter_mut().for_each(KeptKey::keep);
                Err(CannotRun::Away(away))
            }
            record => Ok(Some(record.with_context(|| format!("cannot run `{}`", source.path().display()))?)),
        }
    }

    /// Tells of the shapes of all runs, before the first one. An error if no boxes can have all of them.
    pub(super) fn expect(&mut self, shapes: impl Iterator<Item = Shape>) -> Result<(), CannotRun> {
        let mut boxes = self.over.as_ref().and_then(|over| over.boxes);
        for shape in shapes {
            self.processes = self.processes.max(shape.processes);
            if self.over.is_some() && shape.boxes > 1 && boxes.replace(shape.boxes).is_some_and(|of| of != shape.boxes)
            {
                return Err(CannotRun::Usage(format!(
                    "the shape {shape} has other boxes than the rest of the command: give all runs the same"
                )));
            }
        }
        Ok(())
    }

    /// How many boxes the runs take place on; one, if that is this machine, or before the first run.
    pub(super) fn boxes(&self) -> u32 {
        self.fleet.as_ref().map_or(1, Fleet::size)
    }

    /// The plan for the boxes that are there, which are gathered before the first run. Returns `None` if a stop came
    /// first.
    fn spread(&mut self, source: &TaskSource, plan: &RunPlan) -> Result<Option<RunPlan>, CannotRun> {
        let shape = plan.shape();
        let Some(over) = self.over.clone() else {
            return match shape.boxes {
                1 => Ok(Some(plan.clone())),
                _ => Err(CannotRun::Usage(format!(
                    "the shape {shape} has {} boxes: name their server (--on nats://HOST:4222)",
                    shape.boxes
                ))),
            };
        };
        if plan.load_model().open().is_some() && over.on_loss == OnLoss::Rerun {
            return Err(CannotRun::Usage(
                "--on-loss rerun is not possible with a rate: the operations of a schedule have their times".into(),
            ));
        }
        if self.fleet.is_none() {
            let wanted = over.boxes.or((shape.boxes > 1).then_some(shape.boxes));
            let labels = over.labels.clone();
            let signer = over.server.signer().map(|signer| signer.public());
            let processes = self.processes.max(shape.processes);
            let command = command::resumed().map_or_else(command::name, |resumed| resumed.command);
            let wanted = Wanted { command, boxes: wanted, processes, labels, signer };
            let Some(fleet) = self.gather(over, wanted, source)? else { return Ok(None) };
            fleet.notes().iter().for_each(|note| self.say(note));
            self.fleet = Some(fleet);
        }
        let boxes = self.boxes();
        if shape.boxes > 1 && shape.boxes != boxes {
            let wanted = shape.boxes;
            return Err(CannotRun::Usage(format!("the shape {shape} has {wanted} boxes, and the command has {boxes}")));
        }
        Ok(Some(plan.on_boxes(boxes)?))
    }

    /// Gathers the boxes of this command, or attaches to the command that this process goes on with. Returns `None` if
    /// a stop came first.
    fn gather(&mut self, over: Over, wanted: Wanted, source: &TaskSource) -> Result<Option<Fleet>, CannotRun> {
        let stops = self.stops.sender();
        if let Some(Resumed { server, key, takes_over, .. }) = command::resumed() {
            let (leads, name) = (self.leads(), wanted.command.clone());
            let attach = move || Fleet::attach(&server, wanted, &key, takes_over, (stops, leads));
            let attached = self.unless_stopped("boxes", attach)?.transpose().map_err(anyhow::Error::from)?;
            self.key = Some(KeptKey::of(&name)?);
            if attached.as_ref().is_none_or(Fleet::stays) {
                self.key.iter_mut().for_each(KeptKey::keep);
            }
            return Ok(attached);
        }
        if over.detach && command::background().is_none() {
            let link = over.server.connect("detach").map_err(anyhow::Error::from)?;
            let has_begun = |command: &str| link.registered(command).is_ok_and(|of| of.is_some());
            let say = |message: &str| self.say(message);
            let forget = |command: &str| super::runs::forget(&link, command);
            let stops = self.stops.receiver();
            let Some(begun) = command::detach(has_begun, stops, say, forget)? else { return Ok(None) };
            self.say(&format!("what it prints goes to {}", begun.log.display()));
            return Err(CannotRun::Detached(begun.command));
        }
        let key = Key::new().map_err(anyhow::Error::from)?;
        self.key = Some(KeptKey::new(&wanted.command, &key)?);
        let inputs = Made::of_this_process().and_then(|made| made.seal(&key));
        let identity = Identity {
            key,
            title: command::title(source.path()),
            orphan_timeout: over.orphan_timeout,
            inputs: inputs.context("cannot keep what the command is made of")?,
            journal_max: over.journal_max,
            keep: over.keep,
        };
        let (messages, is_quiet, stays) = (self.messages(), self.show == Show::Nothing, over.keep != Keep::Nothing);
        let say = move |message: &str| {
            if !is_quiet {
                messages.say(message);
            }
        };
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let cancelled = Arc::clone(&is_cancelled);
        let gather = move || Fleet::gather(&over.server, wanted, &identity, stops, &cancelled, say);
        let undo = |gathering: &Receiver<_>| {
            is_cancelled.store(true, Ordering::Relaxed);
            // A command that is in the register by now is removed again with its fleet.
            drop(gathering.recv_timeout(UNDO));
        };
        let gathered = self.unless_stopped_with("boxes", gather, undo)?.transpose().map_err(anyhow::Error::from)?;
        if let (Some(key), Some(_), true) = (&mut self.key, &gathered, stays) {
            key.keep();
        }
        Ok(gathered)
    }

    /// The lane in which the task from `source` would run `plan`. Returns `None` if a stop came first.
    pub(super) fn lane(&mut self, source: &TaskSource, plan: &RunPlan) -> Result<Option<Lane>, CannotRun> {
        Ok(self.load(source, plan)?.map(|(task, _)| task.lane()))
    }

    /// The task from `source`, if it can run `plan`. Returns `None` if a stop came first.
    fn load(&mut self, source: &TaskSource, plan: &RunPlan) -> Result<Option<(Task, Compiled)>, CannotRun> {
        let Some((compiler, compiled)) = self.compile(source, Purpose::of(plan))? else { return Ok(None) };
        let task = Task::load(compiler.engine(), &compiled.machine_code, plan)?;
        match task.refuses(plan) {
            Some(why) => Err(CannotRun::Usage(why)),
            None => Ok(Some((task, compiled))),
        }
    }

    /// Waits until the progress has been printed, so that the report comes after it.
    pub(super) fn end_progress(&mut self) -> anyhow::Result<()> {
        self.progress = Progress::new(Show::Nothing, self.stops.sender())?;
        Ok(())
    }

    /// Compiles the task from `source`, once. Returns `None` if a stop came first.
    fn compile(&mut self, source: &TaskSource, purpose: Purpose) -> anyhow::Result<Option<(Compiler, Compiled)>> {
        let key = (source.path().to_owned(), purpose);
        if let Some(compiled) = self.compiled.get(&key) {
            return Ok(Some(compiled.clone()));
        }
        let (compiler, task, show) = (Compiler::new(purpose)?, source.clone(), self.show);
        let of = compiler.clone();
        let Some(compiled) = self.unless_stopped("compile", move || task.compile(&of, show))? else {
            return Ok(None);
        };
        let compiled = (compiler, compiled?);
        self.compiled.insert(key, compiled.clone());
        Ok(Some(compiled))
    }

    /// Runs `work` on a thread called `name`. Returns `None` if a stop came first, and leaves the thread behind.
    fn unless_stopped<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<Option<T>> {
        self.unless_stopped_with(name, work, |_| ())
    }

    /// The same; after a stop, `undo` may wait for what comes of the work.
    fn unless_stopped_with<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
        undo: impl FnOnce(&Receiver<T>),
    ) -> anyhow::Result<Option<T>> {
        let (done, worked) = bounded(1);
        std::thread::Builder::new().name(name.into()).spawn(move || {
            // After a stop nobody receives this.
            let _ = done.send(work());
        })?;
        select! {
            recv(worked) -> worked => Ok(Some(worked.with_context(|| format!("the thread `{name}` has panicked"))?)),
            recv(self.stops.receiver()) -> _ => {
                undo(&worked);
                Ok(None)
            },
        }
    }
}

/// Puts what the boxes need for `plan` on the server.
fn put(fleet: &Fleet, source: &TaskSource, plan: &RunPlan) -> anyhow::Result<FilesThere> {
    let read = |path: &Path, most| {
        let content = input::read(path, most).with_context(|| format!("cannot read `{}`", path.display()))?;
        Ok::<_, anyhow::Error>(content)
    };
    match source {
        TaskSource::File(path) => fleet.put(&read(path, task::MOST_OF_COMPONENT)?)?,
        TaskSource::Embedded { wasm, .. } => fleet.put(wasm)?,
    };
    let sealed = |path, most| anyhow::Ok(fleet.put_sealed(read(path, most)?)?);
    let data = plan.data().map(|path| sealed(path, files::MOST_BYTES)).transpose()?;
    let authorities = match &plan.http().trust {
        Trust::RootsAnd(path) => Some(sealed(path, MOST_OF_AUTHORITIES)?),
        Trust::Roots | Trust::Anyone => None,
    };
    Ok(FilesThere { data, authorities })
}

/// The largest file of certificates.
const MOST_OF_AUTHORITIES: u64 = 16 << 20;

/// The files that `plan` uses besides the task, and the rows of its data.
fn read_files(plan: &RunPlan) -> anyhow::Result<(Vec<FileFacts>, Option<Rows>)> {
    let spec = plan.spec();
    let mut files = Vec::new();
    let rows = spec.data.as_deref().map(Rows::read).transpose()?;
    if let Some((rows, path)) = rows.as_ref().zip(spec.data.as_ref()) {
        let named = spec.calls.as_ref().map_or(path, |calls| &calls.file);
        let (path, sha256, bytes) = (named.display().to_string(), rows.facts().sha256.clone(), rows.facts().bytes);
        files.push(FileFacts { role: FileRole::Data, path, sha256, bytes });
    }
    if let Trust::RootsAnd(path) = &spec.http.trust {
        let content =
            input::read(path, MOST_OF_AUTHORITIES).with_context(|| format!("cannot read `{}`", path.display()))?;
        let (sha256, bytes) = (task::sha256(&content), content.len() as u64);
        files.push(FileFacts { role: FileRole::CaCert, path: path.display().to_string(), sha256, bytes });
    }
    Ok((files, rows))
}

/// The job of the controller, without other files and rows.
fn job(task: &Task, compiled: &Compiled, origin: Origin, plan: &RunPlan, addresses: Addresses) -> Job {
    Job {
        environment: Environment::here(),
        command: invocation::shown(),
        task: TaskFacts {
            path: compiled.path.display().to_string(),
            sha256: compiled.sha256.clone(),
            bytes: compiled.bytes,
            operation: plan.operation().to_owned(),
            lane: task.lane(),
            origin,
        },
        files: Vec::new(),
        rows: None,
        hooks: task.hooks(),
        machine_code: compiled.machine_code.clone(),
        has_objects: compiled.has_objects,
        addresses,
        startup: Startup { compile: compiled.took, cached: compiled.cached, ..Startup::default() },
        plan: plan.clone(),
        spread: Spread::default(),
    }
}
