//! A run as one line that is redrawn, or as a plain line every ten seconds.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use crossbeam::channel::Receiver;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::gauge::{Figure, Gauge};
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
    let mut line: Option<Line> = None;
    let mut printed = Printed::default();
    let print = |line: &Option<Line>, text: &str| {
        // If stderr is closed, nothing can be shown.
        let print = || drop(anstream::stderr().lock().write_all(text.as_bytes()));
        match line.as_ref().and_then(|line| line.bar.as_ref()) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    };
    for event in events {
        match (event, &mut line) {
            (Update::Began(plan), line) => *line = Some(Line::new(plan)),
            (Update::Print(text), line) => print(line, &text),
            (Update::Printed(text), line) => {
                if printed.is_new(&text) {
                    print(line, &text);
                }
            }
            (Update::Counted { latency, failed }, Some(line)) => line.gauge.count(latency, failed),
            (Update::Standing(moment), Some(line)) => line.draw(&moment),
            (Update::Stopping, Some(line)) => line.gauge.stop(),
            (Update::Ended, line) => {
                if let Some(bar) = line.take().and_then(|line| line.bar) {
                    bar.finish_and_clear();
                }
                print(line, &std::mem::take(&mut printed).again());
            }
            (Update::Counted { .. } | Update::Standing(_) | Update::Stopping | Update::Report(_), _) => {}
        }
    }
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

    fn draw(&mut self, moment: &Standing) {
        self.gauge.move_to(moment);
        match &self.bar {
            Some(bar) => {
                let columns = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0.into());
                let (width, figures) = fitted(self.gauge.figures(moment), columns);
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
                let (_, figures) = fitted(self.gauge.figures(moment), usize::MAX);
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
