//! Shows the state of a run while it goes on, in files that are kept up to date and to viewers.
//!
//! A separate thread makes the reports, so that the run never waits for a disk or a browser.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use crossbeam::channel::{Sender, bounded};

use super::output::{OutputTarget, ReportFormat};
use crate::live::Board;
use crate::progress::{Messages, Screen};
use crate::record::RunRecord;
use crate::report::Report;

/// The shortest `--snapshot`. A run ticks ten times a second, and the state that it shows may be another tick old.
const LEAST_INTERVAL: Duration = Duration::from_millis(400);

/// How often viewers get a new report. Making a report of a long run takes a tenth of a second of processor time.
const VIEWED: Duration = Duration::from_secs(1);

/// Keeps files and viewers up to date.
pub(super) struct Snapshots {
    /// `None` when the run has ended.
    records: Option<Sender<Vec<RunRecord>>>,
    maker: Option<JoinHandle<()>>,
    /// Whether the thread has finished the latest report.
    is_idle: Arc<AtomicBool>,
    /// `None` if there is no page and no metrics.
    board: Option<Board>,
    /// Whether runs are shown on a screen, which somebody always looks at.
    has_screen: bool,
    /// `None` if no file is kept up to date.
    period: Option<Duration>,
    /// `None` if no expression is judged during the run.
    judged: Option<Duration>,
    due: Instant,
    viewed: Instant,
}

/// What has to be kept up to date.
pub(super) struct Wanted {
    /// The files to replace.
    pub(super) files: Vec<OutputTarget<ReportFormat>>,
    /// Their maximal age; `None` if they are only written at the end.
    pub(super) interval: Option<Duration>,
    /// The board, which is updated while somebody looks at it.
    pub(super) board: Option<Board>,
    /// The screen, if runs are shown on it.
    pub(super) screen: Option<Screen>,
    /// How often a report is made for judging; `None` if there is nothing to judge.
    pub(super) judged: Option<Duration>,
}

impl Wanted {
    /// What is wrong with it.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Some(interval) = self.interval else { return Ok(()) };
        ensure!(
            !self.files.is_empty(),
            "--snapshot needs a file that can be replaced: name one with --json FILE or --html FILE"
        );
        let least = LEAST_INTERVAL;
        ensure!(interval >= least, "--snapshot `{interval:?}` is too short: give at least {least:?}");
        Ok(())
    }
}

impl Snapshots {
    /// Starts the thread; `make` makes the reports, and `messages` prints errors of writing.
    pub(super) fn start(
        wanted: Wanted,
        messages: Messages,
        make: impl Fn(&[RunRecord]) -> Report + Send + 'static,
    ) -> io::Result<Self> {
        let Wanted { files, interval, board, screen, judged } = wanted;
        let has_screen = screen.is_some();
        let (records, taken) = bounded::<Vec<RunRecord>>(1);
        let is_idle = Arc::new(AtomicBool::new(true));
        let (idle, shown) = (is_idle.clone(), board.clone());
        let files = if interval.is_some() { files } else { Vec::new() };
        let maker = std::thread::Builder::new().name("snapshots".into()).spawn(move || {
            let mut warned = Vec::new();
            for records in taken {
                let mut report = make(&records);
                report.partial = true;
                if let Some(run) = report.runs.last_mut() {
                    run.partial = Some(true);
                }
                let failed = files.iter().filter_map(|file| file.write(&report).err());
                let warnings: Vec<_> = failed.map(|error| format!("warning: {error:#}")).collect();
                // The same again would be no news.
                if warnings != warned {
                    for warning in &warnings {
                        messages.say(warning);
                    }
                    warned = warnings;
                }
                if let Some(board) = &shown {
                    board.show(&report);
                }
                if let Some(screen) = &screen {
                    screen.show(&report);
                }
                idle.store(true, Ordering::Release);
            }
        })?;
        let now = Instant::now();
        // Twice as often as promised, because a report is as old as the beginning of its making and writing.
        let period = interval.map(|interval| interval / 2);
        let (records, maker) = (Some(records), Some(maker));
        Ok(Self { records, maker, is_idle, board, has_screen, period, judged, due: now, viewed: now })
    }

    /// Takes a snapshot if one is due at `now` and the thread is idle.
    pub(super) fn take(&mut self, now: Instant, records: impl FnOnce() -> Vec<RunRecord>) {
        let for_files = self.period.is_some() && now >= self.due;
        let is_looked_at =
            self.judged.is_some() || self.has_screen || self.board.as_ref().is_some_and(Board::is_looked_at);
        let for_viewers = now >= self.viewed && is_looked_at;
        let Some(maker) = self.records.as_ref().filter(|_| for_files || for_viewers) else { return };
        // Only one at a time, so snapshots become rarer if the disk is slow.
        if self.is_idle.swap(false, Ordering::Acquire) {
            // The channel has room, because the thread was idle.
            let _ = maker.try_send(records());
            self.due = now + self.period.unwrap_or_default();
            self.viewed = now + self.judged.unwrap_or(VIEWED);
        }
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.records = None;
        // If the thread panicked, the message has been printed already.
        let _ = self.maker.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::{Outputs, Words};
    use crate::progress::{Progress, Show};
    use crate::record::Environment;

    #[test]
    fn a_file_is_never_older_than_promised() {
        let directory = tempfile::tempdir().unwrap();
        let file = Some(directory.path().join("report.json"));
        let outputs = Outputs::open([(ReportFormat::Json, &file)], Words::Omitted, &[]).unwrap();
        let interval = Duration::from_millis(500);
        let wanted =
            Wanted { files: outputs.replaceable(), interval: Some(interval), board: None, screen: None, judged: None };
        let messages = Progress::new(Show::Nothing, crossbeam::channel::unbounded().0).unwrap().messages();
        let environment = Environment {
            os: String::new(),
            kernel: None,
            cpus: 1,
            processor: None,
            cpu_limit: None,
            wasmtime: String::new(),
            clock_ns: 1.0,
        };
        let make = move |records: &[RunRecord]| Report::new(environment.clone(), records);
        let mut snapshots = Snapshots::start(wanted, messages, make).unwrap();
        let begin = Instant::now();
        let (mut taken, mut last) = (0, begin);
        // Ticks of an imaginary clock, as often as the controller's. Each snapshot is done before the next tick.
        for tick in 0..100 {
            let now = begin + Duration::from_millis(100) * tick;
            snapshots.take(now, || {
                (taken, last) = (taken + 1, now);
                Vec::new()
            });
            while !snapshots.is_idle.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            assert!(now + Duration::from_millis(100) - last < interval, "tick {tick}");
        }
        assert!((30..=50).contains(&taken), "{taken} snapshots in ten seconds");
    }
}
