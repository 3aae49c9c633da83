//! `gorgon find`: the highest rate that keeps a promise.

mod check;

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::boxes::BoxFlags;
use super::flags::{ExpectFlag, LoadSpec, TaskFlags, TaskSource};
use super::output::{self, Outputs, Words};
use super::runner::{CannotRun, Runner};
use super::{Exit, values};
use crate::controller::{Books, Observer, RunEvent};
use crate::fault::FaultKind;
use crate::judging::evidence::Evidence;
use crate::judging::instances::{Instances, Shortage};
use crate::judging::probe::{Probed, why_void};
use crate::judging::search::{Scope, Search, Step};
use crate::judging::verdict::Slo;
use crate::lane::Lane;
use crate::plan::{Arrivals, Extent, LoadModel, Open, PlanError, Rate, RunPlan, Shape};
use crate::progress::Show;
use crate::record::Environment;
use crate::rendering::{find, html, json, markdown};
use crate::report::find::{Answer, BoxChange, FindReport, Probe, VoidProbe, implied};
use crate::report::units::duration;
use crate::report::{BoxReport, PlanReport, Report, RunReport};
use crate::terminal;

/// Find the highest rate that keeps a promise
///
/// Runs the task at rates that double until one breaks the promise, then at rates between, until the gap is narrow.
/// There each rate has at least two probes, as long as the promise and the target need, and all of them together
/// decide. A rate is only kept if operations do not pile up. The answer says what the limit was: the target, this
/// machine, or the number of instances.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon find task.wasm --slo 'p99<50ms' --allow http://127.0.0.1:8080
  gorgon find task.wasm --slo 'p99<50ms' --slo 'failed<0.1%' --from 100/s --probe 10s --html found.html

Exit codes: 0 found, 1 could not run, 2 wrong usage, 10 no rate is known to keep the promise, 11 workers died in too
many probes, 130 stopped")]
pub(super) struct FindCommand {
    /// The task: a WebAssembly component
    #[arg(value_name = "TASK.wasm")]
    task: PathBuf,

    /// A promise: what is good, as a figure, a comparison and a value, written as for --fail-if; if given several
    /// times, all must be kept; failed<1% is promised too if no promise is about failures
    #[arg(long, value_name = "EXPR", required = true)]
    slo: Vec<Slo>,

    #[command(flatten)]
    load: FindLoad,

    #[command(flatten)]
    flags: TaskFlags,

    #[command(flatten)]
    expect: ExpectFlag,

    #[command(flatten)]
    boxes: BoxFlags,

    /// Write all probes and the answer as JSON; - is stdout
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    json: Option<PathBuf>,

    /// Write a page that draws the probes over their rates
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,

    /// Write the answer and its probes as Markdown, for the pages of a CI job and for comments
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    markdown: Option<PathBuf>,

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

/// A search is given up after more probes than this in which workers died. A run replaces as many workers.
const MOST_INCOMPLETE: usize = 3;

/// What a probe takes besides its load until the first probe has shown it: starting workers, and the last operations.
const AROUND: Duration = Duration::from_millis(500);

/// A run at the end of the budget gets two stops: the first one lets it start no operation, and the second one, so much
/// later, cuts those in flight.
const TO_CUT: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(next_help_heading = "Load")]
struct FindLoad {
    /// The first rate to try [default: 10/s]
    #[arg(long, value_name = "RATE")]
    from: Option<Rate>,

    /// The highest rate to try
    #[arg(long, value_name = "RATE", default_value = "1000000/s")]
    to: Rate,

    /// How long each rate is tried at least
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "5s")]
    probe: Duration,

    /// How long a probe may last, if the promise needs more operations, or the target changes slowly [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    probe_max: Option<Duration>,

    /// How long the whole search may take
    #[arg(long, value_name = "TIME", value_parser = values::duration, default_value = "5m")]
    budget: Duration,

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

    /// The most operations in flight per thread, each with its own instance; for tasks that wait. Each probe has as
    /// many as its rate needs [default: 1,000 in all threads]
    #[arg(short, long, value_name = "K", value_parser = values::positive::<NonZeroU32>)]
    concurrency: Option<NonZeroU32>,

    /// Seed of the random numbers [default: a new one each time]
    #[arg(long, value_name = "S", value_parser = values::number::<u64>)]
    seed: Option<u64>,
}

