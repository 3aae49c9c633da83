//! `gorgon report`: render a report again.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;

use super::Exit;
use super::output::{FileFlags, Outputs};
use crate::report::{Report, SCHEMA};

/// Render a JSON report again, as text or as anything that a run writes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon report run.json                       the small report
  gorgon report run.json --html run.html       the page, as the run would have written it
  gorgon report run.json --quiet --csv run.csv --junit run.xml")]
pub(super) struct Render {
    /// A report that --json has written
    #[arg(value_name = "RUN.json")]
    file: PathBuf,

    #[command(flatten)]
    files: FileFlags,

    /// Do not print the small report
    #[arg(short, long)]
    quiet: bool,
}

impl Render {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let outputs = Outputs::open(&self.files, self.quiet)?;
        outputs.write(&read(&self.file)?)?;
        Ok(Exit::Done)
    }
}

/// The report in a file.
pub(super) fn read(path: &std::path::Path) -> anyhow::Result<Report> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read the report `{shown}`"))?;
    let json: serde_json::Value = serde_json::from_reader(BufReader::new(file))
        .with_context(|| format!("`{shown}` is no report: it is not JSON; name a file that --json has written"))?;
    let schema = json["schema"].as_str().unwrap_or("none").to_owned();
    ensure!(
        schema == SCHEMA,
        "`{shown}` is no report that this gorgon reads: its schema is `{schema}`, not `{SCHEMA}`"
    );
    serde_json::from_value(json).with_context(|| format!("`{shown}` is no whole report"))
}
