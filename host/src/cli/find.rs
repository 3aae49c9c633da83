//! `gorgon find`: the highest rate that keeps a promise.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::flags::{ExpectFlag, LoadSpec, TaskFlags, TaskSource};
use super::output::{self, Outputs, Words};
use super::runner::{CannotRun, Runner};
use super::{Exit, values};
use crate::judging::search::{Search, Step};
use crate::judging::verdict::Expression;
use crate::plan::{Arrivals, Extent, LoadModel, Open, PlanError, Rate, RunPlan, Shape};
use crate::progress::Show;
use crate::record::Environment;
use crate::rendering::{find, html, json};
use crate::report::Report;
use crate::report::find::{Answer, FindReport, Probe, VoidProbe};

/// Find the highest rate that keeps a promise
///
/// Runs the task at rates that double until one breaks the promise, then at rates between, until the gap is narrow.
/// Each rate is repeated until two probes agree. A rate is only kept if the target also completes what is offered. The
/// answer says if this machine, not the target, was the limit.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon find task.wasm --slo 'p99<50ms' -c 100 --allow http://127.0.0.1:8080
  gorgon find task.wasm --slo 'p99<50ms' --slo 'failed<0.1%' --from 100/s --probe 10s --html found.html

Exit codes: 0 found, 1 could not run, 2 wrong usage, 10 no rate keeps the promise, 11 workers died in too many
probes, 130 stopped")]
pub(super) struct FindCommand {
    /// The task: a WebAssembly component
    #[arg(value_name = "TASK.wasm")]
    task: PathBuf,

    /// A promise: a figure, a comparison and a value, as for --fail-if; if given several times, all must be kept
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

    /// Do not show each probe
    #[arg(short, long, help_heading = "Output")]
    quiet: bool,

    /// Do not show the progress of a probe
    #[arg(long, help_heading = "Output")]
    no_progress: bool,
}

/// How a search ended.
enum End {
    Answered,
    Stopped,
    /// Too many probes were void.
    Incomplete,
}

/// A search is given up after more void probes than this. A run replaces as many workers.
const MOST_VOID: usize = 3;

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

    /// Before each probe, run for this time or this many operations without counting them
    #[arg(long, value_name = "TIME|N")]
    warmup: Option<Extent>,

    /// How precise the answer must be
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, default_value = "3%")]
    precision: f64,

    /// How the starts of operations are distributed over time
    #[arg(long, default_value = "constant")]
    arrivals: Arrivals,

    /// Worker processes
    #[arg(short, long, value_name = "P", value_parser = values::number::<u32>, default_value_t = 1)]
    processes: u32,

    /// Threads in each process
    #[arg(short, long, value_name = "T", value_parser = values::number::<u32>, default_value_t = 1)]
    threads: u32,

    /// Operations in flight per thread, each with its own instance; for tasks that wait
    #[arg(short, long, value_name = "K", value_parser = values::positive::<NonZeroU32>, default_value = "1")]
    concurrency: NonZeroU32,

    /// Seed of the random numbers [default: a new one each time]
    #[arg(long, value_name = "S", value_parser = values::number::<u64>)]
    seed: Option<u64>,
}

impl FindCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let FindLoad { from, to, .. } = self.load;
        // If the plan is valid at the lowest rate, it is valid at every rate.
        if let Err(error) = self.plan(if to < from { to } else { from }) {
            return Ok(Exit::wrong_usage(error));
        }
        let wanted = [(AnswerFormat::Json, &self.json), (AnswerFormat::Html, &self.html)];
        let outputs = Outputs::open(wanted, Words::Printed, &[&self.task])?;
        self.flags.check()?;
        let mut runner = Runner::new(match (self.quiet, self.no_progress) {
            (true, _) => Show::Nothing,
            (_, true) => Show::Messages,
            _ => Show::Progress,
        })?;
        let mut report = FindReport::new(&self.task, self.slo.iter().map(Expression::promise).collect());
        let searched = self.search(&mut runner, &mut report);
        runner.end_progress()?;
        let end = match searched {
            Ok(end) => end,
            Err(error) => {
                runner.let_signals_end();
                return Ok(error.say());
            }
        };
        outputs.write(&report, || find::write(&report, anstream::stdout().lock()), || runner.let_signals_end())?;
        Ok(match end {
            End::Stopped => Exit::Stopped,
            End::Incomplete => Exit::Incomplete,
            End::Answered if report.answer.is_none_or(|answer| answer.rate.is_none()) => Exit::Failed,
            End::Answered => Exit::Done,
        })
    }

    /// Probes one rate after the other until there is an answer.
    fn search(&self, runner: &mut Runner, report: &mut FindReport) -> Result<End, CannotRun> {
        let FindLoad { from, to, precision, .. } = self.load;
        let mut search = Search::new(from.get(), to.get(), precision);
        let source = TaskSource::File(self.task.clone());
        loop {
            let rate = match search.next() {
                Step::Found(answer) => {
                    report.answer = Some(Answer::from(answer));
                    return Ok(End::Answered);
                }
                Step::Probe(rate) => rate,
            };
            let plan = self.plan(Rate::per_second(rate)?)?;
            let Some(record) = runner.run(&source, &plan, None)?.filter(|record| !record.stopped) else {
                return Ok(End::Stopped);
            };
            let run_report = Report::new(Environment::here(), &[record]);
            let Some(run) = run_report.runs.first() else { return Ok(End::Stopped) };
            if run_report.is_incomplete() {
                // Part of the load was missing, so the probe says nothing about the target.
                let void = VoidProbe::new(rate, run);
                runner.say(&find::void_line(&void));
                report.void.push(void);
                if report.void.len() > MOST_VOID {
                    report.is_given_up = true;
                    return Ok(End::Incomplete);
                }
                continue;
            }
            let probe = Probe::new(rate, self.load.probe, run, &self.slo);
            runner.say(&find::line(&probe));
            search.tell(rate, probe.finding());
            report.probes.push(probe);
        }
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

/// The formats of an answer.
#[derive(Clone, Copy)]
enum AnswerFormat {
    Json,
    Html,
}

impl output::Format for AnswerFormat {
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
