//! The only way to run something, for all commands. It compiles each task once, listens for stops, and shows progress.
//! The command decides what to do with the record of a run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use crossbeam::channel::{Receiver, Sender, bounded, select};

use super::Exit;
use super::flags::Source;
use crate::controller::{self, Books, Job, Observer, RunEvent};
use crate::plan::{PlanError, RunPlan};
use crate::progress::{Progress, Show};
use crate::record::{RunRecord, Startup, TaskFacts};
use crate::resolve;
use crate::signals;
use crate::task::{self, Compiled, Compiler, Engine, Purpose, Task, TaskError};

/// Runs the jobs of a command.
pub(super) struct Runner {
    engine: Engine,
    compiler: Compiler,
    /// By path.
    compiled: HashMap<PathBuf, Compiled>,
    stop: Sender<()>,
    stops: Receiver<()>,
    progress: Progress,
    show: Show,
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
}

impl CannotRun {
    /// Prints the error, and returns the exit code of the command.
    pub(super) fn say(&self) -> Exit {
        super::say(&self.to_string());
        match self {
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
    pub(super) fn new(show: Show) -> anyhow::Result<Self> {
        let (stop, stops) = signals::stops().context("cannot listen for Ctrl-C")?;
        let engine = task::engine(Purpose::Multiply)?;
        let compiler = Compiler::new(&engine)?;
        Ok(Self { engine, compiler, compiled: HashMap::new(), stop, stops, progress: Progress::new(show)?, show })
    }

    /// A sender with which others can ask for a stop.
    pub(super) fn stop(&self) -> Sender<()> {
        self.stop.clone()
    }

    /// Waits up to `most` for a stop, and returns whether one came.
    pub(super) fn is_stopped_within(&self, most: Duration) -> bool {
        !most.is_zero() && self.stops.recv_timeout(most).is_ok()
    }

    /// Waits for a stop without a limit.
    pub(super) fn wait_for_stop(&self) {
        // This cannot fail, because `self` holds a sender.
        let _ = self.stops.recv();
    }

    /// Runs `plan` with the task from `source`, and reports events to `observer` besides progress. Returns `None` if a
    /// stop came before there was anything to record.
    pub(super) fn run(
        &mut self,
        source: &Source,
        plan: &RunPlan,
        observer: Option<Observer<'_>>,
    ) -> Result<Option<RunRecord>, CannotRun> {
        let Some(compiled) = self.compile(source)? else { return Ok(None) };
        let task = Task::load(&self.engine, &compiled.machine_code, plan)?;
        if let Some(why) = task.refuses(plan) {
            return Err(CannotRun::Usage(why));
        }
        let job = job(&task, &compiled, plan);
        let progress = &self.progress;
        let show: Observer<'_> = Box::new(|event: &RunEvent, books: &Books| progress.on(event, books));
        let mut observers: Vec<Observer<'_>> = observer.into_iter().chain([show]).collect();
        let record = controller::run(&job, &self.stops, &mut observers);
        Ok(Some(record.with_context(|| format!("cannot run `{}`", source.path().display()))?))
    }

    /// Waits until the progress has been printed, so that the report comes after it.
    pub(super) fn end_progress(&mut self) -> anyhow::Result<()> {
        self.progress = Progress::new(Show::Nothing)?;
        Ok(())
    }

    /// Compiles the task from `source`, once, on a thread that a stop does not wait for. Returns `None` if a stop came.
    fn compile(&mut self, source: &Source) -> anyhow::Result<Option<Compiled>> {
        if let Some(compiled) = self.compiled.get(source.path()) {
            return Ok(Some(compiled.clone()));
        }
        let (compiler, task, quiet) = (self.compiler.clone(), source.clone(), self.show == Show::Nothing);
        let (done, made) = bounded(1);
        std::thread::Builder::new().name("compile".into()).spawn(move || {
            // After a stop nobody receives this.
            let _ = done.send(task.compile(&compiler, quiet));
        })?;
        let compiled = select! {
            recv(made) -> made => made.context("the compiler has panicked")??,
            recv(self.stops) -> _ => return Ok(None),
        };
        self.compiled.insert(source.path().to_owned(), compiled.clone());
        Ok(Some(compiled))
    }
}

/// The job of the controller.
fn job(task: &Task, compiled: &Compiled, plan: &RunPlan) -> Job {
    Job {
        task: TaskFacts {
            path: compiled.path.display().to_string(),
            sha256: compiled.sha256.clone(),
            bytes: compiled.bytes,
            operation: plan.operation().to_owned(),
            lane: task.lane(),
        },
        hooks: task.hooks(),
        machine_code: compiled.machine_code.clone(),
        addresses: resolve::ask(plan.grants().network.names()),
        startup: Startup { compile: compiled.took, cached: compiled.cached, ..Startup::default() },
        plan: plan.clone(),
    }
}
