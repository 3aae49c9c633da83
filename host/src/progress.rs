//! The events of a run, for a person at a terminal: messages, and a progress line that is redrawn.
//!
//! If stderr is not a terminal, a plain line every ten seconds replaces the redrawn one. Does not know how a run is
//! executed, and never writes to stdout.

use std::collections::{HashMap, VecDeque};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use crossbeam::channel::{Receiver, Sender, bounded, unbounded};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::controller::{Books, Happened, PATIENCE, RunEvent};
use crate::guest_text::{line, output};
use crate::metrics::{Histogram, Measure, Outcome};
use crate::pace::Slots;
use crate::plan::RunPlan;
use crate::report::units::{count, counted, duration, or_dash, rate};
use crate::terminal;

/// The period that the current rate and percentiles cover: long enough for steady figures, short enough to follow
/// changes.
const NOW: Duration = Duration::from_secs(2);

/// How often a plain line is written if none can be redrawn.
const PLAIN: Duration = Duration::from_secs(10);

/// The widest and the narrowest bar.
const BARS: [usize; 2] = [24, 8];

/// The columns of a percentage and of what is around it and the bar.
const PERCENT: usize = 8;

/// Between two figures.
const GAP: &str = "  ";

const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// What stderr shows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing at all.
    Nothing,
    /// What guests print, and what goes wrong.
    Messages,
    /// Messages, and the progress of the run.
    Progress,
}

/// The progress of a command's runs.
///
/// A separate thread writes it: a stopped terminal or a slow reader must not delay the run.
pub struct Progress {
    show: Show,
    shown: Option<Sender<Update>>,
    written: Receiver<()>,
}

/// A way to say something beside the progress, on the thread that shows it.
#[derive(Clone)]
pub struct Messages(Option<Sender<Update>>);

/// An event, as the thread that writes gets it.
enum Update {
    Began(Box<RunPlan>),
    Counted {
        latency: Histogram,
        failed: u64,
    },
    Standing(Standing),
    Print(Vec<u8>),
    /// By a guest.
    Printed(String),
    Stopping,
    Ended,
}

/// How far a run has come.
struct Standing {
    elapsed: Duration,
    completed: u64,
    /// Slots that were due and never started.
    dropped: u64,
    /// Until when operations are known, since the run began.
    known: Duration,
    workers: usize,
}

/// The line of one run.
struct Line {
    /// `None` if stderr is not a terminal.
    bar: Option<ProgressBar>,
    plain_due: Duration,
    plan: Box<RunPlan>,
    /// The schedule of an open run.
    slots: Option<Slots>,
    /// How many slots were due, and when since the run began; the last of them and those shortly before.
    due: VecDeque<(Duration, u64)>,
    recent: VecDeque<(Instant, Histogram)>,
    failed: u64,
    stopping: bool,
    has_colours: bool,
}

/// What guests have printed in a run: each text is shown once.
#[derive(Default)]
struct Printed {
    texts: HashMap<String, u64>,
    /// The texts in the order in which they came first.
    order: Vec<String>,
}

impl Printed {
    /// Notes a text. Returns whether it has to be shown now.
    fn is_new(&mut self, text: &str) -> bool {
        if let Some(times) = self.texts.get_mut(text) {
            *times += 1;
            return false;
        }
        if self.order.len() < MOST_TEXTS {
            self.texts.insert(text.to_owned(), 1);
            self.order.push(text.to_owned());
        }
        true
    }

    /// What was printed more than once, and how often; empty if nothing was.
    fn again(self) -> String {
        let times = self.order.iter().map(|text| (text, self.texts[text]));
        let repeated: Vec<_> = times.filter(|&(text, times)| times > 1 && !text.trim().is_empty()).collect();
        let mut said = String::new();
        for (text, times) in repeated.iter().take(MOST_REPEATED) {
            said.push_str(&format!("printed {} times: {}\n", count(*times), text.trim_end()));
        }
        if repeated.len() > MOST_REPEATED {
            let more = counted((repeated.len() - MOST_REPEATED) as u64, "more text");
            said.push_str(&format!("{more} came more than once\n"));
        }
        said
    }
}

