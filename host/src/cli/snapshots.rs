//! What is known of a run that goes on, for whoever looks at it meanwhile: files that are kept up to date, and viewers.
//!
//! Reports are made on a thread of their own, so that the run never waits for a disk or a browser.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::ensure;
use crossbeam::channel::{Sender, bounded};

use super::output::{Output, ReportFormat};
use crate::live::Board;
use crate::record::RunRecord;
use crate::report::Report;

/// A run is looked at ten times a second, and what it looks at is as much older.
const LEAST_INTERVAL: Duration = Duration::from_millis(400);

/// How often viewers are shown something new; making a report of a long run takes a tenth of a second of a processor.
const VIEWED: Duration = Duration::from_secs(1);

/// What keeps files and viewers up to date.
pub(super) struct Snapshots {
    /// None when it has ended.
    records: Option<Sender<Vec<RunRecord>>>,
    maker: Option<JoinHandle<()>>,
    /// Whether the last one is made.
    is_idle: Arc<AtomicBool>,
    /// Where viewers look; none where nobody can.
    board: Option<Board>,
    /// None where no file is kept up to date.
    period: Option<Duration>,
    /// None where nobody judges the run while it goes on.
    judged: Option<Duration>,
    due: Instant,
    viewed: Instant,
}

/// Who wants to know of a run that goes on.
pub(super) struct Wanted {
    /// Files that can be replaced.
    pub(super) files: Vec<Output<ReportFormat>>,
    /// How old they may be; none where they are written at the end alone.
    pub(super) interval: Option<Duration>,
    /// Where viewers look; kept up to date while somebody does.
    pub(super) board: Option<Board>,
    /// How often a report is made to be judged, and nothing else.
    pub(super) judged: Option<Duration>,
}

impl Snapshots {
    /// Keeps up to date what is wanted; `make` makes the reports.
    pub(super) fn start(
        wanted: Wanted,
        make: impl Fn(&[RunRecord]) -> Report + Send + 'static,
    ) -> anyhow::Result<Self> {
        let Wanted { files, interval, board, judged } = wanted;
        if let Some(interval) = interval {
            ensure!(
                !files.is_empty(),
                "--snapshot needs a file that can be replaced: name one by --json FILE or --html FILE"
            );
            let least = LEAST_INTERVAL;
            ensure!(interval >= least, "--snapshot `{interval:?}` is too often: give at least {least:?}");
        }
        let (records, taken) = bounded::<Vec<RunRecord>>(1);
        let is_idle = Arc::new(AtomicBool::new(true));
        let (idle, shown) = (is_idle.clone(), board.clone());
        let files = if interval.is_some() { files } else { Vec::new() };
        let maker = std::thread::Builder::new().name("snapshots".into()).spawn(move || {
            for records in taken {
                let mut report = make(&records);
                report.partial = true;
                for error in files.iter().filter_map(|file| file.write(&report).err()) {
                    anstream::eprintln!("warning: {error:#}");
                }
                if let Some(board) = &shown {
                    board.show(&report);
                }
                idle.store(true, Ordering::Release);
            }
        })?;
        let now = Instant::now();
        // Twice as often as promised: a report takes time to be made and written, and it is as old as its beginning.
        let period = interval.map(|interval| interval / 2);
        let (records, maker) = (Some(records), Some(maker));
        Ok(Self { records, maker, is_idle, board, period, judged, due: now, viewed: now })
    }

    /// Takes a snapshot where one is due and the last one is made.
    pub(super) fn take(&mut self, records: impl FnOnce() -> Vec<RunRecord>) {
        let now = Instant::now();
        let for_files = self.period.is_some() && now >= self.due;
        let is_looked_at = self.judged.is_some() || self.board.as_ref().is_some_and(Board::is_looked_at);
        let for_viewers = now >= self.viewed && is_looked_at;
        let Some(maker) = self.records.as_ref().filter(|_| for_files || for_viewers) else { return };
        // One at a time: where the disk is slow, the next one is taken later.
        if self.is_idle.swap(false, Ordering::Acquire) {
            // There is room: it is idle.
            let _ = maker.try_send(records());
            self.due = now + self.period.unwrap_or_default();
            self.viewed = now + self.judged.unwrap_or(VIEWED);
        }
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.records = None;
        // A panic of its thread has said what it had to say.
        let _ = self.maker.take().map(JoinHandle::join);
    }
}
