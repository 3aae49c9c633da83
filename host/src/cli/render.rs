//! `gorgon report`: renders a report again.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use super::Exit;
use super::output::{FileFlags, Words};
use crate::judging::read;

/// Render a JSON report again, as text or in any format that a run writes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon report run.json                       the text report
  gorgon report run.json --html run.html       the page, as the run would have written it
  gorgon report run.json --quiet --csv run.csv --junit run.xml")]
pub(super) struct RenderCommand {
    /// A report from --json
    #[arg(value_name = "RUN.json")]
    file: PathBuf,

    #[command(flatten)]
    files: FileFlags,

    /// Do not print the text report
    #[arg(short, long)]
    quiet: bool,
}

impl RenderCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let outputs = self.files.open(if self.quiet { Words::Omitted } else { Words::Printed }, &[&self.file])?;
        let shown = self.file.display();
        let bytes = std::fs::read(&self.file).with_context(|| format!("cannot read the report `{shown}`"))?;
        let report = read::report(&bytes).with_context(|| format!("cannot render `{shown}`"))?;
        outputs.write_report(&report, || {})?;
        Ok(Exit::Done)
    }
}
