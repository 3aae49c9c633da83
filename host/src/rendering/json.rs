//! The JSON report.

use std::io::{self, Write};

use serde::Serialize;

use crate::guest_text;

/// Writes a report, or a result made from reports, as indented JSON with a newline at the end.
pub fn write(what: &impl Serialize, mut to: impl Write) -> io::Result<()> {
    let json = serde_json::to_string_pretty(what)?;
    writeln!(to, "{}", guest_text::json(&json))?;
    to.flush()
}
