//! What follows the runs of a session as a stream: intervals for scripts (`--json-lines`), and an OpenTelemetry
//! collector (`--otlp`).

use std::env::VarError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use crossbeam::channel::Receiver;

use super::intervals::Intervals;
use crate::input;
use crate::otlp::{self, Endpoint, Exporter};
use crate::report::Report;
use crate::trace::TracedOperation;

/// The variable with the headers for a collector, such as its token.
const OTLP_HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

#[derive(Debug, Args)]
pub(super) struct StreamFlags {
    /// Write a JSON object for each interval while the run goes on; - is stdout
    #[arg(long, value_name = "FILE")]
    json_lines: Option<PathBuf>,

    /// Send figures, and traces of operations, to an OpenTelemetry collector by OTLP over HTTP [such as
    /// http://127.0.0.1:4318]
    #[arg(long, value_name = "URL")]
    otlp: Option<Endpoint>,
}

/// The streams of a session.
#[derive(Clone)]
pub(super) struct Streams {
    intervals: Option<Intervals>,
    exporter: Option<Exporter>,
}

impl StreamFlags {
    /// Whether intervals are written to stdout.
    pub(super) fn take_stdout(&self) -> bool {
        self.json_lines.as_deref() == Some(Path::new("-"))
    }

    /// Opens the streams. No file is one of `inputs`.
    pub(super) fn open(&self, inputs: &[&Path]) -> anyhow::Result<Streams> {
        let intervals = self.json_lines.as_deref().map(|path| Intervals::open(path, inputs)).transpose()?;
        let exporter = self.otlp.as_ref().map(|endpoint| {
            let headers = match input::variable(OTLP_HEADERS) {
                Err(VarError::NotUnicode(_)) => {
                    return Err(anyhow!("{OTLP_HEADERS} is not UTF-8: write values as in URLs"));
                }
                headers => headers.unwrap_or_default(),
            };
            let headers = otlp::headers(&headers).map_err(|problem| anyhow!("{OTLP_HEADERS}: {problem}"))?;
            Exporter::start(endpoint.clone(), headers).context("cannot send to a collector")
        });
        Ok(Streams { intervals, exporter: exporter.transpose()? })
    }
}

impl Streams {
    /// Whether anything follows the runs.
    pub(super) fn are_followed(&self) -> bool {
        self.intervals.is_some() || self.exporter.is_some()
    }

    /// Whether traces go anywhere.
    pub(super) fn take_traces(&self) -> bool {
        self.exporter.is_some()
    }

    /// Goes on with a report on runs that go on.
    pub(super) fn follow(&self, report: &Report) {
        if let Some(intervals) = &self.intervals {
            intervals.follow(report);
        }
        if let Some(exporter) = &self.exporter {
            exporter.follow(report);
        }
    }

    /// Goes on with traced operations of `task`.
    pub(super) fn traced(&self, task: &Arc<str>, traced: &[TracedOperation]) {
        if let Some(exporter) = &self.exporter {
            exporter.traced(task, traced);
        }
    }

    /// Ends with the last report. A collector that did not take everything is told of, and fails nothing.
    ///
    /// It may be waited for, until `stop`, so reports are written before that.
    pub(super) fn end(self, report: &Report, stop: &Receiver<()>) -> anyhow::Result<()> {
        let ended = self.intervals.map_or(Ok(()), |intervals| intervals.end(report));
        if let Some(problem) = self.exporter.and_then(|exporter| exporter.end(report, super::tell, stop)) {
            super::say(&format!("warning: {problem}"));
        }
        ended
    }
}
