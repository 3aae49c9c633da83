//! `gorgon report`: renders a report again, and judges it again.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use super::boxes::{ServerFlags, server_of};
use super::judge::{self, FailFlags};
use super::output::{FileFlags, Words};
use super::report::report;
use super::runs::find;
use super::{Exit, command};
use crate::controller::Fleet;
use crate::input;
use crate::judging::read;
use crate::report::Report;

/// Render a JSON report again, as text or in any format that a run writes, or judge it again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon report run.json                       the text report
  gorgon report run.json --html run.html       the page, as the run would have written it
  gorgon report run.json --quiet --csv run.csv --junit run.xml
  gorgon report run.json --fail-if 'p99>250ms'   other verdicts on the same figures
  gorgon report --journal 5f0c9e4b1a2d3c77 --on nats://HOST:4222    what a run over boxes has written so far

Exit codes: 0 done, 1 could not read or write, 2 wrong usage; with --fail-if also 10 if one held or could not be judged,
or if no operation was ok, and 11 if operations of the run were lost")]
pub(super) struct RenderCommand {
    /// A report from --json
    #[arg(value_name = "RUN.json", required_unless_present = "journal")]
    file: Option<PathBuf>,

    /// Read the journal of this run over boxes, which may still go on, instead of a file
    #[arg(long, value_name = "RUN", conflicts_with = "file", help_heading = "Boxes")]
    journal: Option<String>,

    /// The NATS server with the journal [such as nats://HOST:4222; default: $GORGON_ON]
    #[arg(long, value_name = "URL", requires = "journal", help_heading = "Boxes")]
    on: Option<String>,

    /// The file with the key of the run [default: where this user's commands keep theirs]
    #[arg(long, value_name = "FILE", requires = "journal", help_heading = "Boxes")]
    run_key: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Boxes")]
    server: ServerFlags,

    #[command(flatten)]
    files: FileFlags,

    #[command(flatten)]
    fail: FailFlags,

    /// Print errors and failed verdicts only
    #[arg(short, long)]
    quiet: bool,
}

impl RenderCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let inputs: Vec<&Path> = self.file.iter().map(PathBuf::as_path).collect();
        let outputs = self.files.open(if self.quiet { Words::Omitted } else { Words::Printed }, &inputs)?;
        let (mut report, shown) = match (&self.file, &self.journal) {
            (Some(file), _) => {
                let shown = file.display();
                let bytes =
                    input::read(file, read::MOST).with_context(|| format!("cannot read the report `{shown}`"))?;
                (read::report(&bytes).with_context(|| format!("cannot render `{shown}`"))?, shown.to_string())
            }
            (None, Some(command)) => {
                let Some(server) = server_of(self.on.clone(), &self.server) else { return Ok(Exit::no_server()) };
                find(&server.connect("report")?, command)?;
                let key = command::key_of(command, self.run_key.as_deref())?;
                let (records, has_ended) = Fleet::records(&server, command, &key)?;
                ensure!(!records.is_empty(), "no run of the command `{command}` has begun");
                let report = report(&records);
                (Report { partial: report.partial || !has_ended, ..report }, command.clone())
            }
            (None, None) => return Ok(Exit::wrong_usage("which report? Name its file, or --journal RUN")),
        };
        let is_judged = !self.fail.fail_if.is_empty();
        if is_judged {
            ensure!(!report.runs.is_empty(), "`{shown}` has no run: nothing can be judged");
            judge::warn(&self.fail.fail_if);
            if report.partial {
                super::say(&format!(
                    "warning: `{shown}` is partial, as a run did not reach the end of its plan: its figures until then \
                     are judged"
                ));
            }
            let runs = report.runs.iter().enumerate();
            report.verdicts = runs.flat_map(|(i, run)| self.fail.judge(i, run)).collect();
        }
        outputs.write_report(&report, self.files.detail(), || {})?;
        Ok(if is_judged { Exit::of(&report) } else { Exit::Done })
    }
}