impl FindCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        // If the plan is valid at the lowest rate, it is valid at every rate.
        let first =
            match self.plan(self.load.lowest(), self.load.probe, self.load.concurrency.unwrap_or(NonZeroU32::MIN), 0) {
                Ok(plan) => plan,
                Err(error) => return Ok(Exit::wrong_usage(error)),
            };
        if let Err(error) = self.load.check(&self.slo) {
            return Ok(Exit::wrong_usage(error));
        }
        let over = match self.boxes.over() {
            Ok(over) => over,
            Err(error) => return Ok(Exit::wrong_usage(error)),
        };
        let wanted = [
            (AnswerFormat::Json, &self.json),
            (AnswerFormat::Html, &self.html),
            (AnswerFormat::Markdown, &self.markdown),
        ];
        let outputs = Outputs::open(wanted, Words::Printed, &[&self.task])?;
        self.flags.check(self.quiet)?;
        let show = match (self.quiet, self.no_progress) {
            (true, _) => Show::Nothing,
            (_, true) => Show::Messages,
            _ => Show::Progress,
        };
        let mut runner = Runner::new(show, over)?;
        let slos = Slo::with_failures(&self.slo);
        let mut report = FindReport::new(&self.task, slos.iter().map(Slo::promise).collect());
        let source = TaskSource::File(self.task.clone());
        let searched = match runner.lane(&source, &first) {
            Ok(Some(lane)) => Finder::new(&self, &mut runner, &mut report, &slos, lane).search(&source),
            Ok(None) => Ok(End::Stopped),
            Err(error) => Err(error),
        };
        runner.end_progress()?;
        let end = match searched {
            Ok(end) => end,
            Err(error) => {
                runner.let_signals_end();
                return Ok(error.say());
            }
        };
        outputs.write(&report, || find::write(&report, terminal::stdout()), || runner.let_signals_end())?;
        Ok(match end {
            End::Stopped => Exit::Stopped,
            End::Incomplete => Exit::Incomplete,
            End::Answered if report.answer.is_none_or(|answer| answer.rate.is_none()) => Exit::Failed,
            End::Answered => Exit::Done,
        })
    }

    /// The plan of probe number `index`.
    fn plan(&self, rate: Rate, lasting: Duration, concurrency: NonZeroU32, index: u64) -> Result<RunPlan, PlanError> {
        let FindLoad { warmup, arrivals, processes, threads, seed, .. } = self.load;
        let open = Open { arrivals, from: rate, stages: Vec::new(), max_in_flight: None };
        let load = LoadSpec {
            shape: Shape::new(processes, threads)?,
            concurrency,
            extent: Extent::new(None, Some(lasting))?,
            first: 0,
            load_model: LoadModel::Open(open),
            warmup,
            start_jitter: Duration::ZERO,
            // Two probes of a rate must not have the same arrivals.
            seed: seed.map_or_else(|| fastrand::u64(..), |seed| seed.wrapping_add(index)),
            recycle: None,
        };
        self.flags.plan(&self.expect, load)
    }
}

/// A search in progress.
struct Finder<'a> {
    command: &'a FindCommand,
    runner: &'a mut Runner,
    report: &'a mut FindReport,
    slos: &'a [Slo],
    instances: Instances,
    search: Search,
    scope: Scope,
    began: Instant,
    /// Void or not.
    probes: u64,
    /// Probes in which workers died.
    incomplete: usize,
}

/// What became of a probe.
enum Tried {
    /// The next step can be asked for.
    Told,
    /// The budget or a stop ended it.
    Stopped,
    /// No run of the task can be judged by the promises.
    Missing(String),
}

impl<'a> Finder<'a> {
    fn new(
        command: &'a FindCommand,
        runner: &'a mut Runner,
        report: &'a mut FindReport,
        slos: &'a [Slo],
        lane: Lane,
    ) -> Self {
        let load = &command.load;
        let threads = u64::from(load.processes) * u64::from(load.threads) * u64::from(runner.boxes());
        let most = load.concurrency.map(|most| u64::from(most.get()) * threads);
        let instances = Instances::new(lane, threads, most, Environment::here().cpus);
        let scope = load.scope(slos);
        report.to = Some(scope.to);
        report.budget_ns = u64::try_from(load.budget.as_nanos()).ok();
        report.most_instances = Some(instances.most());
        report.has_threads_only = lane == Lane::Compute;
        Self {
            command,
            runner,
            report,
            slos,
            instances,
            search: Search::new(scope),
            scope,
            began: Instant::now(),
            probes: 0,
            incomplete: 0,
        }
    }

    /// Probes one rate after the other until there is an answer.
    fn search(mut self, source: &TaskSource) -> Result<End, CannotRun> {
        self.announce();
        loop {
            let bracket = match self.search.next(self.left()) {
                Step::Found(bracket) => bracket,
                Step::Probe { rate, lasting } => match self.probe(source, rate, lasting)? {
                    Tried::Told if self.incomplete > MOST_INCOMPLETE => {
                        self.report.is_given_up = true;
                        return Ok(End::Incomplete);
                    }
                    Tried::Told => continue,
                    Tried::Missing(problem) => {
                        self.report.problem = Some(problem);
                        return Ok(End::Answered);
                    }
                    Tried::Stopped if self.left().is_zero() => self.search.cut_short(),
                    Tried::Stopped => return Ok(End::Stopped),
                },
            };
            self.report.answer = Some(Answer::from(bracket));
            return Ok(End::Answered);
        }
    }

