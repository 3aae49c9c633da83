//! The one way to run something: each task is compiled once, stops are heard, and progress is shown, whichever command
//! wants it. What becomes of a run's record is the command's business.

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

/// What a command runs its jobs with.
pub(super) struct Runner {
    engine: Engine,
    compiler: Compiler,
    /// By the tasks' paths.
    compiled: HashMap<PathBuf, Compiled>,
    stop: Sender<()>,
    stops: Receiver<()>,
    progress: Progress,
    show: Show,
}

/// Why a run could not be run.
#[derive(Debug, thiserror::Error)]
pub(super) enum CannotRun {
    /// The command line does not fit the task.
    #[error("{0}")]
    Usage(String),
    /// Something else.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl CannotRun {
    /// Says so; what the command exits with.
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
    /// From now on a signal to stop is one to the runs, and does not end the process.
    pub(super) fn new(show: Show) -> anyhow::Result<Self> {
        let (stop, stops) = signals::stops().context("cannot listen for Ctrl-C")?;
        let engine = task::engine(Purpose::Multiply)?;
        let compiler = Compiler::new(&engine)?;
        Ok(Self { engine, compiler, compiled: HashMap::new(), stop, stops, progress: Progress::new(show)?, show })
    }

    /// By which somebody else can ask for a stop.
    pub(super) fn stop(&self) -> Sender<()> {
        self.stop.clone()
    }

    /// Waits for a stop; false if none has come when `most` is over.
    pub(super) fn is_stopped_within(&self, most: Duration) -> bool {
        !most.is_zero() && self.stops.recv_timeout(most).is_ok()
    }

    /// Waits for a stop for as long as it takes.
    pub(super) fn wait_for_stop(&self) {
        // Its sender lives as long as this.
        let _ = self.stops.recv();
    }

    /// Runs `plan` on the task from `source`; `observer` is told of its events, besides progress. None if it was
    /// stopped before there was anything to record.
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

    /// The last word of the progress is said before this returns, so that a report is what comes after it.
    pub(super) fn end_progress(&mut self) -> anyhow::Result<()> {
        self.progress = Progress::new(Show::Nothing)?;
        Ok(())
    }

    /// The task from `source`, compiled once, on a thread that a stop need not wait for; none if one came.
    fn compile(&mut self, source: &Source) -> anyhow::Result<Option<Compiled>> {
        if let Some(compiled) = self.compiled.get(source.path()) {
            return Ok(Some(compiled.clone()));
        }
        let (compiler, task, quiet) = (self.compiler.clone(), source.clone(), self.show == Show::Nothing);
        let (done, made) = bounded(1);
        std::thread::Builder::new().name("compile".into()).spawn(move || {
            // If a stop came first, nobody waits for it.
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

/// What the controller is to run.
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