/// How many different texts of guests are remembered. Texts beyond them are shown as they come.
const MOST_TEXTS: usize = 1_000;

/// How many texts are listed that were printed more than once.
const MOST_REPEATED: usize = 10;

/// How many events may wait to be written before figures are left out. Messages are never left out.
const MOST_WAITING: usize = 64;

/// How long the end of a command waits until its last messages are written.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Progress {
    /// A progress that shows as much as `show` says.
    pub fn new(show: Show) -> io::Result<Self> {
        let (shown, events) = unbounded();
        let (done, written) = bounded(0);
        std::thread::Builder::new().name("progress".into()).spawn(move || {
            write(&events);
            drop(done);
        })?;
        Ok(Self { show, shown: Some(shown), written })
    }

    /// Shows an event; `books` says how far the run has come.
    pub fn on(&self, event: &RunEvent, books: &Books) {
        let wants_messages = self.show != Show::Nothing;
        let wants_progress = self.show == Show::Progress;
        match &event.what {
            Happened::Output(bytes) if wants_messages => self.tell(Update::Printed(output(bytes))),
            // If operations or workers are missing because of a fault, that is an error, and even `--quiet` shows it.
            Happened::Fault(fault) if wants_messages || fault.is_incomplete() => {
                self.tell(Update::Print(format!("fault: {}\n", line(&fault.message)).into_bytes()));
            }
            Happened::WarmingUp if wants_progress => self.tell(Update::Print(b"warming up\n".to_vec())),
            Happened::Began { .. } if wants_progress => {
                self.tell(Update::Began(Box::new(books.plan().clone())));
            }
            Happened::Counted(metrics) if wants_progress && self.keeps_up() => {
                let not_ok = metrics.results().iter().filter(|result| result.outcome != Outcome::Ok);
                let failed = not_ok.map(|result| result.measured.operations()).sum();
                self.tell(Update::Counted { latency: metrics.measured(Measure::Latency), failed });
            }
            Happened::Tick if wants_progress && self.keeps_up() => {
                self.tell(Update::Standing(Standing {
                    elapsed: books.elapsed(event.at),
                    completed: books.completed(),
                    dropped: books.dropped(),
                    known: books.elapsed(books.counted_until(event.at)),
                    workers: books.living().count(),
                }));
            }
            Happened::Stopping if wants_messages => {
                let patience = PATIENCE.as_secs();
                let message = format!("stopping: operations in flight may end, for {patience} s; Ctrl-C cuts them\n");
                self.tell(Update::Stopping);
                self.tell(Update::Print(message.into_bytes()));
            }
            Happened::Cutting if wants_messages => {
                self.tell(Update::Print(b"cutting the operations in flight\n".to_vec()));
            }
            Happened::Ended => self.tell(Update::Ended),
            _ => {}
        }
    }

    /// A way to say something else; the progress ends when the last of them is gone.
    pub fn messages(&self) -> Messages {
        Messages(self.shown.clone())
    }

    fn keeps_up(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.len() < MOST_WAITING)
    }

    fn tell(&self, shown: Update) {
        // The thread ends only when this is dropped, so sending cannot fail.
        let _ = self.shown.as_ref().map(|to| to.send(shown));
    }
}

