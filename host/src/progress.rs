//! A run's events, for a person at a terminal: a line that is redrawn while it goes on, and what is said meanwhile.
//!
//! Where stderr is no terminal, a plain line every ten seconds takes the drawn one's place. Knows nothing of how a run
//! is run; stdout is not its business.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::controller::{Books, PATIENCE, RunEvent};
use crate::metrics::{Histogram, Metrics, Outcome};
use crate::plan::{Extent, RunPlan};
use crate::report::units::{count, duration, rate};

/// What "now" means for a rate and a percentile: long enough for a steady figure, short enough to follow a change.
const NOW: Duration = Duration::from_secs(2);

/// How often a line is written where none can be redrawn.
const PLAIN: Duration = Duration::from_secs(10);

/// Columns of a terminal beyond which there is room for a bar beside the figures.
const WIDE: u16 = 110;

/// What is shown of a run on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing at all.
    Nothing,
    /// What guests print, and what goes wrong.
    Messages,
    /// That, and how far the run has come.
    Progress,
}

/// The progress of a command's runs.
pub struct Progress {
    show: Show,
    line: Option<Line>,
}

/// The line of one run.
struct Line {
    /// None where stderr is no terminal.
    bar: Option<ProgressBar>,
    plain_due: Duration,
    extent: Extent,
    shape: String,
    recent: VecDeque<(Instant, Histogram)>,
    failed: u64,
    stopping: bool,
}

impl Progress {
    /// A progress that shows so much.
    pub fn new(show: Show) -> Self {
        Self { show, line: None }
    }

    /// Shows an event.
    pub fn on(&mut self, event: RunEvent<'_>) {
        if self.show == Show::Nothing {
            return;
        }
        match event {
            RunEvent::Output(bytes) => self.print(|to| to.write_all(bytes)),
            RunEvent::Fault(fault) => self.print(|to| writeln!(to, "fault: {}", fault.message)),
            RunEvent::Began(plan) if self.show == Show::Progress => self.line = Some(Line::new(plan)),
            RunEvent::Counted(metrics) => self.line.iter_mut().for_each(|line| line.count(metrics)),
            RunEvent::Tick { books, workers } => self.line.iter_mut().for_each(|line| line.draw(books, workers)),
            RunEvent::Stopping => {
                self.line.iter_mut().for_each(|line| line.stopping = true);
                let patience = PATIENCE.as_secs();
                self.print(|to| {
                    writeln!(to, "stopping: operations in flight may end, for {patience} s; Ctrl-C again cuts them")
                });
            }
            RunEvent::Cutting => self.print(|to| writeln!(to, "cutting the operations in flight")),
            RunEvent::Ended => {
                if let Some(bar) = self.line.take().and_then(|line| line.bar) {
                    bar.finish_and_clear();
                }
            }
            RunEvent::Began(_) => {}
        }
    }

    /// Writes above the line.
    fn print(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        // Where stderr is closed nobody wants to know.
        let print = || drop(write(&mut anstream::stderr().lock()));
        match self.line.as_ref().and_then(|line| line.bar.as_ref()) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Line {
    fn new(plan: &RunPlan) -> Self {
        Self {
            bar: io::stderr().is_terminal().then(bar),
            plain_due: PLAIN,
            extent: plan.extent,
            shape: plan.shape.to_string(),
            recent: VecDeque::new(),
            failed: 0,
            stopping: false,
        }
    }

    fn count(&mut self, metrics: &Metrics) {
        let not_ok = metrics.results().iter().filter(|result| result.outcome != Outcome::Ok);
        self.failed += not_ok.map(|result| result.latency.count()).sum::<u64>();
        self.recent.push_back((Instant::now(), metrics.latency()));
    }

    fn draw(&mut self, books: &Books<'_>, workers: usize) {
        let elapsed = books.elapsed();
        while self.recent.front().is_some_and(|(when, _)| when.elapsed() > NOW) {
            self.recent.pop_front();
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position((self.share(books) * 1_000.0) as u64);
                bar.set_message(self.text(books, workers));
                bar.tick();
            }
            None if elapsed >= self.plain_due => {
                self.plain_due += PLAIN;
                let _ = writeln!(anstream::stderr().lock(), "{}", self.text(books, workers));
            }
            None => {}
        }
    }

    /// How much of the run is done, from 0 to 1: of the operations, or of the time, whichever ends it.
    fn share(&self, books: &Books<'_>) -> f64 {
        let of_operations = self.extent.operations().map_or(0.0, |n| books.completed() as f64 / n as f64);
        let of_time = self.extent.duration().map_or(0.0, |all| books.elapsed().as_secs_f64() / all.as_secs_f64());
        of_operations.max(of_time).min(1.0)
    }

    fn text(&self, books: &Books<'_>, workers: usize) -> String {
        let mut latency = Histogram::default();
        self.recent.iter().for_each(|(_, recent)| latency += recent);
        let per_second = latency.count() as f64 / NOW.min(books.elapsed()).as_secs_f64().max(0.001);
        let quantile = |q| match latency.count() {
            0 => "-".to_owned(),
            _ => duration(latency.to_hdr().value_at_quantile(q)),
        };
        let seconds = |time: Duration| format!("{:.0}", time.as_secs_f64());
        let time = match self.extent.duration() {
            Some(all) => format!("{}/{} s", seconds(books.elapsed()), seconds(all)),
            None => format!("{} s", seconds(books.elapsed())),
        };
        let what = if self.stopping { "stopping" } else { &self.shape };
        let plural = if workers == 1 { "" } else { "s" };
        format!(
            "{what}  {time}  {} ops  {}/s  p50 {}  p99 {}  {} failed  {workers} worker{plural}",
            count(books.completed()),
            rate(per_second),
            quantile(0.5),
            quantile(0.99),
            count(self.failed),
        )
    }
}

fn bar() -> ProgressBar {
    let is_wide = terminal_size::terminal_size_of(io::stderr()).is_some_and(|(width, _)| width.0 >= WIDE);
    let template = if is_wide { "{bar:24} {percent:>3}%  {wide_msg}" } else { "{percent:>3}%  {wide_msg}" };
    let bar = ProgressBar::with_draw_target(Some(1_000), ProgressDrawTarget::stderr());
    // A template that is wrong costs the bar's looks, not the run.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━━─"));
    }
    bar
}
