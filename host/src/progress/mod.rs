//! The events of a run, for a person at a terminal: messages, and a line that is redrawn, or the whole screen.
//!
//! If stderr is not a terminal, a plain line every ten seconds replaces the redrawn one. Does not know how a run is
//! executed, and never writes to stdout.

mod gauge;
mod line;
mod screen;
mod view;
mod waiting;

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded, unbounded};

use crate::controller::{Awaited, Books, Happened, PATIENCE, RunEvent};
use crate::guest_text::{line, output};
use crate::metrics::{Histogram, Measure, Outcome};
use crate::plan::{Extent, RunPlan};
use crate::report::Report;
use crate::report::units::{count, counted, duration};

/// What stderr shows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Nothing at all.
    Nothing,
    /// What guests print, and what goes wrong.
    Messages,
    /// Messages, and the progress of the run.
    Progress,
    /// The run on the whole screen.
    Screen,
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

/// A way to show reports on a run that goes on.
#[derive(Clone)]
pub struct Screen(Sender<Update>);

/// An event, as the thread that writes gets it.
enum Update {
    Began(Box<RunPlan>),
    Counted {
        latency: Histogram,
        failed: u64,
    },
    Standing(Standing),
    /// What the run waits for from now on, if anything.
    Awaits {
        awaited: Option<Awaited>,
        /// The time limit for a hook.
        most: Option<Duration>,
    },
    /// On a run that goes on.
    Report(Box<Report>),
    /// A message, with its end of line.
    Print(String),
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
    /// A progress that shows as much as `show` says. A message on `stop` means that somebody at the screen wants to
    /// stop the run. An error if there is no screen.
    pub fn new(show: Show, stop: Sender<()>) -> io::Result<Self> {
        let (shown, events) = unbounded();
        let (done, written) = bounded(0);
        let screen = if show == Show::Screen { Some(screen::Display::take()?) } else { None };
        std::thread::Builder::new().name("progress".into()).spawn(move || {
            match screen {
                Some(screen) => screen.follow(&events, &stop),
                None => line::write(&events),
            }
            drop(done);
        })?;
        Ok(Self { show, shown: Some(shown), written })
    }

    /// Shows an event; `books` says how far the run has come.
    pub fn on(&self, event: &RunEvent, books: &Books) {
        let wants_messages = self.show != Show::Nothing;
        let wants_progress = matches!(self.show, Show::Progress | Show::Screen);
        match &event.what {
            Happened::Output(bytes) if wants_messages => self.tell(Update::Printed(output(bytes))),
            // If operations or workers are missing because of a fault, that is an error, and even `--quiet` shows it.
            Happened::Fault(fault) if wants_messages || fault.is_incomplete() => {
                self.tell(Update::Print(format!("fault: {}\n", line(&fault.message))));
            }
            Happened::WarmingUp if wants_progress => self.tell(Update::Print(warming_up(books.plan()))),
            Happened::Began { .. } if wants_progress => {
                self.tell(Update::Began(Box::new(books.plan().clone())));
            }
            Happened::Counted(metrics) if wants_progress && self.keeps_up() => {
                let not_ok = metrics.results().iter().filter(|result| result.outcome != Outcome::Ok);
                let failed = not_ok.map(|result| result.measured.operations()).sum();
                self.tell(Update::Counted { latency: metrics.measured(Measure::Latency), failed });
            }
            Happened::HookBegan(hook) if wants_progress => self.tell_wait(Some(Awaited::Hook(*hook)), books),
            Happened::HookEnded if wants_progress => self.tell_wait(None, books),
            Happened::Tick if wants_progress && self.keeps_up() => {
                self.tell_wait(books.awaited(), books);
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
                self.tell(Update::Print(message));
            }
            Happened::Cutting if wants_messages => {
                self.tell(Update::Print("cutting the operations in flight\n".into()));
            }
            Happened::Ended => self.tell(Update::Ended),
            _ => {}
        }
    }

    /// A way to say something else; the progress ends when the last of them is gone.
    pub fn messages(&self) -> Messages {
        Messages(self.shown.clone())
    }

    /// The screen, if the run is shown on it.
    pub fn screen(&self) -> Option<Screen> {
        self.shown.clone().filter(|_| self.show == Show::Screen).map(Screen)
    }

    fn keeps_up(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.len() < MOST_WAITING)
    }

    fn tell_wait(&self, awaited: Option<Awaited>, books: &Books) {
        self.tell(Update::Awaits { awaited, most: books.plan().limits().hook_timeout });
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
            let _ = shown.send(Update::Print(format!("{}\n", line(message))));
        }
    }
}

impl Screen {
    /// Shows a report on a run that goes on.
    pub fn show(&self, report: &Report) {
        if self.0.len() < MOST_WAITING {
            // As for messages.
            let _ = self.0.send(Update::Report(Box::new(report.clone())));
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

/// What the warm-up is: `--warmup 5` is five operations, `--warmup 5s` a time.
fn warming_up(plan: &RunPlan) -> String {
    let extent = plan.warmup();
    let operations = extent.and_then(Extent::operations).map(|n| counted(n, "operation"));
    let time = extent.and_then(Extent::duration).map(|of| duration(of.as_nanos().try_into().unwrap_or(u64::MAX)));
    let parts: Vec<String> = operations.into_iter().chain(time).collect();
    format!("warming up: {}\n", parts.join(", or "))
}

#[cfg(test)]
mod tests {
    use super::*;

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
