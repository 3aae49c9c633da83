//! `gorgon report`: renders a report again, and judges it again.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;

use super::Exit;
use super::judge::{self, FailFlags};
use super::output::{FileFlags, Words};
use crate::input;
use crate::judging::read;

/// Render a JSON report again, as text or in any format that a run writes, or judge it again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon report run.json                       the text report
  gorgon report run.json --html run.html       the page, as the run would have written it
  gorgon report run.json --quiet --csv run.csv --junit run.xml
  gorgon report run.json --fail-if 'p99>250ms'   other verdicts on the same figures

Exit codes: 0 done, 1 could not read or write, 2 wrong usage; with --fail-if also 10 if one held or could not be judged,
or if no operation was ok, and 11 if operations of the run were lost")]
pub(super) struct RenderCommand {
    /// A report from --json
    #[arg(value_name = "RUN.json")]
    file: PathBuf,

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
        let outputs = self.files.open(if self.quiet { Words::Omitted } else { Words::Printed }, &[&self.file])?;
        let shown = self.file.display();
        let bytes = input::read(&self.file, read::MOST).with_context(|| format!("cannot read the report `{shown}`"))?;
        let mut report = read::report(&bytes).with_context(|| format!("cannot render `{shown}`"))?;
        let is_judged = !self.fail.fail_if.is_empty();
        if is_judged {
            ensure!(!report.runs.is_empty(), "`{shown}` has no run: nothing can be judged");
            judge::warn(&self.fail.fail_if);
            if report.partial {
                let partial = "is partial, because its run was stopped: its figures until then are judged";
                super::say(&format!("warning: `{shown}` {partial}"));
            }
            let runs = report.runs.iter().enumerate();
            report.verdicts = runs.flat_map(|(i, run)| self.fail.judge(i, run)).collect();
        }
        outputs.write_report(&report, self.files.spans(), || {})?;
        Ok(if is_judged { Exit::of(&report) } else { Exit::Done })
    }
}
