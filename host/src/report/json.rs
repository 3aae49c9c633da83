//! The JSON report.

use std::io::{self, Write};

use super::Report;

/// Writes `report` as JSON, indented, with a newline at the end.
pub fn write(report: &Report, mut to: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut to, report)?;
    writeln!(to)?;
    to.flush()
}