impl Messages {
    /// Says one line, whatever is shown besides.
    pub fn say(&self, message: &str) {
        if let Some(shown) = &self.0 {
            // Its thread ends with the last sender, and not before.
            let _ = shown.send(Update::Print(format!("{}\n", line(message)).into_bytes()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shown = None;
        // The thread never sends anything: its end shows as an error here.
        let _ = self.written.recv_timeout(LAST_WORDS);
    }
}

/// Writes what has to be shown, until there is no more.
fn write(events: &Receiver<Update>) {
    let mut line: Option<Line> = None;
    let mut printed = Printed::default();
    let print = |line: &Option<Line>, bytes: &[u8]| {
        // If stderr is closed, nothing can be shown.
        let print = || drop(anstream::stderr().lock().write_all(bytes));
        match line.as_ref().and_then(|line| line.bar.as_ref()) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    };
    for event in events {
        match (event, &mut line) {
            (Update::Began(plan), line) => *line = Some(Line::new(plan)),
            (Update::Print(bytes), line) => print(line, &bytes),
            (Update::Printed(text), line) => {
                if printed.is_new(&text) {
                    print(line, text.as_bytes());
                }
            }
            (Update::Counted { latency, failed }, Some(line)) => {
                line.failed += failed;
                line.recent.push_back((Instant::now(), latency));
            }
            (Update::Standing(moment), Some(line)) => line.draw(&moment),
            (Update::Stopping, Some(line)) => line.stopping = true,
            (Update::Ended, line) => {
                if let Some(bar) = line.take().and_then(|line| line.bar) {
                    bar.finish_and_clear();
                }
                print(line, std::mem::take(&mut printed).again().as_bytes());
            }
            (Update::Counted { .. } | Update::Standing(_) | Update::Stopping, None) => {}
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
            slots: plan.load_model().open().map(|open| Slots::of_run(&plan, open)),
            plan,
            due: VecDeque::new(),
            recent: VecDeque::new(),
            failed: 0,
            stopping: false,
            has_colours: anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never,
        }
    }

    fn draw(&mut self, moment: &Standing) {
        while self.recent.front().is_some_and(|(when, _)| when.elapsed() > NOW) {
            self.recent.pop_front();
        }
        if let Some(slots) = &mut self.slots {
            let due = slots.due_by(u64::try_from(moment.known.as_nanos()).unwrap_or(u64::MAX));
            slots.skip_to(due);
            self.due.push_back((moment.known, due.0));
            while self.due.get(1).is_some_and(|(at, _)| *at + NOW <= moment.known) {
                self.due.pop_front();
            }
        }
        match &self.bar {
            Some(bar) => {
                let columns = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| width.0.into());
                let (width, text) = fitted(self.figures(moment), columns);
                // If the template were wrong, only the look of the bar would suffer.
                let template = if width > 0 {
                    format!("{{bar:{width}}} {{percent:>3}}%  {{msg}}")
                } else {
                    "{percent:>3}%  {msg}".into()
                };
                if let Ok(style) = ProgressStyle::with_template(&template) {
                    bar.set_style(style.progress_chars("━━─"));
                }
                bar.set_position((self.share(moment) * 1_000.0) as u64);
                bar.set_message(text);
                bar.tick();
            }
            None if moment.elapsed >= self.plain_due => {
                self.plain_due += PLAIN;
                let (_, text) = fitted(self.figures(moment), usize::MAX);
                let _ = writeln!(terminal::stderr(), "{text}");
            }
            None => {}
        }
    }

    /// How much of the run is done, from 0 to 1: by operations or by time, whichever is further.
    fn share(&self, moment: &Standing) -> f64 {
        let extent = self.plan.extent();
        let of_operations = extent.operations().map_or(0.0, |n| moment.completed as f64 / n as f64);
        let of_time = extent.duration().map_or(0.0, |all| moment.elapsed.as_secs_f64() / all.as_secs_f64());
        of_operations.max(of_time).min(1.0)
    }

    /// The figures, in the order in which they are shown.
    fn figures(&self, moment: &Standing) -> Vec<Figure> {
        let mut latency = Histogram::default();
        self.recent.iter().for_each(|(_, recent)| latency += recent);
        let per_second = latency.count() as f64 / NOW.min(moment.known).as_secs_f64().max(0.001);
        let quantile = |q| {
            let figure = (latency.count() > 0).then(|| latency.to_hdr().value_at_quantile(q));
            or_dash(figure, duration)
        };
        let seconds = |time: Duration| format!("{:.0}", time.as_secs_f64());
        let time = match self.plan.extent().duration() {
            Some(all) => format!("{}/{} s", seconds(moment.elapsed), seconds(all)),
            None => format!("{} s", seconds(moment.elapsed)),
        };
        // A run that is limited by a number of operations takes as long as the rest takes at the current rate.
        let left = self.plan.extent().operations().filter(|_| per_second > 0.0).map(|all| {
            let left = Duration::from_secs_f64((all.saturating_sub(moment.completed) as f64 / per_second).min(1e9));
            let most = self.plan.extent().duration().map(|all| all.saturating_sub(moment.elapsed));
            format!("{} s left", seconds(most.map_or(left, |most| most.min(left))))
        });
        let rate_now = match self.offered_now() {
            Some(offered) => format!("{} of {}/s", rate(per_second), rate(offered)),
            None => format!("{}/s", rate(per_second)),
        };
        let in_flight = self.due.back().map(|(_, due)| due.saturating_sub(moment.completed + moment.dropped));
        let figures = [
            (self.stopping.then(|| "stopping".to_owned()), 9),
            (Some(time), 9),
            (left, 4),
            (Some(format!("{} ops", count(moment.completed))), 5),
            (Some(rate_now), 9),
            (in_flight.map(|number| format!("{} in flight", count(number))), 3),
            (Some(format!("p50 {}", quantile(0.5))), 6),
            (Some(format!("p99 {}", quantile(0.99))), 8),
            (Some(format!("{} failed", count(self.failed))), 9),
            (Some(self.plan.shape().to_string()), 2),
            (Some(counted(moment.workers as u64, "worker")), 1),
        ];
        let is_bad = |text: &str| self.failed > 0 && self.has_colours && text.ends_with(" failed");
        let figures = figures.into_iter().filter_map(|(text, weight)| Some((text?, weight)));
        figures.map(|(text, weight)| Figure { is_bad: is_bad(&text), text, weight }).collect()
    }

    /// The rate at which operations have been due lately; `None` in a closed run.
    fn offered_now(&self) -> Option<f64> {
        let ((from, before), (to, now)) = self.due.front().zip(self.due.back())?;
        let time = to.saturating_sub(*from).as_secs_f64();
        (time > 0.0).then(|| (now - before) as f64 / time)
    }
}

/// A figure of the progress line.
struct Figure {
    text: String,
    /// If there is no room for all figures, those with the least weight are left out.
    weight: u8,
    is_bad: bool,
}

/// The width of the bar and the text beside it, in a line with so many columns. The bar is the last to go.
fn fitted(mut figures: Vec<Figure>, columns: usize) -> (usize, String) {
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
    let coloured = |of: &Figure| if of.is_bad { format!("{BAD}{}{BAD:#}", of.text) } else { of.text.clone() };
    (bar, figures.iter().map(coloured).collect::<Vec<_>>().join(GAP))
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
            assert_eq!(fitted(figures(), columns), (bar, text.to_owned()), "{columns} columns");
        }
        let mut failing = figures();
        failing[7].is_bad = true;
        assert!(fitted(failing, 60).1.ends_with("\u{1b}[31m3 failed\u{1b}[0m"));
    }

    #[test]
    fn each_text_is_printed_once_with_a_count() {
        let mut printed = Printed::default();
        let texts = ["a panic\n", "\n", "hello 1\n", "a panic\n", "\n", "hello 2\n", "a panic\n"];
        let new: Vec<_> = texts.into_iter().filter(|text| printed.is_new(text)).collect();
        assert_eq!(new, ["a panic\n", "\n", "hello 1\n", "hello 2\n"]);
        assert_eq!(printed.again(), "printed 3 times: a panic\n");

        let mut many = Printed::default();
        (0..2 * MOST_TEXTS).for_each(|i| assert!(many.is_new(&format!("{i}\n"))));
        (0..2 * MOST_TEXTS).for_each(|i| assert_eq!(many.is_new(&format!("{i}\n")), i >= MOST_TEXTS));
        let again = many.again();
        assert_eq!((again.lines().count(), again.lines().last()), (11, Some("990 more texts came more than once")));
    }
}
