//! Reads a report from JSON, and adds what reports of earlier versions lack.

use serde::Deserialize;

use super::possible::{self, Impossible};
use super::verdict;
use crate::report::{Report, SCHEMA};

/// The largest report that is read, in bytes.
pub const MOST: u64 = 128 << 20;

/// Why bytes cannot be read as a report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are not a report.
    #[error("it is not a report of gorgon: `gorgon run TASK.wasm --json FILE` writes one")]
    Other,
    /// They are the answer of a search.
    #[error("it is the answer of `gorgon find`, not a report on a run: `gorgon run TASK.wasm --json FILE` writes one")]
    Find,
    /// They are a comparison.
    #[error("it is a comparison by `gorgon compare`, not a report on a run: name the reports that it compared")]
    Comparison,
    /// They are a report in another format.
    #[error("its format is `{0}`, but this gorgon reads `{SCHEMA}`: use the version that wrote it")]
    Schema(String),
    /// They are a broken report.
    #[error("the report cannot be read: {0}; was it truncated or edited?")]
    Broken(serde_json::Error),
    /// They are a report with a field that is not as reports have it.
    #[error("the report cannot be read: `{0}`: {1}; was it edited?")]
    Field(String, serde_json::Error),
    /// They are a report of what cannot be.
    #[error("the report cannot be true: {0}; was it edited?")]
    Impossible(Impossible),
}

/// Parses the output of `--json`, and checks that it can be true.
pub fn report(bytes: &[u8]) -> Result<Report, ReadError> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    // Some editors write a mark at the beginning.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    match serde_json::from_slice(bytes) {
        Ok(Head { schema }) if schema == SCHEMA => {
            let mut json = serde_json::Deserializer::from_slice(bytes);
            let read: Result<Report, _> = serde_path_to_error::deserialize(&mut json);
            let mut report = read.map_err(|error| match error.path().to_string() {
                path if path == "." => ReadError::Broken(error.into_inner()),
                path => ReadError::Field(path, error.into_inner()),
            })?;
            possible::check(&report).map_err(ReadError::Impossible)?;
            verdict::complete(&mut report.verdicts);
            Ok(report)
        }
        Ok(Head { schema }) if schema.starts_with("gorgon.report/") => Err(ReadError::Schema(schema)),
        Ok(Head { schema }) if schema.starts_with("gorgon.find/") => Err(ReadError::Find),
        Ok(Head { schema }) if schema.starts_with("gorgon.compare/") => Err(ReadError::Comparison),
        // It ends too early, or something follows.
        Err(error) if error.is_eof() && bytes.trim_ascii_start().starts_with(b"{") || names_its_schema(bytes) => {
            Err(ReadError::Broken(error))
        }
        _ => Err(ReadError::Other),
    }
}

/// Whether bytes begin with the name of their format, as reports do.
fn names_its_schema(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(&bytes[..bytes.len().min(1_000)]).contains(SCHEMA)
}
