//! `gorgon run`: multiply a task.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use crossbeam::channel::{Receiver, bounded, select};

use super::flags::{ExpectFlag, Source, TaskFlags};
use super::load::Load;
use super::output::{Outputs, Snapshots};
use super::report::report;
use super::{Exit, values};
use crate::controller::{self, RunEvent};
use crate::plan::{Limits, PlanError, RunPlan};
use crate::progress::{Progress, Show};
use crate::report::verdict::Expression;
use crate::report::{Environment, Report, RunRecord};
use crate::signals;
use crate::task::{self, Compiled, Compiler, Purpose, Task};

/// Run a task many times over processes and threads, and report
///
/// A task is a WebAssembly component that exports `operation: func(n: u64) -> string`. Each operation gets a number
/// that no other one of the run gets; operations are grouped by the string they return.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon run task.wasm -n 4000 -p 4 -t 10
  gorgon run task.wasm -d 30s -t 8 --json report.json
  gorgon run task.wasm -n 10000 --shape 1x1 --shape 1x2 --shape 2x2
  gorgon run task.wasm --rate 500/s -d 30s -c 100 --warmup 5s --allow http://127.0.0.1:8080
  gorgon run task.wasm --stages 10s:100/s,30s:1000/s -p 2 -c 500 --arrivals poisson
  gorgon run task.wasm -n 500 --env USER=ada --fail-if 'p99>250ms' --fail-if 'failed>0.1%'

Exit codes: 0 done, 1 could not run, 2 wrong usage, 10 a --fail-if held, 11 operations were lost,
130 stopped by Ctrl-C or SIGTERM: what was done until then is reported")]
pub(super) struct Run {
    /// The task: a WebAssembly component
    #[arg(value_name = "TASK.wasm")]
    task: PathBuf,

    #[command(flatten)]
    flags: RunFlags,
}

/// How a task is run, whichever it is.
#[derive(Debug, Args)]
pub(super) struct RunFlags {
    #[command(flatten)]
    load: Load,

    #[command(flatten)]
    pub(super) task: TaskFlags,

    #[command(flatten)]
    renew: RenewFlags,

    #[command(flatten)]
    judge: JudgeFlags,

