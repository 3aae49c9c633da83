//! Writes reports, search results and comparisons. Places that cannot be written are found before the run, so that no
//! results are lost.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use tempfile::NamedTempFile;

use crate::fault;
use crate::guest_text::line;
use crate::rendering::text::{self, Detail, SpanRows};
use crate::rendering::{csv, hlog, html, json, junit, markdown};
use crate::report::{Report, words};
use crate::terminal;

/// A format for files, as opposed to the text for people.
pub(super) trait Format: Copy {
    /// The value that is written.
    type What;

    /// The name in error messages, such as `JSON report`.
    fn name(self) -> &'static str;

    fn write(self, what: &Self::What, to: &mut dyn Write) -> io::Result<()>;
}

/// The formats of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportFormat {
    Json,
    Html,
    Csv,
    Hlog,
    Junit,
    Markdown,
}

/// Whether the report for people is printed on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Words {
    Printed,
    Omitted,
}

/// The files that a report is written to.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct FileFlags {
    /// Write the whole report as JSON; - is stdout
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write the report as a page for a browser: one file that opens offline
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Write results and timeline as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Write an HdrHistogram log: a histogram for each interval
    #[arg(long, value_name = "FILE")]
    hlog: Option<PathBuf>,

    /// Write verdicts as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write a summary as Markdown, for the pages of a CI job and for comments
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,

    /// In the text report, show the spans of each result beneath it, instead of those of all results together
    #[arg(long)]
    by_result: bool,

    /// In the text report, draw how the durations are distributed
    #[arg(long)]
    histogram: bool,
}

/// All files that a command writes for one value.
pub(super) struct Outputs<F> {
    files: Vec<OutputTarget<F>>,
    words: Words,
}

/// One format and its place.
#[derive(Clone)]
pub(super) struct OutputTarget<F> {
    format: F,
    place: Sink,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sink {
    Stdout,
    /// Written beside the file and then renamed, so that the file is never incomplete.
    Replacing(PathBuf),
    /// Written in place: a device, a pipe, or a file in a directory that cannot be written.
    Overwriting(PathBuf),
}

impl Format for ReportFormat {
    type What = Report;

    fn write(self, report: &Report, to: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Json => json::write(report, to),
            Self::Html => html::write(report, to),
            Self::Csv => csv::write(report, to),
            Self::Hlog => hlog::write(report, to),
            Self::Junit => junit::write(report, to),
            Self::Markdown => markdown::report(report, to),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON report",
            Self::Html => "HTML report",
            Self::Csv => "CSV report",
            Self::Hlog => "histogram log",
            Self::Junit => "JUnit report",
            Self::Markdown => "Markdown summary",
        }
    }
}

impl FileFlags {
    /// Whether one of the files is stdout.
    pub(super) fn take_stdout(&self) -> bool {
        let Self { json, html, csv, hlog, junit, markdown, by_result: _, histogram: _ } = self;
        [json, html, csv, hlog, junit, markdown].into_iter().flatten().any(|path| path == Path::new("-"))
    }

    /// The file of the JSON report.
    pub(super) fn json_path(&self) -> Option<&Path> {
        self.json.as_deref()
    }

    /// Makes sure that all files can be written, and that none of them is one of `inputs`. `-` is stdout.
    pub(super) fn open(&self, words: Words, inputs: &[&Path]) -> anyhow::Result<Outputs<ReportFormat>> {
        let Self { json, html, csv, hlog, junit, markdown, by_result: _, histogram: _ } = self;
        // Ordered by importance: the first ones are written first.
        let wanted = [
            (ReportFormat::Json, json),
            (ReportFormat::Csv, csv),
            (ReportFormat::Hlog, hlog),
            (ReportFormat::Junit, junit),
            (ReportFormat::Markdown, markdown),
            (ReportFormat::Html, html),
        ];
        Outputs::open(wanted, words, inputs)
    }
}

impl FileFlags {
    /// What the text report shows.
    pub(super) fn detail(&self) -> Detail {
        let spans = if self.by_result { SpanRows::ByResult } else { SpanRows::Together };
        Detail { spans, histogram: self.histogram, columns: terminal::columns() }
    }
}

impl Outputs<ReportFormat> {
    /// The files that can be kept up to date during a run: whole files that can be replaced, in formats for following a
    /// run.
    pub(super) fn replaceable(&self) -> Vec<OutputTarget<ReportFormat>> {
        let can = |output: &&OutputTarget<_>| {
            matches!(output.format, ReportFormat::Json | ReportFormat::Html)
                && matches!(output.place, Sink::Replacing(_))
        };
        self.files.iter().filter(can).cloned().collect()
    }

    /// Writes the files, and the text report to stdout; see [`Self::write`]. Without the text, the verdicts that failed
    /// go to stderr.
    pub(super) fn write_report(&self, report: &Report, detail: Detail, may_wait: impl FnOnce()) -> anyhow::Result<()> {
        let written = self.write(report, || text::write(report, detail, terminal::stdout()), may_wait);
        if self.words == Words::Omitted || self.files.iter().any(|output| output.place == Sink::Stdout) {
            for verdict in report.verdicts.iter().filter(|verdict| verdict.failed) {
                super::say(&format!("failed: {}", words::verdict(verdict, report).text(line)));
            }
        }
        written
    }
}

