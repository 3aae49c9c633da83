//! `gorgon find`: the highest rate that keeps a promise.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use crossbeam::channel::Receiver;

use super::flags::{ExpectFlag, LoadSpec, Source, TaskFlags};
use super::output::{self, Outputs};
use super::{Exit, values};
use crate::controller::{self, RunError};
use crate::judging::search::{Next, Search};
use crate::judging::verdict::Expression;
use crate::plan::{Arrivals, Extent, LoadModel, Open, PlanError, Rate, RunPlan, Shape};
use crate::record::Environment;
use crate::rendering::{find, html, json};
use crate::report::Report;
use crate::report::find::{Answer, FindReport, Probe};
use crate::signals;
use crate::task::{self, Compiled, Compiler, Purpose, Task};

/// Find the highest rate that keeps a promise
///
/// Runs the task at rates that double until one breaks the promise, then at rates between, until the gap is narrow. A
/// rate is tried until two probes agree. A rate is kept, too, only where what is offered is also completed. Where this
/// machine, and not the target, was the limit, the answer says so.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon find task.wasm --slo 'p99<50ms' -c 100 --allow http://127.0.0.1:8080
  gorgon find task.wasm --slo 'p99<50ms' --slo 'failed<0.1%' --from 100/s --probe 10s --html found.html

Exit codes: 0 found, 1 could not run, 2 wrong usage, 10 no rate keeps the promise, 130 stopped")]
pub(super) struct Find {
    /// The task: a WebAssembly component
    #[arg(value_name = "TASK.wasm")]
    task: PathBuf,

    /// A promise: a figure, a comparison and a value, as --fail-if has them; given several times, all of them
    #[arg(long, value_name = "EXPR", required = true)]
    slo: Vec<Expression>,

    #[command(flatten)]
    load: FindLoad,

    #[command(flatten)]
    flags: TaskFlags,

    #[command(flatten)]
    expect: ExpectFlag,

    /// Write all probes and the answer as JSON; - is stdout
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,

    /// Write a page that draws the probes over their rates
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,

    /// Do not show the probes as they come
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
struct FindLoad {
    /// The first rate to try
    #[arg(long, value_name = "RATE", default_value = "10/s")]
    from: Rate,

    /// The highest rate to try
    #[arg(long, value_name = "RATE", default_value = "1000000/s")]
    to: Rate,

    /// How long each rate is tried
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "5s")]
    probe: Duration,

    /// Before each probe, run so long, or so many operations, without counting them
    #[arg(long, value_name = "TIME|N")]
    warmup: Option<Extent>,

    /// How close the answer is to be
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, default_value = "3%")]
    precision: f64,

    /// How operations lie within the rate
    #[arg(long, default_value = "constant")]
    arrivals: Arrivals,

    /// Worker processes
    #[arg(short, long, value_name = "P", default_value_t = 1)]
    processes: u32,

    /// Threads in each process
    #[arg(short, long, value_name = "T", default_value_t = 1)]
    threads: u32,

    /// Operations in flight per thread, each with its own instance; for tasks that wait
    #[arg(short, long, value_name = "K", value_parser = values::positive::<NonZeroU32>, default_value = "1")]
    concurrency: NonZeroU32,

    /// Draw chance from this seed [default: another one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

impl Find {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let FindLoad { from, to, precision, .. } = self.load;
        // What is wrong at the lowest of all rates is wrong at each.
        let first = match self.plan(if to < from { to } else { from }) {
            Ok(plan) => plan,
            Err(error) => return Ok(Exit::wrong_usage(error)),
        };
        let outputs = Outputs::open([(Format::Json, &self.json), (Format::Html, &self.html)], false)?;
        self.flags.check()?;
        let (_, stops) = signals::stops().context("cannot listen for Ctrl-C")?;
        let engine = task::engine(Purpose::Multiply)?;
        let compiled = Source::File(self.task.clone()).compile(&Compiler::new(&engine)?, self.quiet)?;
        let task = Task::load(&engine, &compiled.machine_code, &first)?;
        if let Some(why) = task.refuses(&first) {
            return Ok(Exit::wrong_usage(why));
        }
        let mut search = Search::new(from.get(), to.get(), precision);
        let mut report = FindReport::new(&self.task, self.slo.iter().map(Expression::promise).collect());
        let stopped = loop {
            match search.next() {
                Next::Found(answer) => {
                    report.answer = Some(Answer::from(answer));
                    break false;
                }
                Next::Probe(rate) => match self.probe(rate, &task, &compiled, &stops)? {
                    None => break true,
                    Some(probe) => {
                        if !self.quiet {
                            anstream::eprintln!("{}", find::line(&probe));
                        }
                        search.tell(rate, probe.finding());
                        report.probes.push(probe);
                    }
                },
            }
        };
        outputs.write(&report, || find::write(&report, anstream::stdout().lock()))?;
        Ok(match report.answer {
            _ if stopped => Exit::Stopped,
            Some(answer) if answer.rate.is_none() => Exit::Failed,
            _ => Exit::Done,
        })
    }

    /// Runs at `rate`; nothing where it was stopped.
    fn probe(
        &self,
        rate: f64,
        task: &Task,
        compiled: &Compiled,
        stops: &Receiver<()>,
    ) -> anyhow::Result<Option<Probe>> {
        let plan = self.plan(Rate::per_second(rate)?)?;
        let record = match controller::run(&super::session::job(task, compiled, &plan), stops, &mut []) {
            Err(RunError::Stopped) => return Ok(None),
            record => record.with_context(|| format!("cannot run `{}`", self.task.display()))?,
        };
        if record.stopped {
            return Ok(None);
        }
        let report = Report::new(Environment::here(), &[record]);
        Ok(report.runs.first().map(|run| Probe::new(rate, self.load.probe, run, &self.slo)))
    }

    fn plan(&self, rate: Rate) -> Result<RunPlan, PlanError> {
        let FindLoad { from: _, to: _, probe, warmup, precision: _, arrivals, processes, threads, concurrency, seed } =
            self.load;
        let open = Open { arrivals, from: rate, stages: Vec::new(), max_in_flight: None };
        let load = LoadSpec {
            shape: Shape::new(processes, threads)?,
            concurrency,
            extent: Extent::new(None, Some(probe))?,
            first: 0,
            load_model: LoadModel::Open(open),
            warmup,
            start_jitter: Duration::ZERO,
            seed: seed.unwrap_or_else(|| fastrand::u64(..)),
            recycle: None,
        };
        self.flags.plan(&self.expect, load)
    }
}

/// What an answer can be written as.
#[derive(Clone, Copy)]
enum Format {
    Json,
    Html,
}

impl output::Format for Format {
    type What = FindReport;

    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON answer",
            Self::Html => "HTML answer",
        }
    }

    fn write(self, report: &FindReport, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Json => json::write(report, to),
            Self::Html => to.write_all(html::find(report).as_bytes()).and_then(|()| to.flush()),
        }
    }
}