    fn announce(&self) {
        let nanos = |time: Duration| duration(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let budget = self.command.load.budget;
        let expected = self.scope.expected(budget);
        self.runner.say(&format!("expected time: about {}, at most {} (--budget)", nanos(expected), nanos(budget)));
        if let Some(implied) = implied(self.report) {
            self.runner.say(&implied);
        }
        self.runner.say(&find::head());
    }

    /// Shows each line of the text.
    fn say(&self, text: &str) {
        for line in text.lines() {
            self.runner.say(line);
        }
    }

    /// What is left of the budget.
    fn left(&self) -> Duration {
        self.command.load.budget.saturating_sub(self.began.elapsed())
    }

    /// Runs a probe, with more instances if there were too few.
    fn probe(&mut self, source: &TaskSource, rate: f64, lasting: Duration) -> Result<Tried, CannotRun> {
        let concurrency = NonZeroU32::new(self.instances.per_thread(rate)).unwrap_or(NonZeroU32::MIN);
        let begun = Instant::now();
        let Some(report) = self.run(source, rate, lasting, concurrency)? else { return Ok(Tried::Stopped) };
        let Some(run) = report.runs.first() else { return Ok(Tried::Stopped) };
        let instances = run.plan.instances();
        self.spread(&run.plan, &run.boxes);
        self.note_changes(rate, run);
        let shortage = self.instances.shortage(rate, instances, run);
        let evidence = Evidence::of(run, lasting, self.slos);
        let broken = evidence.broken(run, self.slos);
        let evidence = evidence.blaming(self.instances.culprit(shortage, run, broken));
        let why = why_void(run, &evidence);
        if !why.is_empty() {
            let void = VoidProbe::new(rate, run, why);
            self.say(&find::void_line(&void));
            self.report.void.push(void);
            self.incomplete += usize::from(report.is_incomplete());
            return Ok(Tried::Told);
        }
        if run.operations.ok > 0
            && let Some(problem) = self.slos.iter().find_map(|slo| slo.missing(run))
        {
            return Ok(Tried::Missing(problem));
        }
        let probed = Probed { rate, lasting, instances };
        let probe = Probe::new(probed, run, self.slos, &evidence);
        self.instances.learn(run, &evidence);
        if shortage == Shortage::MoreAllowed && !probe.broken.is_empty() {
            self.instances.grow(instances);
            self.say(&find::too_few_line(&probe));
            return Ok(Tried::Told);
        }
        if probe.broken.is_empty() {
            self.search.takes(begun.elapsed().saturating_sub(lasting));
        }
        self.say(&find::line(&probe));
        self.search.tell(rate, evidence);
        self.report.probes.push(probe);
        self.report.rates = self.search.rates();
        Ok(Tried::Told)
    }

    /// Notes how many threads the probe had.
    fn spread(&mut self, plan: &PlanReport, boxes: &[BoxReport]) {
        if !boxes.is_empty() {
            let cpus = boxes.iter().map(|of| u64::from(of.cpus)).sum();
            self.instances.spread(plan.instances() / u64::from(plan.concurrency.max(1)), cpus);
            self.report.most_instances = Some(self.instances.most());
        }
    }

    /// Notes which boxes came or went.
    fn note_changes(&mut self, rate: f64, run: &RunReport) {
        let changes = [FaultKind::BoxAbsent, FaultKind::BoxLeft, FaultKind::BoxLost];
        for fault in run.faults.iter().filter(|fault| changes.contains(&fault.kind)) {
            // The search goes on without a box until it is back.
            if self.report.boxes.iter().all(|of| of.message != fault.message) {
                self.report.boxes.push(BoxChange { rate, message: fault.message.clone() });
            }
        }
    }

    /// The report on a run of a probe; `None` if a stop or the end of the budget came first.
    fn run(
        &mut self,
        source: &TaskSource,
        rate: f64,
        lasting: Duration,
        concurrency: NonZeroU32,
    ) -> Result<Option<Report>, CannotRun> {
        let plan = self.command.plan(Rate::per_second(rate)?, lasting, concurrency, self.probes)?;
        self.probes += 1;
        let (mut due, stop) = (self.began + self.command.load.budget, self.runner.stop());
        let mut stops = 2;
        let watch: Observer<'_> = Box::new(move |_: &RunEvent, _: &Books| {
            if stops > 0 && Instant::now() >= due {
                (stops, due) = (stops - 1, due + TO_CUT);
                // The runner holds the other end of the channel as long as it runs.
                let _ = stop.send(());
            }
        });
        let record = self.runner.run(source, &plan, Some(watch))?.filter(|record| !record.stopped);
        Ok(record.map(|record| Report::new(Environment::here(), &[record])))
    }
}

/// The formats of an answer.
#[derive(Clone, Copy)]
enum AnswerFormat {
    Json,
    Html,
    Markdown,
}

impl output::Format for AnswerFormat {
    type What = FindReport;

    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON answer",
            Self::Html => "HTML answer",
            Self::Markdown => "Markdown answer",
        }
    }

    fn write(self, report: &FindReport, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Json => json::write(report, to),
            Self::Markdown => markdown::find(report, to),
            Self::Html => to.write_all(html::find(report).as_bytes()).and_then(|()| to.flush()),
        }
    }
}
