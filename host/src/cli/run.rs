//! `gorgon run`: multiplies a task.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::boxes::BoxFlags;
use super::flags::{ExpectFlag, TaskFlags, TaskSource};
use super::judge::FailFlags;
use super::load::Load;
use super::session::{OutputFlags, PlannedRun, Session};
use super::{Exit, values};
use crate::judging::verdict::Expression;
use crate::plan::{PlanError, RunPlan};

/// Run a task many times over processes and threads, and report
///
/// A task is a WebAssembly component that exports `operation: func(n: u64) -> string`. Each operation of a run gets a
/// different number. The report groups operations by the string they return.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon run task.wasm -n 4000 -p 4 -t 10
  gorgon run task.wasm -d 30s -t 8 --json report.json
  gorgon run task.wasm -n 10000 --shape 1x1 --shape 1x2 --shape 2x2
  gorgon run task.wasm --rate 500/s -d 30s -c 100 --warmup 5s --allow http://127.0.0.1:8080
  gorgon run task.wasm --stages 10s:100/s,30s:1000/s -p 2 -c 500 --arrivals poisson
  gorgon run task.wasm -n 500 --env USER=ada --fail-if 'p99>250ms' --fail-if 'failed>0.1%'

Exit codes: 0 done, 1 could not run, 2 wrong usage, 10 a --fail-if held or could not be
judged, or no operation was ok, 11 operations were lost,
130 stopped by Ctrl-C or SIGTERM, with a report on what was done until then")]
pub(super) struct RunCommand {
    /// The task: a WebAssembly component
    #[arg(value_name = "TASK.wasm")]
    task: PathBuf,

    #[command(flatten)]
    flags: RunFlags,
}

/// How any task is run, and where its report goes.
#[derive(Debug, Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    pub(super) plan: PlanFlags,

    #[command(flatten)]
    boxes: BoxFlags,

    #[command(flatten)]
    outputs: OutputFlags,
}

/// How a task is run.
#[derive(Debug, Args)]
pub(super) struct PlanFlags {
    #[command(flatten)]
    load: Load,

    #[command(flatten)]
    pub(super) task: TaskFlags,

    #[command(flatten)]
    renew: RenewFlags,

    #[command(flatten)]
    judge: JudgeFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct RenewFlags {
    /// Use a new instance for each operation
    #[arg(long, conflicts_with = "recycle")]
    fresh: bool,

    /// Use a new instance after N operations
    #[arg(long, value_name = "N", value_parser = values::positive::<NonZeroU64>)]
    recycle: Option<NonZeroU64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Verdicts")]
struct JudgeFlags {
    #[command(flatten)]
    expect: ExpectFlag,

    #[command(flatten)]
    fail: FailFlags,

    /// Stop as soon as this holds, and exit with 10; during the run, figures count from 100 operations on
    #[arg(long, value_name = "EXPR")]
    abort_if: Vec<Expression>,
}

impl RunCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        self.flags.run(&TaskSource::File(self.task), Vec::new())
    }
}

impl RunFlags {
    /// Sets the duration and the operations in flight, unless the user gave an extent.
    pub(super) fn or_else(&mut self, duration: Duration, concurrency: NonZeroU32) {
        self.plan.load.or_else(duration, concurrency);
    }

    /// The seed of all random numbers.
    pub(super) fn seed(&self) -> Option<u64> {
        self.plan.load.seed()
    }

    /// Whether only errors are to be printed.
    pub(super) fn is_quiet(&self) -> bool {
        self.outputs.is_quiet()
    }

    /// The file of the JSON report.
    pub(super) fn json_path(&self) -> Option<&Path> {
        self.outputs.json_path()
    }

    /// Runs the task from `source`. `files` are what its data was made from.
    pub(super) fn run(self, source: &TaskSource, files: Vec<PathBuf>) -> anyhow::Result<Exit> {
        let planned_runs = match self.plan.planned_runs(source, None, None) {
            Ok(planned_runs) => planned_runs,
            Err(error) => return Ok(Exit::wrong_usage(error)),
        };
        let over = match self.boxes.over() {
            Ok(over) => over,
            Err(error) => return Ok(Exit::wrong_usage(error)),
        };
        Session { planned_runs, files, pause: Duration::ZERO, suite: None, over }
            .run(&self.outputs, || self.plan.task.check(self.outputs.is_quiet()))
    }
}

impl PlanFlags {
    /// A turn for each shape. In a file it has a place, and may have a name.
    pub(super) fn planned_runs(
        &self,
        source: &TaskSource,
        name: Option<&str>,
        place: Option<&str>,
    ) -> Result<Vec<PlannedRun>, PlanError> {
        let turn = |plan| PlannedRun {
            name: name.map(str::to_owned),
            place: place.map(str::to_owned),
            source: source.clone(),
            plan,
            fail: self.judge.fail.clone(),
            abort_if: self.judge.abort_if.clone(),
        };
        Ok(self.plans()?.into_iter().map(turn).collect())
    }

    fn plans(&self) -> Result<Vec<RunPlan>, PlanError> {
        let Self { load, task, renew: RenewFlags { fresh, recycle }, judge } = self;
        // `planned_runs` uses the other flags of the judge, which are not part of a plan.
        let JudgeFlags { expect, fail: _, abort_if: _ } = judge;
        let recycle = if *fresh { Some(NonZeroU64::MIN) } else { *recycle };
        load.specs(recycle)?.into_iter().map(|load| task.plan(expect, load)).collect()
    }
}
