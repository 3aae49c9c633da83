//! Reads a report from JSON, and adds what reports of earlier versions lack.

use serde::Deserialize;

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
}

/// Parses the output of `--json`.
pub fn report(bytes: &[u8]) -> Result<Report, ReadError> {
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    match serde_json::from_slice(bytes) {
        Ok(Head { schema }) if schema == SCHEMA => {
            let mut report: Report = serde_json::from_slice(bytes).map_err(ReadError::Broken)?;
            verdict::complete(&mut report.verdicts);
            Ok(report)
        }
        Ok(Head { schema }) if schema.starts_with("gorgon.report/") => Err(ReadError::Schema(schema)),
        Ok(Head { schema }) if schema.starts_with("gorgon.find/") => Err(ReadError::Find),
        Ok(Head { schema }) if schema.starts_with("gorgon.compare/") => Err(ReadError::Comparison),
        // It begins like a report and ends too early.
        Err(error) if error.is_eof() && bytes.starts_with(b"{") => Err(ReadError::Broken(error)),
        _ => Err(ReadError::Other),
    }
}
