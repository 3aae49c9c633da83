//! `--json-lines`: an object for each interval of a run, as soon as nothing in it can change any more.

use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Serialize;

use super::output::ignore_closed;
use crate::report::{BucketReport, Report, RunReport};

/// The format of a line.
const SCHEMA: &str = "gorgon.interval/1";

/// How long after an interval workers of this machine may still report operations that ended in it.
const HERE: Duration = Duration::from_secs(2);

/// The same for boxes, whose links may be cut for some seconds.
const ON_BOXES: Duration = Duration::from_secs(8);

/// A file with a line for each interval.
#[derive(Clone)]
pub(super) struct Intervals(Arc<Mutex<Lines>>);

struct Lines {
    path: PathBuf,
    to: Box<dyn Write + Send>,
    /// The end of the last interval of each run that was written, in nanoseconds since its beginning.
    written: Vec<u64>,
    /// Why no more is written.
    failed: Option<io::Error>,
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    /// The index of the run.
    run: usize,
    /// Its name in a suite.
    name: Option<&'a str>,
    #[serde(flatten)]
    interval: &'a BucketReport,
}

impl Intervals {
    /// Makes the file, which is none of `inputs`; `-` is stdout.
    pub(super) fn open(path: &Path, inputs: &[&Path]) -> anyhow::Result<Self> {
        let is_same = |input: &&&Path| {
            std::fs::canonicalize(input).is_ok_and(|of| std::fs::canonicalize(path).is_ok_and(|to| to == of))
        };
        if let Some(input) = inputs.iter().find(is_same) {
            let input = input.display();
            bail!("the intervals would replace `{input}`, which the command reads: name another file (--json-lines)");
        }
        let to: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            let file = File::create(path);
            let file = file.with_context(|| format!("cannot write the intervals to `{}`", path.display()))?;
            Box::new(LineWriter::new(file))
        };
        Ok(Self(Arc::new(Mutex::new(Lines { path: path.to_owned(), to, written: Vec::new(), failed: None }))))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Nothing that holds the lock can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the intervals of which this report on runs that go on knows everything.
    pub(super) fn follow(&self, report: &Report) {
        let mut lines = self.lock();
        let last = report.runs.len().saturating_sub(1);
        for (i, run) in report.runs.iter().enumerate() {
            let margin = if run.boxes.is_empty() { HERE } else { ON_BOXES };
            let margin = u64::try_from(margin.as_nanos()).unwrap_or(u64::MAX);
            // Intervals that may grow together are written together.
            let pair = 2 * run.timeline.interval_ns.max(1);
            let settled = run.elapsed_ns.saturating_sub(margin) / pair * pair;
            lines.write(i, run, if i < last { u64::MAX } else { settled });
        }
    }

    /// Writes the intervals that are left of the last report.
    pub(super) fn end(&self, report: &Report) -> anyhow::Result<()> {
        let mut lines = self.lock();
        for (i, run) in report.runs.iter().enumerate() {
            lines.write(i, run, u64::MAX);
        }
        let flushed = lines.failed.take().map_or_else(|| lines.to.flush(), Err);
        ignore_closed(flushed).with_context(|| format!("cannot write the intervals to `{}`", lines.path.display()))
    }
}

impl Lines {
    /// Writes the intervals of a run that end by `until` and have not been written.
    fn write(&mut self, run: usize, of: &RunReport, until: u64) {
        self.written.resize(self.written.len().max(run + 1), 0);
        let interval_ns = of.timeline.interval_ns;
        for interval in &of.timeline.buckets {
            let end = interval.start_ns + interval_ns;
            // In a long run intervals grow together: one that begins before the last one ended is not new.
            if interval.start_ns < self.written[run] || end > until || self.failed.is_some() {
                continue;
            }
            self.written[run] = end;
            let line = Line { schema: SCHEMA, run, name: of.name.as_deref(), interval };
            let written = serde_json::to_string(&line).map_err(io::Error::from);
            self.failed = written.and_then(|line| writeln!(self.to, "{line}")).err();
        }
    }
}
