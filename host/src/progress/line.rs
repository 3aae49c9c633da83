//! A run as one line that is redrawn, or as a plain line every ten seconds.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use crossbeam::channel::{Receiver, RecvTimeoutError};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::gauge::{Figure, Gauge};
use super::waiting::Waiting;
use super::{Printed, Standing, Update};
use crate::plan::RunPlan;
use crate::terminal;

/// How often a plain line is written if none can be redrawn.
const PLAIN: Duration = Duration::from_secs(10);

/// The widest and the narrowest bar.
const BARS: [usize; 2] = [24, 8];

/// The columns of a percentage and of what is around it and the bar.
const PERCENT: usize = 8;

/// Between two figures.
const GAP: &str = "  ";

const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// How often the time of a wait is shown anew.
const BEAT: Duration = Duration::from_millis(500);

/// The line of one run.
struct Line {
    /// `None` if stderr is not a terminal.
    bar: Option<ProgressBar>,
    plain_due: Duration,
    gauge: Gauge,
    has_colours: bool,
}

/// Writes what has to be shown, until there is no more.
pub(super) fn write(events: &Receiver<Update>) {
    let mut writer = Writer::default();
    loop {
        match events.recv_timeout(BEAT) {
            Ok(update) => writer.take_in(update),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return writer.clear(),
        }
        writer.tell_wait();
    }
}

/// What stands on stderr.
#[derive(Default)]
struct Writer {
    /// `None` before a run begins, and after it.
    line: Option<Line>,
    waiting: Option<Waiting>,
    /// Tells of a wait if there is no line.
    spinner: Option<ProgressBar>,
    printed: Printed,
}

impl Writer {
    fn take_in(&mut self, update: Update) {
        match (update, &mut self.line) {
            (Update::Began(plan), _) => {
                self.clear();
                self.line = Some(Line::new(plan));
            }
            (Update::Print(text), _) => self.print(&text),
            (Update::Printed(text), _) => {
                if self.printed.is_new(&text) {
                    self.print(&text);
                }
            }
            (Update::Counted { latency, failed }, Some(line)) => line.gauge.count(latency, failed),
            (Update::Standing(moment), Some(line)) => {
                line.draw(&moment, self.waiting.as_ref().and_then(Waiting::parts));
            }
            (Update::Stopping, Some(line)) => line.gauge.stop(),
            (Update::Awaits { awaited, most }, _) => Waiting::go_on(&mut self.waiting, awaited, most),
            (Update::Ended, _) => {
                self.clear();
                let again = std::mem::take(&mut self.printed).again();
                self.print(&again);
            }
            (Update::Counted { .. } | Update::Standing(_) | Update::Stopping | Update::Report(_), _) => {}
        }
    }

    /// Tells of a wait that goes on while no line is drawn.
    fn tell_wait(&mut self) {
        if self.line.is_some() {
            return;
        }
        let is_terminal = io::stderr().is_terminal();
        match self.waiting.as_mut().and_then(|waiting| if is_terminal { waiting.words() } else { waiting.due(PLAIN) }) {
            Some(words) if is_terminal => {
                // The last column stays free, as in the line of a run.
                let shown = words.chars().take(columns().saturating_sub(1)).collect::<String>();
                self.spinner.get_or_insert_with(spinner).set_message(shown);
            }
            Some(words) => self.print(&format!("{words}\n")),
            None => {}
        }
        if self.waiting.is_none() {
            self.clear();
        }
    }

    fn print(&self, text: &str) {
        // If stderr is closed, nothing can be shown.
        let print = || drop(anstream::stderr().lock().write_all(text.as_bytes()));
        match self.line.as_ref().and_then(|line| line.bar.as_ref()).or(self.spinner.as_ref()) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Takes away what is redrawn.
    fn clear(&mut self) {
        self.waiting = None;
        let line = self.line.take().and_then(|line| line.bar);
        line.into_iter().chain(self.spinner.take()).for_each(|bar| bar.finish_and_clear());
    }
}

/// The columns of the terminal.
fn columns() -> usize {
    terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0.into())
}

/// A line that only says something.
fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // If the template were wrong, only the look would suffer.
    ProgressStyle::with_template("{msg}").map_or(bar.clone(), |style| bar.with_style(style))
}

impl Line {
    fn new(plan: Box<RunPlan>) -> Self {
        Self {
            bar: io::stderr()
                .is_terminal()
                .then(|| ProgressBar::with_draw_target(Some(1_000), ProgressDrawTarget::stderr())),
            plain_due: PLAIN,
            gauge: Gauge::new(plan),
            has_colours: anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never,
        }
    }

