//! Reads a report back from JSON, and concludes what reports of earlier versions did not say.

use serde::Deserialize;

use super::verdict;
use crate::report::{Report, SCHEMA};

/// Why some bytes are no report.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// They are something else.
    #[error("it is no report of gorgon's: `gorgon run TASK.wasm --json FILE` writes one")]
    Other,
    /// They are a report of another format.
    #[error("it is a report of the format `{0}`, and this gorgon reads `{SCHEMA}`: use the gorgon that has written it")]
    Schema(String),
    /// They are a report that is not whole.
    #[error("it is a report that cannot be read: {0}; has it been cut or edited?")]
    Broken(serde_json::Error),
}

/// The report in `bytes`, which `--json` has written.
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
        // What begins as a report does, and ends too early.
        Err(error) if error.is_eof() && bytes.starts_with(b"{") => Err(ReadError::Broken(error)),
        _ => Err(ReadError::Other),
    }
}
