//! `gorgon compare`: whether one task is slower than another, and whether the difference is more than noise.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::output::{self, Outputs, Words};
use super::{Exit, values};
use crate::input;
use crate::judging::compare::{self, Comparison, ReportSet, Scruples};
use crate::judging::read;
use crate::rendering::{self, html, json, markdown};
use crate::terminal;
use crate::typed;

/// Say whether a task got slower, and whether that is more than noise, from reports on its runs
///
/// Runs of one side are pooled. Each difference comes with an interval that contains the true difference. Its width
/// follows from how much each run varies over time, or from how much the runs differ if a plan was run several times.
/// The median decides; the other intervals are corrected for their number. Notes say what could change the conclusion.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  gorgon run old.wasm -d 30s --json a.json && gorgon run new.wasm -d 30s --json b.json
  gorgon compare a.json b.json
  gorgon compare a1.json,a2.json,a3.json b1.json,b2.json,b3.json     three runs of each
  gorgon compare a.json b.json --fail-if-slower 5% --json -

Exit codes: 0 done, 1 could not compare, 2 wrong usage, 10 --fail-if-slower held")]
pub(super) struct CompareCommand {
    /// The JSON report to compare with; join reports on repeated runs by commas
    #[arg(value_name = "A.json")]
    a: String,

    /// The reports to compare with it
    #[arg(value_name = "B.json", required = true)]
    others: Vec<String>,

    /// Compare even runs whose plans differ, runs that were stopped, and a run with itself
    #[arg(long)]
    force: bool,

    /// Exit with 10 if a median is longer by more than this: its whole interval lies above
    #[arg(long, value_name = "PERCENT", value_parser = share)]
    fail_if_slower: Option<f64>,

    /// Write the comparison as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a page with the same figures, a plot of the intervals, and the runs drawn over each other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write the comparison as Markdown, for the pages of a CI job and for comments
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// Seed of the random numbers; the same seed gives the same intervals
    #[arg(long, value_name = "S", value_parser = values::number::<u64>, default_value_t = 0)]
    seed: u64,
}

impl CompareCommand {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        if let Some(side) = std::iter::once(&self.a).chain(&self.others).find(|side| names(side).contains(&"")) {
            return Ok(Exit::wrong_usage(format!(
                "`{side}` names a file without a name: join the files of a side by commas without blanks, such as \
                 `a1.json,a2.json`"
            )));
        }
        let wanted = [
            (ComparisonFormat::Json, &self.json),
            (ComparisonFormat::Html, &self.html),
            (ComparisonFormat::Markdown, &self.markdown),
        ];
        let files = std::iter::once(&self.a).chain(&self.others).flat_map(|files| names(files));
        let files: Vec<&Path> = files.map(Path::new).collect();
        let outputs = Outputs::open(wanted, Words::Printed, &files)?;
        let a = input(&self.a)?;
        let others: Vec<ReportSet> = self.others.iter().map(|files| input(files)).collect::<anyhow::Result<_>>()?;
        let scruples = if self.force { Scruples::Note } else { Scruples::Refuse };
        let comparison = compare::compare(&a, &others, scruples, self.seed, self.fail_if_slower)?;
        let compared = Compared { comparison, a, others };
        outputs.write(&compared, || rendering::compare::write(&compared.comparison, terminal::stdout()), || {})?;
        Ok(match compared.comparison.fail_if_slower {
            Some(slower) if slower.held => Exit::Failed,
            _ => Exit::Done,
        })
    }
}

/// A comparison and its reports.
struct Compared {
    comparison: Comparison,
    a: ReportSet,
    others: Vec<ReportSet>,
}

/// The formats of a comparison.
#[derive(Clone, Copy)]
enum ComparisonFormat {
    Json,
    Html,
    Markdown,
}

impl output::Format for ComparisonFormat {
    type What = Compared;

    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON comparison",
            Self::Html => "HTML comparison",
            Self::Markdown => "Markdown comparison",
        }
    }

    fn write(self, compared: &Compared, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Json => json::write(&compared.comparison, to),
            Self::Markdown => markdown::compare(&compared.comparison, to),
            Self::Html => to.write_all(compared.page().as_bytes()).and_then(|()| to.flush()),
        }
    }
}

impl Compared {
    /// A page with the comparison, followed by the runs drawn over each other.
    fn page(&self) -> String {
        let inputs = std::iter::once(&self.a).chain(&self.others);
        let reports: Vec<_> =
            inputs.flat_map(|input| &input.reports).map(|(file, report)| (file.as_str(), report)).collect();
        html::compare(&self.comparison, &reports)
    }
}

/// The names in `files`: one, or several joined by commas.
fn names(files: &str) -> Vec<&str> {
    if Path::new(files).exists() { vec![files] } else { files.split(',').collect() }
}

/// The reports in `files`: one file, or several joined by commas.
fn input(files: &str) -> anyhow::Result<ReportSet> {
    let read = |file: &str| {
        let bytes =
            input::read(Path::new(file), read::MOST).with_context(|| format!("cannot read the report `{file}`"))?;
        let report = read::report(&bytes).with_context(|| format!("cannot compare `{file}`"))?;
        Ok((file.to_owned(), report))
    };
    Ok(ReportSet { reports: names(files).into_iter().map(read).collect::<anyhow::Result<_>>()? })
}

/// Parses a percentage as a share.
fn share(text: &str) -> Result<f64, String> {
    let given = typed::ungrouped(text).map_err(|comma| comma.to_string())?;
    let percent = given.strip_suffix('%').and_then(|percent| typed::decimal(percent).ok());
    let share = percent.map(|percent| percent / 100.0);
    share.ok_or_else(|| "write a share in percent, such as `5%`".into())
}