    #[command(flatten)]
    outputs: OutputFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct RenewFlags {
    /// A new instance for each operation
    #[arg(long, conflicts_with = "recycle")]
    fresh: bool,

    /// A new instance after N operations
    #[arg(long, value_name = "N")]
    recycle: Option<NonZeroU64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Verdicts")]
struct JudgeFlags {
    #[command(flatten)]
    expect: ExpectFlag,

    /// Exit with 10 where this holds: p99>250ms, failed>0.1%, throughput<500, result(500)>5, span(login).p95>80ms,
    /// worst(p99, 10s)>1s for the worst 10 s; failed is every operation that was not ok
    #[arg(long, value_name = "EXPR")]
    fail_if: Vec<Expression>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct OutputFlags {
    /// Write the whole report as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Keep the JSON report up to date while the run goes on: never older than this
    #[arg(long, value_name = "TIME", value_parser = values::duration, requires = "json")]
    snapshot: Option<Duration>,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,

    /// Do not show how far the run has come
    #[arg(long)]
    no_progress: bool,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        self.flags.run(&Source::File(self.task))
    }
}

impl RunFlags {
    /// Runs for so long with so much in flight where its user has said nothing of how much.
    pub(super) fn or_else(&mut self, duration: Duration, concurrency: NonZeroU32) {
        self.load.or_else(duration, concurrency);
    }

    /// The seed of chance.
    pub(super) fn seed(&self) -> Option<u64> {
        self.load.seed()
    }

    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let plans = match self.plans() {
            Ok(plans) => plans,
            Err(error) => return Ok(Exit::wrong_usage(error)),
        };
        let outputs = Outputs::open(self.outputs.json.as_deref(), self.outputs.quiet)?;
        let mut snapshots = match self.outputs.snapshot.map(|interval| outputs.snapshots(interval)).transpose() {
            Ok(snapshots) => snapshots,
            Err(error) => return Ok(Exit::wrong_usage(error)),
        };
        self.task.check()?;

        let stops = signals::stops().context("cannot listen for Ctrl-C")?;
        let progress = Progress::new(match (self.outputs.quiet, self.outputs.no_progress) {
            (true, _) => Show::Nothing,
            (_, true) => Show::Messages,
            _ => Show::Progress,
        })?;
        let mut records = Vec::new();
        let worked = self.work_through(source, &plans, &mut records, &stops, &mut snapshots, &progress);
        // The last word is the report's.
        drop((snapshots, progress));
        match worked {
            Ok(None) => {}
            Ok(Some(wrong)) => return Ok(Exit::wrong_usage(wrong)),
            // What was run before is reported all the same.
            Err(error) if records.is_empty() => return Err(error),
            Err(error) => {
                outputs.write(&self.judged(&records, plans.len()))?;
                return Err(error);
            }
        }
        let report = self.judged(&records, plans.len());
        outputs.write(&report)?;
        Ok(match &report {
            report if report.partial => Exit::Stopped,
            report if report.is_incomplete() => Exit::Incomplete,
            report if report.verdicts.iter().any(|verdict| verdict.held) => Exit::Failed,
            _ => Exit::Done,
        })
    }

    /// Runs one plan after the other, until the last or a stop. Returns what is wrong with the command line, where that
    /// shows only now.
    fn work_through(
        &self,
        source: &Source,
        plans: &[RunPlan],
        records: &mut Vec<RunRecord>,
        stops: &Receiver<()>,
        snapshots: &mut Option<Snapshots>,
        progress: &Progress,
    ) -> anyhow::Result<Option<String>> {
        let engine = task::engine(Purpose::Multiply)?;
        let compiler = Compiler::new(&engine)?;
        let Some(compiled) = self.compile_until_stopped(source, &compiler, stops)? else { return Ok(None) };
        for plan in plans {
            let task = Task::load(&engine, &compiled.machine_code, plan)?;
            if let Some(why) = task.refuses(plan) {
                return Ok(Some(why));
            }
            let record = controller::run(&task, &compiled, plan, stops, &mut |event| {
                if let (RunEvent::Tick { books, .. }, Some(snapshots)) = (&event, snapshots.as_mut()) {
                    snapshots.take(|| records.iter().cloned().chain([books.record()]).collect());
                }
                progress.on(event);
            });
            records.push(record.with_context(|| format!("cannot run `{}`", source.path().display()))?);
            if records.iter().any(|record| record.stopped) {
                break;
            }
        }
        Ok(None)
    }

    /// Compiles the task on a thread of its own, so that a stop need not wait for it; nothing where one came.
    fn compile_until_stopped(
        &self,
        source: &Source,
        compiler: &Compiler,
        stops: &Receiver<()>,
    ) -> anyhow::Result<Option<Compiled>> {
        let (compiler, source, quiet) = (compiler.clone(), source.clone(), self.outputs.quiet);
        let (done, compiled) = bounded(1);
        std::thread::Builder::new().name("compile".into()).spawn(move || {
            // Where a stop came first nobody waits for it.
            let _ = done.send(source.compile(&compiler, quiet));
        })?;
        select! {
            recv(compiled) -> compiled => Ok(Some(compiled.context("the compiler has panicked")??)),
            recv(stops) -> _ => Ok(None),
        }
    }

    fn judged(&self, records: &[RunRecord], planned: usize) -> Report {
        let mut report = report(Environment::here(), records);
        report.partial |= records.len() < planned;
        let judge = |expression: &Expression| {
            report.runs.iter().enumerate().map(|(run, of)| expression.judge(run, of)).collect::<Vec<_>>()
        };
        report.verdicts = self.judge.fail_if.iter().flat_map(judge).collect();
        report
    }

    fn plans(&self) -> Result<Vec<RunPlan>, PlanError> {
        let (shapes, extent, load_model) = (self.load.shapes()?, self.load.extent()?, self.load.model()?);
        let seed = self.load.seed().unwrap_or_else(|| fastrand::u64(..));
        let plan = |shape| RunPlan {
            operation: self.task.given.operation_name.clone(),
            shape,
            concurrency: self.load.concurrency(),
            extent,
            first: self.load.first,
            load_model: load_model.clone(),
            warmup: self.load.warmup,
            start_jitter: self.load.start_jitter,
            seed,
            limits: Limits {
                recycle: if self.renew.fresh { Some(NonZeroU64::MIN) } else { self.renew.recycle },
                ..self.task.limits.limits()
            },
            expect: self.judge.expect.expect.clone(),
            grants: self.task.grants(),
            http: self.task.http(),
            data: self.task.given.data.clone(),
        };
        shapes.into_iter().map(|shape| plan(shape).checked()).collect()
    }
}
