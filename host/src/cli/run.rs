//! `gorgon run`: multiply a task.

use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::output::Outputs;
use super::{Exit, values};
use crate::capability::run::Data;
use crate::controller::{self, RunEvent};
use crate::plan::{Dir, Expect, Extent, Grants, Limits, LoadModel, PlanError, RunPlan, Shape};
use crate::report::verdict::Expression;
use crate::report::{Environment, Report};
use crate::task::{self, Compiler, Task};

/// A task smaller than this compiles before anybody wonders what is going on.
const LARGE_TASK: u64 = 1 << 20;

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
  gorgon run task.wasm -n 500 --env API=http://127.0.0.1:8080 --fail-if 'p99>250ms' --fail-if 'failed>0.1%'

Exit codes: 0 done, 1 could not run, 2 wrong usage, 10 a --fail-if held, 11 operations were lost")]
pub(super) struct Run {
    /// The task: a WebAssembly component
    #[arg(value_name = "TASK.wasm")]
    task: PathBuf,

    /// The task's arguments
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,

    #[command(flatten)]
    load: Load,

    #[command(flatten)]
    limits: LimitFlags,

    #[command(flatten)]
    given: GivenFlags,

    #[command(flatten)]
    judge: JudgeFlags,

    #[command(flatten)]
    outputs: OutputFlags,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
struct Load {
    /// Operations in the whole run [default: 1, or as many as fit into --duration]
    #[arg(short = 'n', long, value_name = "N")]
    operations: Option<u64>,

    /// Start operations for this long, then let those in flight end [such as 30s]
    #[arg(short, long, value_name = "TIME", value_parser = values::duration)]
    duration: Option<Duration>,

    /// Worker processes
    #[arg(short, long, value_name = "P", default_value_t = 1)]
    processes: u32,

    /// Threads in each process; each has its own instance of the task
    #[arg(short, long, value_name = "T", default_value_t = 1)]
    threads: u32,

    /// Processes x threads; given several times, a suite of runs in one report
    #[arg(long, value_name = "PxT", conflicts_with_all = ["processes", "threads"])]
    shape: Vec<Shape>,

    /// The first operation's number
    #[arg(long, value_name = "S", default_value_t = 0)]
    first: u64,

    /// Begin each thread up to this much later, by chance
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "0")]
    start_jitter: Duration,

    /// Draw chance from this seed, to draw the same again [default: another one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitFlags {
    /// Time for one operation; 0 is no limit
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "60s")]
    timeout: Duration,

    /// Memory of one instance
    #[arg(long, value_name = "SIZE", value_parser = values::size, default_value = "512MiB")]
    max_memory: u64,

    /// A new instance for each operation
    #[arg(long, conflicts_with = "recycle")]
    fresh: bool,

    /// A new instance after N operations
    #[arg(long, value_name = "N")]
    recycle: Option<NonZeroU64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What the task is given")]
struct GivenFlags {
    /// The task's export to call
    #[arg(long, value_name = "NAME", default_value = "operation")]
    operation_name: String,

    /// A CSV file whose rows the task can read; its first line names the columns
    #[arg(long, value_name = "FILE.csv")]
    data: Option<PathBuf>,

    /// An environment variable
    #[arg(long, value_name = "K=V", value_parser = values::variable)]
    env: Vec<(String, String)>,

    /// A directory, to read; with :rw to write as well
    #[arg(long, value_name = "HOST::GUEST[:rw]")]
    dir: Vec<Dir>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Verdicts")]
struct JudgeFlags {
    /// A result that does not match this regular expression is a failed operation
    #[arg(long, value_name = "REGEX", value_parser = values::expect)]
    expect: Option<Expect>,

    /// Exit with 10 where this holds: p99>250ms, failed>0.1%, throughput<500
    #[arg(long, value_name = "EXPR")]
    fail_if: Vec<Expression>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct OutputFlags {
    /// Write the whole report as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let quiet = self.outputs.quiet;
        let plans = match self.plans() {
            Ok(plans) => plans,
            Err(error) => {
                anstream::eprintln!("gorgon: {error}");
                return Ok(Exit::Usage);
            }
        };
        let outputs = Outputs::open(self.outputs.json.as_deref(), quiet)?;
        self.data_is_readable()?;

        let engine = task::engine()?;
        let compiler = Compiler::new(&engine)?;
        let compiled = compiler.compile(&self.task, |bytes| {
            if bytes > LARGE_TASK && !quiet {
                anstream::eprintln!(
                    "compiling {}, {} ...",
                    self.task.display(),
                    bytesize::ByteSize(bytes).display().si()
                );
            }
        })?;
        let mut records = Vec::new();
        for plan in &plans {
            let task = Task::load(&engine, &compiled.machine_code, plan)?;
            let record = controller::run(&task, &compiled, plan, &mut |event| show(event, quiet));
            records.push(record.with_context(|| format!("cannot run `{}`", self.task.display()))?);
        }
        let mut report = Report::new(Environment::here(), &records);
        report.verdicts = self
            .judge
            .fail_if
            .iter()
            .flat_map(|expression| report.runs.iter().enumerate().map(|(run, of)| expression.judge(run, of)))
            .collect();
        let exit = match &report {
            report if report.is_incomplete() => Exit::Incomplete,
            report if report.verdicts.iter().any(|verdict| verdict.held) => Exit::Failed,
            _ => Exit::Done,
        };
        outputs.write(&report)?;
        Ok(exit)
    }

    fn plans(&self) -> Result<Vec<RunPlan>, PlanError> {
        let shapes = match self.load.shape.as_slice() {
            [] => vec![Shape::new(self.load.processes, self.load.threads)?],
            shapes => shapes.to_vec(),
        };
        let extent = Extent::new(self.load.operations, self.load.duration)?;
        let seed = self.load.seed.unwrap_or_else(|| fastrand::u64(..));
        let plan = |shape| RunPlan {
            operation: self.given.operation_name.clone(),
            shape,
            extent,
            first: self.load.first,
            load_model: LoadModel::Closed,
            start_jitter: self.load.start_jitter,
            seed,
            limits: Limits {
                timeout: (!self.limits.timeout.is_zero()).then_some(self.limits.timeout),
                max_memory: self.limits.max_memory,
                recycle: if self.limits.fresh { Some(NonZeroU64::MIN) } else { self.limits.recycle },
            },
            expect: self.judge.expect.clone(),
            grants: Grants { args: self.args.clone(), env: self.given.env.clone(), dirs: self.given.dir.clone() },
            data: self.given.data.clone(),
        };
        shapes.into_iter().map(|shape| plan(shape).checked()).collect()
    }

    /// Reads the data file and looks for the directories, as every worker will: what is wrong is better said once.
    fn data_is_readable(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.given.data {
            Data::read(path)?;
        }
        for dir in &self.given.dir {
            anyhow::ensure!(
                dir.host.is_dir(),
                "cannot grant `{}`: there is no directory `{}`",
                dir,
                dir.host.display()
            );
        }
        Ok(())
    }
}

/// Guest output and faults, as they come, to stderr.
fn show(event: RunEvent<'_>, quiet: bool) {
    if quiet {
        return;
    }
    // Where stderr is closed nobody wants to know.
    let _ = match event {
        RunEvent::Output(bytes) => io::stderr().lock().write_all(bytes),
        RunEvent::Fault(fault) => writeln!(anstream::stderr().lock(), "fault: {}", fault.message),
    };
}