impl<F: Format> Outputs<F> {
    /// Makes sure that all files can be written, and that none of them is one of `inputs`. `-` is stdout.
    pub(super) fn open<'a>(
        wanted: impl IntoIterator<Item = (F, &'a Option<PathBuf>)>,
        words: Words,
        inputs: &[&Path],
    ) -> anyhow::Result<Self> {
        let wanted = wanted.into_iter().filter_map(|(format, path)| Some((format, path.as_deref()?)));
        let files = wanted.map(|(format, path)| OutputTarget::open(format, path)).collect::<Result<Vec<_>, _>>()?;
        for (i, output) in files.iter().enumerate() {
            let same = files[..i].iter().find(|other| other.place == output.place && !output.is_in_place());
            let twice = |other: &OutputTarget<F>| {
                format!("{} and {} would go to the same place", other.format.name(), output.format.name())
            };
            ensure!(same.is_none(), "{}: name another file for one of them", same.map(twice).unwrap_or_default());
        }
        for (output, input) in files.iter().flat_map(|output| inputs.iter().map(move |input| (output, input))) {
            ensure!(
                !output.would_replace(input),
                "the {} would replace `{}`, which the command reads: name another file",
                output.format.name(),
                input.display()
            );
        }
        Ok(Self { files, words })
    }

    /// Writes the files, and `words` to stdout, unless a file is written there or `--quiet` is set. An error in one
    /// file does not prevent the others.
    ///
    /// Regular files come first, because they do not wait for a reader. Then `write` calls `may_wait`, and writes
    /// stdout, pipes and devices.
    pub(super) fn write(
        &self,
        what: &F::What,
        words: impl FnOnce() -> io::Result<()>,
        may_wait: impl FnOnce(),
    ) -> anyhow::Result<()> {
        let (in_place, regular): (Vec<_>, Vec<_>) = self.files.iter().partition(|output| output.is_in_place());
        let mut errors: Vec<_> = regular.iter().filter_map(|output| output.write(what).err()).collect();
        may_wait();
        let taken = self.files.iter().find(|output| output.place == Sink::Stdout);
        let written = match (taken, self.words) {
            (Some(output), _) => output.format.write(what, &mut io::stdout().lock()),
            (_, Words::Printed) => words(),
            (_, Words::Omitted) => Ok(()),
        };
        errors.extend(ignore_closed(written).context("cannot write to stdout").err());
        errors.extend(in_place.iter().filter_map(|output| output.write(what).err()));
        let Some(last) = errors.pop() else { return Ok(()) };
        for error in &errors {
            super::say(&format!("{error:#}"));
        }
        Err(last)
    }
}

impl<F: Format> OutputTarget<F> {
    fn open(format: F, path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { format, place: Sink::Stdout });
        }
        let failed = || cannot_write(format, path);
        let is_meant_as_directory = path.as_os_str().as_bytes().ends_with(b"/");
        ensure!(!path.is_dir() && !is_meant_as_directory, "{}: that is a directory, name a file", failed());
        let real = real(path);
        let is_special = fs::metadata(&real).is_ok_and(|metadata| !metadata.is_file());
        if is_special {
            return Ok(Self { format, place: Sink::Overwriting(real) });
        }
        let directory = directory_of(&real);
        ensure!(directory.is_dir(), "{}: there is no directory `{}`", failed(), directory.display());
        match temporary_in(directory) {
            // The temporary file is removed at once, so nothing is left behind if this process dies.
            Ok(_) => Ok(Self { format, place: Sink::Replacing(real) }),
            Err(_) if File::options().append(true).open(&real).is_ok() => {
                Ok(Self { format, place: Sink::Overwriting(real) })
            }
            // The error itself names the temporary file, which the user does not know.
            Err(error) => Err(anyhow!(fault::plain(&error))).with_context(failed),
        }
    }

    fn would_replace(&self, input: &Path) -> bool {
        match &self.place {
            Sink::Replacing(path) => fs::canonicalize(input).is_ok_and(|input| input == *path),
            Sink::Stdout | Sink::Overwriting(_) => false,
        }
    }

    fn is_in_place(&self) -> bool {
        matches!(self.place, Sink::Overwriting(_))
    }

    /// Writes the file; stdout is written elsewhere.
    pub(super) fn write(&self, what: &F::What) -> anyhow::Result<()> {
        let (written, path) = match &self.place {
            Sink::Stdout => return Ok(()),
            Sink::Replacing(path) => (self.replace(path, what), path),
            Sink::Overwriting(path) => {
                let file = File::options().write(true).truncate(true).open(path);
                (file.and_then(|file| self.format.write(what, &mut BufWriter::new(file))), path)
            }
        };
        written.with_context(|| cannot_write(self.format, path))
    }

    fn replace(&self, path: &Path, what: &F::What) -> io::Result<()> {
        let temporary = temporary_in(directory_of(path))?;
        self.format.write(what, &mut BufWriter::new(temporary.as_file()))?;
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// The one path of a file, which need not be there. The target of a link is replaced, not the link.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    let target = fs::read_link(path).map(|target| directory_of(path).join(target));
    let path = target.unwrap_or_else(|_| path.to_owned());
    let directory = fs::canonicalize(directory_of(&path));
    directory.ok().and_then(|directory| Some(directory.join(path.file_name()?))).unwrap_or(path)
}

fn temporary_in(directory: &Path) -> io::Result<NamedTempFile> {
    let permissions = PermissionsExt::from_mode(0o644);
    tempfile::Builder::new().prefix(".gorgon-").permissions(permissions).tempfile_in(directory)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot_write(format: impl Format, path: &Path) -> String {
    format!("cannot write the {} to `{}`", format.name(), path.display())
}

/// A reader that closes the pipe early, such as `head`, is not an error.
pub(super) fn ignore_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
