//! Where a report goes. A place that cannot be written is found before the run, so that no run is lost by it.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::NamedTempFile;

use crate::report::{Report, json, text};

/// The reports that a command writes.
pub(super) struct Outputs {
    json: Option<JsonTo>,
    quiet: bool,
}

enum JsonTo {
    Stdout,
    /// Written beside the file and renamed, so that the file is never half a report.
    File {
        path: PathBuf,
        temporary: NamedTempFile,
    },
}

impl Outputs {
    /// Opens what can be opened now. `-` is stdout.
    pub(super) fn open(json: Option<&Path>, quiet: bool) -> anyhow::Result<Self> {
        let json = json.map(|path| if path == Path::new("-") { Ok(JsonTo::Stdout) } else { JsonTo::open(path) });
        Ok(Self { json: json.transpose()?, quiet })
    }

    /// Writes the reports: the small one to stdout, unless stdout is taken or nobody wants it.
    pub(super) fn write(self, report: &Report) -> anyhow::Result<()> {
        let to_stdout = matches!(self.json, Some(JsonTo::Stdout));
        // The small one first: it is there whatever becomes of the file.
        let written = match (to_stdout, self.quiet) {
            (true, _) => json::write(report, io::stdout().lock()),
            (false, false) => text::write(report, anstream::stdout().lock()),
            (false, true) => Ok(()),
        };
        ignore_closed(written).context("cannot write the report to stdout")?;
        if let Some(JsonTo::File { path, temporary }) = self.json {
            let failed = || format!("cannot write the JSON report to `{}`", path.display());
            json::write(report, io::BufWriter::new(temporary.as_file())).with_context(failed)?;
            temporary.persist(&path).map_err(|error| error.error).with_context(failed)?;
        }
        Ok(())
    }
}

impl JsonTo {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let failed = || format!("cannot write the JSON report to `{}`", path.display());
        anyhow::ensure!(!path.is_dir(), "{}: it is a directory", failed());
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        anyhow::ensure!(directory.is_dir(), "{}: there is no directory `{}`", failed(), directory.display());
        let temporary = tempfile::Builder::new()
            .prefix(".gorgon-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .tempfile_in(directory)
            // Its own message names the temporary file, which is no file of the user's.
            .map_err(|error| io::Error::from(error.kind()))
            .with_context(failed)?;
        Ok(Self::File { path: path.to_owned(), temporary })
    }
}

/// A reader that has seen enough, such as `head`, is no error.
fn ignore_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