    /// Draws how far the run has come; of a run that only waits, for what.
    fn draw(&mut self, moment: &Standing, wait: Option<[String; 2]>) {
        self.gauge.move_to(moment);
        let figures = match wait {
            Some([what, limit]) => {
                let figure = |text, weight| Figure { text, weight, is_bad: false };
                vec![figure(what, 9), figure(limit, 1)]
            }
            None => self.gauge.figures(moment),
        };
        match &self.bar {
            Some(bar) => {
                let (width, figures) = fitted(figures, columns());
                // If the template were wrong, only the look of the bar would suffer.
                let template = if width > 0 {
                    format!("{{bar:{width}}} {{percent:>3}}%  {{msg}}")
                } else {
                    "{percent:>3}%  {msg}".into()
                };
                if let Ok(style) = ProgressStyle::with_template(&template) {
                    bar.set_style(style.progress_chars("━━─"));
                }
                bar.set_position((self.gauge.share(moment) * 1_000.0) as u64);
                bar.set_message(text(&figures, self.has_colours));
                bar.tick();
            }
            None if moment.elapsed >= self.plain_due => {
                self.plain_due += PLAIN;
                let (_, figures) = fitted(figures, usize::MAX);
                let _ = writeln!(terminal::stderr(), "{}", text(&figures, false));
            }
            None => {}
        }
    }
}

/// The figures as a line.
fn text(figures: &[Figure], has_colours: bool) -> String {
    let text = |of: &Figure| {
        if of.is_bad && has_colours { format!("{BAD}{}{BAD:#}", of.text) } else { of.text.clone() }
    };
    figures.iter().map(text).collect::<Vec<_>>().join(GAP)
}

/// The width of the bar and the figures beside it, in a line with so many columns. The bar is the last to go.
fn fitted(mut figures: Vec<Figure>, columns: usize) -> (usize, Vec<Figure>) {
    let widths = |figures: &[Figure]| figures.iter().map(|of| of.text.chars().count() + GAP.len()).sum::<usize>();
    // The last column stays free: some terminals begin a new line once it is written.
    let columns = columns.saturating_sub(1);
    let [widest, narrowest] = BARS;
    let most_weight = figures.iter().map(|of| of.weight).max().unwrap_or_default();
    while widths(&figures) + PERCENT + narrowest > columns
        && let Some(least) = figures.iter().map(|of| of.weight).min().filter(|&least| least < most_weight)
    {
        figures.retain(|of| of.weight > least);
    }
    let room = columns.saturating_sub(widths(&figures) + PERCENT);
    let bar = if room < narrowest { 0 } else { room.min(widest) };
    (bar, figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_and_leaves_out_what_matters_least() {
        let figures = || {
            let all = [
                ("27/60 s", 9),
                ("33 s left", 4),
                ("12,345 ops", 5),
                ("259 of 600/s", 9),
                ("41 in flight", 3),
                ("p50 1.20 ms", 6),
                ("p99 12.1 ms", 8),
                ("3 failed", 9),
                ("2 x 4", 2),
                ("2 workers", 1),
            ];
            let figure = |(text, weight): (&str, u8)| Figure { text: text.into(), weight, is_bad: false };
            all.into_iter().map(figure).collect::<Vec<_>>()
        };
        for (columns, bar, text) in [
            (
                160,
                24,
                "27/60 s  33 s left  12,345 ops  259 of 600/s  41 in flight  p50 1.20 ms  p99 12.1 ms  3 failed  2 x 4  \
                 2 workers",
            ),
            (
                120,
                8,
                "27/60 s  33 s left  12,345 ops  259 of 600/s  41 in flight  p50 1.20 ms  p99 12.1 ms  3 failed  2 x 4",
            ),
            (80, 12, "27/60 s  259 of 600/s  p50 1.20 ms  p99 12.1 ms  3 failed"),
            (60, 18, "27/60 s  259 of 600/s  3 failed"),
            (40, 0, "27/60 s  259 of 600/s  3 failed"),
        ] {
            let (width, figures) = fitted(figures(), columns);
            assert_eq!((width, super::text(&figures, true).as_str()), (bar, text), "{columns} columns");
        }
        let mut failing = figures();
        failing[7].is_bad = true;
        assert!(super::text(&failing, true).contains("  \u{1b}[31m3 failed\u{1b}[0m  "));
    }
}
