//! Executes the runs of a command one after the other, keeps files and viewers up to date, and writes one report.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use crossbeam::channel::{Sender, bounded};

use super::boxes::Over;
use super::flags::TaskSource;
use super::judge::{self, FailFlags};
use super::output::{FileFlags, Words};
use super::report::report;
use super::runner::{CannotRun, Runner};
use super::snapshots::{Snapshots, Wanted};
use super::stream::{StreamFlags, Streams};
use super::{Exit, command, values};
use crate::controller::{Books, Happened, OnLoss, RunEvent};
use crate::fault::{Fault, FaultKind};
use crate::judging::verdict::{Expression, each_once};
use crate::live::{self, Board};
use crate::plan::RunPlan;
use crate::progress::Show;
use crate::record::{Origin, RunRecord};
use crate::report::{Report, SuiteReport, Verdict, VerdictOrigin};

#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputFlags {
    #[command(flatten)]
    files: FileFlags,

    #[command(flatten)]
    streams: StreamFlags,

    /// Keep the JSON and HTML reports up to date during the run, never older than this
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    snapshot: Option<Duration>,

    /// Show the report as a page on loopback that follows the run, and stays until Ctrl-C [default: any free port]
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "0",
          value_parser = values::port)]
    web: Option<u16>,

    /// Serve metrics for Prometheus at http://HOST:PORT/metrics
    #[arg(long, value_name = "HOST:PORT", value_parser = values::host_and_port)]
    metrics: Option<String>,

    /// Print errors only, and where --web and --metrics are
    #[arg(short, long)]
    quiet: bool,

    /// Do not show the progress of the run
    #[arg(long)]
    no_progress: bool,

    /// Show the run on the whole screen of the terminal
    #[arg(long, conflicts_with_all = ["quiet", "no_progress"])]
    tui: bool,
}

/// A planned run.
#[derive(Clone)]
pub(super) struct PlannedRun {
    /// Its name in the suite.
    pub(super) name: Option<String>,
    /// Where it is written, if that is in a file.
    pub(super) place: Option<String>,
    pub(super) source: TaskSource,
    pub(super) plan: RunPlan,
    /// What fails it.
    pub(super) fail: FailFlags,
    /// The expressions that stop it.
    pub(super) abort_if: Vec<Expression>,
}

/// Runs that are reported together.
pub(super) struct Session {
    pub(super) planned_runs: Vec<PlannedRun>,
    /// The files that they come from: a suite, or calls and their rows.
    pub(super) files: Vec<PathBuf>,
    /// The pause between two runs.
    pub(super) pause: Duration,
    /// What the suite file says about itself, if there is one.
    pub(super) suite: Option<SuiteReport>,
    /// The boxes, if the runs do not take place on this machine.
    pub(super) over: Option<Over>,
}

impl OutputFlags {
    /// Whether only errors are to be printed.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The file of the JSON report.
    pub(super) fn json_path(&self) -> Option<&Path> {
        self.files.json_path()
    }

    /// Starts the page and the metrics, if they are wanted. Viewers of the page may stop the runs of `runner`.
    fn board(&self, runner: &Runner) -> anyhow::Result<Option<Board>> {
        let board = Board::default();
        if let Some(port) = self.web {
            let address = live::web(board.clone(), port, runner.stop());
            let address =
                address.with_context(|| format!("cannot serve a page on 127.0.0.1:{port}; name another --web PORT"))?;
            runner.messages().say(&format!("following the run at {address}"));
        }
        if let Some(wanted) = &self.metrics {
            let address = live::metrics(board.clone(), wanted);
            let address = address.with_context(|| {
                format!("cannot serve metrics at `{wanted}`; write HOST:PORT, such as 127.0.0.1:9464")
            })?;
            runner.messages().say(&format!("metrics are at http://{address}/metrics"));
        }
        Ok((self.web.is_some() || self.metrics.is_some()).then_some(board))
    }
}

impl Session {
    /// The files that the runs are made from.
    fn inputs(&self) -> Vec<&Path> {
        let tasks = self.planned_runs.iter().filter(|run| run.source.origin() == Origin::File);
        let tasks = tasks.map(|run| run.source.path());
        let data = self.planned_runs.iter().filter_map(|run| run.plan.data());
        tasks.chain(data).chain(self.files.iter().map(PathBuf::as_path)).collect()
    }

