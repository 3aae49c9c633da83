//! Where a report goes. A place that cannot be written is found before the run, so that no run is lost by it.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use crossbeam::channel::{Sender, bounded};
use tempfile::NamedTempFile;

use super::report::report;
use crate::report::{Environment, Report, RunRecord, json, text};

/// A run is looked at ten times a second, and what it looks at is as much older.
const LEAST_INTERVAL: Duration = Duration::from_millis(400);

/// The reports that a command writes.
pub(super) struct Outputs {
    json: Option<JsonTo>,
    quiet: bool,
}

#[derive(Clone)]
enum JsonTo {
    Stdout,
    /// Written beside the file and renamed, so that the file is never half a report.
    Replacing(PathBuf),
    /// Written in place: a device, a pipe, or a file in a directory that nothing can be added to.
    InPlace(PathBuf),
}

impl Outputs {
    /// Makes sure that everything can be written. `-` is stdout.
    pub(super) fn open(json: Option<&Path>, quiet: bool) -> anyhow::Result<Self> {
        Ok(Self { json: json.map(JsonTo::open).transpose()?, quiet })
    }

    /// Writes the reports: the small one to stdout, unless stdout is taken or nobody wants it.
    pub(super) fn write(self, report: &Report) -> anyhow::Result<()> {
        // The small one first: it is there whatever becomes of the file.
        let written = match (&self.json, self.quiet) {
            (Some(JsonTo::Stdout), _) => json::write(report, io::stdout().lock()),
            (_, false) => text::write(report, anstream::stdout().lock()),
            (_, true) => Ok(()),
        };
        ignore_closed(written).context("cannot write the report to stdout")?;
        self.json.map_or(Ok(()), |json| json.write(report))
    }

    /// Keeps the JSON report up to date, so that it is never older than `interval`.
    pub(super) fn snapshots(&self, interval: Duration) -> anyhow::Result<Snapshots> {
        match &self.json {
            Some(json @ JsonTo::Replacing(_)) => Snapshots::start(json.clone(), interval),
            _ => anyhow::bail!("--snapshot needs a file that can be replaced: name one by --json FILE"),
        }
    }
}

impl JsonTo {
    fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let failed = || cannot_write(path);
        ensure!(!path.is_dir(), "{}: it is a directory", failed());
        // What a link leads to is written, not the link.
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_special = fs::metadata(&real).is_ok_and(|metadata| !metadata.is_file());
        if is_special {
            return Ok(Self::InPlace(real));
        }
        let directory = directory_of(&real);
        ensure!(directory.is_dir(), "{}: there is no directory `{}`", failed(), directory.display());
        match temporary_in(directory) {
            // Removed at once: whatever ends this process, nothing is left behind.
            Ok(_) => Ok(Self::Replacing(real)),
            Err(_) if File::options().append(true).open(&real).is_ok() => Ok(Self::InPlace(real)),
            // Its own message names the temporary file, which is no file of the user's.
            Err(error) => Err(io::Error::from(error.kind())).with_context(failed),
        }
    }

    fn write(&self, report: &Report) -> anyhow::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::Replacing(path) => replace(path, report).with_context(|| cannot_write(path)),
            Self::InPlace(path) => {
                let file = File::options().write(true).truncate(true).open(path);
                let written = file.and_then(|file| json::write(report, BufWriter::new(file)));
                written.with_context(|| cannot_write(path))
            }
        }
    }
}

fn replace(path: &Path, report: &Report) -> io::Result<()> {
    let temporary = temporary_in(directory_of(path))?;
    json::write(report, BufWriter::new(temporary.as_file()))?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn temporary_in(directory: &Path) -> io::Result<NamedTempFile> {
    let permissions = PermissionsExt::from_mode(0o644);
    tempfile::Builder::new().prefix(".gorgon-").permissions(permissions).tempfile_in(directory)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the JSON report to `{}`", path.display())
}

/// Writes what is known of a run that goes on, on a thread of its own, so that the run never waits for a disk.
pub(super) struct Snapshots {
    /// None when it has ended.
    records: Option<Sender<Vec<RunRecord>>>,
    writer: Option<JoinHandle<()>>,
    /// Whether the last one is written.
    is_idle: Arc<AtomicBool>,
    period: Duration,
    due: Instant,
}

impl Snapshots {
    fn start(to: JsonTo, interval: Duration) -> anyhow::Result<Self> {
        ensure!(interval >= LEAST_INTERVAL, "--snapshot `{interval:?}` is too often: give at least {LEAST_INTERVAL:?}");
        let (records, taken) = bounded::<Vec<RunRecord>>(1);
        let is_idle = Arc::new(AtomicBool::new(true));
        let idle = is_idle.clone();
        let writer = std::thread::Builder::new().name("snapshots".into()).spawn(move || {
            let environment = Environment::here();
            for records in taken {
                let mut report = report(environment.clone(), &records);
                report.partial = true;
                if let Err(error) = to.write(&report) {
                    anstream::eprintln!("warning: {error:#}");
                }
                idle.store(true, Ordering::Release);
            }
        })?;
        // Twice as often as promised: a report takes time to be made and written, and it is as old as its beginning.
        Ok(Self { records: Some(records), writer: Some(writer), is_idle, period: interval / 2, due: Instant::now() })
    }

    /// Takes a snapshot where one is due and the last one is written.
    pub(super) fn take(&mut self, records: impl FnOnce() -> Vec<RunRecord>) {
        let now = Instant::now();
        // One at a time: where the disk is slow, the next one is taken later.
        let Some(writer) = self.records.as_ref().filter(|_| now >= self.due) else { return };
        if self.is_idle.swap(false, Ordering::Acquire) {
            // There is room: it is idle.
            let _ = writer.try_send(records());
            self.due = now + self.period;
        }
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.records = None;
        // A panic of its thread has said what it had to say.
        let _ = self.writer.take().map(JoinHandle::join);
    }
}

/// A reader that has seen enough, such as `head`, is no error.
pub(super) fn ignore_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