    /// Executes all runs and writes the report. `check` looks for missing inputs before the first run.
    pub(super) fn run(
        mut self,
        flags: &OutputFlags,
        check: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Exit> {
        let takes_stdout = flags.streams.take_stdout();
        if takes_stdout && flags.files.take_stdout() {
            return Ok(Exit::wrong_usage("only one output can be -: name a file for another one"));
        }
        let words = if flags.quiet || takes_stdout { Words::Omitted } else { Words::Printed };
        let outputs = flags.files.open(words, &self.inputs())?;
        check()?;
        judge::warn(self.planned_runs.iter().flat_map(|run| run.fail.fail_if.iter().chain(&run.abort_if)));
        let show = match (flags.quiet, flags.no_progress, flags.tui) {
            (true, ..) => Show::Nothing,
            (_, true, _) => Show::Messages,
            (.., true) => Show::Screen,
            _ => Show::Progress,
        };
        let mut runner = Runner::new(show, self.over.clone())?;
        let board = flags.board(&runner)?;
        let streams = flags.streams.open(&self.inputs())?;
        if streams.take_traces() {
            self.planned_runs.iter_mut().for_each(|run| run.plan = run.plan.clone().traced());
        }
        let caption = self.caption();
        let watch = Watch {
            abort_if: self.planned_runs.iter().map(|turn| turn.abort_if.clone()).collect(),
            stop: runner.stop(),
            leads: runner.leads(),
        };
        let (broke, broken) = bounded(1);
        let wanted = Wanted {
            files: outputs.replaceable(),
            interval: flags.snapshot,
            board: board.clone(),
            screen: runner.screen(),
            judged: (streams.are_followed() || watch.abort_if.iter().any(|expressions| !expressions.is_empty()))
                .then_some(JUDGED),
        };
        if let Err(problem) = wanted.check() {
            return Ok(Exit::wrong_usage(problem));
        }
        let is_stopped = match self.admit(&mut runner) {
            Ok(is_stopped) => is_stopped,
            Err(exit) => return Ok(exit),
        };
        let follows = streams.clone();
        let mut snapshots = Snapshots::start(wanted, runner.messages(), move |records| {
            let report = caption.put_on(report(records));
            if let Some(verdict) = watch.broken(&report) {
                // Only the first verdict counts: it stopped the run.
                let _ = broke.try_send(verdict);
            }
            follows.follow(&report);
            report
        })?;
        let mut records = Vec::new();
        let worked = self.work_through(&mut records, &mut runner, &mut snapshots, &streams, is_stopped);
        // The final report must come last.
        drop(snapshots);
        runner.end_progress()?;
        if let Err(error) = &worked
            && records.is_empty()
        {
            runner.let_signals_end();
            return Ok(error.say());
        }
        // The runs before an error are reported too.
        let aborted = broken.try_recv().ok();
        let report = self.judged(&records, aborted.as_ref());
        // Viewers come first, because stdout may be slow.
        if let Some(board) = &board {
            board.end(&report);
        }
        let written = outputs.write_report(&report, flags.files.detail(), || runner.let_signals_end());
        let streamed = streams.end(&report, runner.stops_again());
        if let Err(error) = worked {
            return Ok(error.say());
        }
        if flags.web.is_some() {
            super::tell("the page stays available until Ctrl-C");
            runner.wait_for_stop();
        }
        written.and(streamed)?;
        let is_stopped = records.iter().any(|record| record.stopped) || records.len() < self.planned_runs.len();
        let by_somebody = is_stopped && aborted.is_none() && !self.has_stopped_itself(&report);
        self.hint(&report, flags.quiet);
        Ok(if by_somebody { Exit::Stopped } else { Exit::of(&report) })
    }

    /// Whether the loss of a box, or a verdict of the process that controlled the command, has stopped a run.
    fn has_stopped_itself(&self, report: &Report) -> bool {
        let aborts = self.over.as_ref().is_some_and(|over| over.on_loss == OnLoss::Abort);
        let is_loss = |fault: &Fault| aborts && fault.kind == FaultKind::BoxLost;
        let is_broken = |verdict: &Verdict| verdict.origin == VerdictOrigin::AbortIf && verdict.failed;
        let is_resumed = command::resumed().is_some();
        report.runs.iter().flat_map(|run| &run.faults).any(is_loss)
            || is_resumed && report.verdicts.iter().any(is_broken)
    }

    /// Makes every task ready before the first run. Says why those that cannot run cannot, each once. Returns whether a
    /// stop came first.
    fn admit(&self, runner: &mut Runner) -> Result<bool, Exit> {
        runner.expect(self.planned_runs.iter().map(|run| run.plan.shape())).map_err(|error| error.say())?;
        let mut refused: Vec<(String, CannotRun)> = Vec::new();
        let repetitions = self.suite.as_ref().map_or(1, |suite| suite.repetitions as usize);
        for PlannedRun { place, source, plan, .. } in &self.planned_runs[..self.planned_runs.len() / repetitions] {
            let error = match runner.lane(source, plan) {
                Ok(Some(_)) => continue,
                Ok(None) => return Ok(true),
                Err(error) => error,
            };
            let said = error.to_string();
            let task = source.path().display().to_string();
            let line = match place {
                None => said,
                Some(place) if said.contains(&task) => format!("{place}: {said}"),
                Some(place) => format!("{place}, `{task}`: {said}"),
            };
            if refused.iter().all(|(known, _)| *known != line) {
                refused.push((line, error));
            }
        }
        for (line, _) in &refused {
            super::say(line);
        }
        match refused.iter().find(|(_, error)| !matches!(error, CannotRun::Usage(_))).or(refused.first()) {
            Some((_, error)) => Err(error.code()),
            None => Ok(false),
        }
    }

    /// Runs one turn after the other, until the last one or a stop. If one came already, there is none.
    fn work_through(
        &self,
        records: &mut Vec<RunRecord>,
        runner: &mut Runner,
        snapshots: &mut Snapshots,
        streams: &Streams,
        is_stopped: bool,
    ) -> Result<(), CannotRun> {
        if is_stopped {
            return Ok(());
        }
        for (i, PlannedRun { place, source, plan, .. }) in self.planned_runs.iter().enumerate() {
            if i > 0 && runner.is_stopped_within(self.pause) {
                break;
            }
            let task: Arc<str> = source.path().to_string_lossy().into();
            let observer = |event: &RunEvent, books: &Books| match &event.what {
                Happened::Tick => {
                    snapshots
                        .take(Instant::now(), || records.iter().cloned().chain([books.record(event.at)]).collect());
                }
                Happened::Traced(traced) => streams.traced(&task, traced),
                _ => {}
            };
            let ran = runner.run(source, plan, Some(Box::new(observer)));
            let Some(record) = ran.map_err(|error| error.at(place.as_deref()))? else { break };
            let is_stopped = record.stopped;
            records.push(record);
            if is_stopped {
                break;
            }
        }
        Ok(())
    }

    /// The report on `records`, with its verdicts. `aborted` is the one that stopped a run.
    fn judged(&self, records: &[RunRecord], aborted: Option<&Verdict>) -> Report {
        let mut report = self.caption().put_on(report(records));
        report.partial |= records.len() < self.planned_runs.len();
        for (i, (run, turn)) in report.runs.iter().zip(&self.planned_runs).enumerate() {
            report.verdicts.extend(turn.fail.judge(i, run));
            match aborted.filter(|verdict| verdict.run == i) {
                Some(verdict) => report.verdicts.push(verdict.clone()),
                // A short run is never judged while it goes on.
                None => report.verdicts.extend(each_once(&turn.abort_if).map(|of| of.judge_late(i, run))),
            }
        }
        report
    }

    /// Says what often lies behind results that look like nothing.
    fn hint(&self, report: &Report, is_quiet: bool) {
        let mut results = report.runs.iter().flat_map(|run| &run.results);
        if !is_quiet && results.any(|of| of.result.raw().starts_with('\0')) {
            super::tell(
                "a result begins with NUL: if the operation of a core module returns result<string, string>, make the \
                 component by `gorgon component --fallible`",
            );
        }
    }

    fn caption(&self) -> Caption {
        Caption { suite: self.suite.clone(), names: self.planned_runs.iter().map(|turn| turn.name.clone()).collect() }
    }
}

/// How often expressions are judged during a run.
const JUDGED: Duration = Duration::from_secs(1);

/// Stops a run when an expression holds.
struct Watch {
    /// By the index of the run.
    abort_if: Vec<Vec<Expression>>,
    stop: Sender<()>,
    /// Whether this process controls the runs. Otherwise another one stops them.
    leads: Arc<AtomicBool>,
}

impl Watch {
    /// Stops the current run if an expression holds, and returns the verdict.
    fn broken(&self, report: &Report) -> Option<Verdict> {
        let place = report.runs.len().checked_sub(1)?;
        let mut judged = self.abort_if.get(place)?.iter().map(|of| of.judge_early(place, &report.runs[place]));
        let broken = judged.find(|verdict| verdict.held)?;
        // If the run has already ended, nobody receives this.
        if self.leads.load(Ordering::Relaxed) {
            let _ = self.stop.send(());
        }
        Some(broken)
    }
}

/// What a suite adds to the reports of its runs.
struct Caption {
    suite: Option<SuiteReport>,
    names: Vec<Option<String>>,
}

impl Caption {
    fn put_on(&self, mut report: Report) -> Report {
        report.planned_runs = Some(self.names.len() as u64);
        report.suite.clone_from(&self.suite);
        report.runs.iter_mut().zip(&self.names).for_each(|(run, name)| run.name.clone_from(name));
        report
    }
}
