//! A person's terminal, or whatever stdout and stderr are: text, colours, newlines and tabs get there, and nothing
//! else. What is shown is escaped where it is put together; this is for what was forgotten there.

use std::io::{self, Write};

use crate::guest_text::harmless;

/// Standard output.
pub fn stdout() -> Guarded<impl Write> {
    Guarded::new(anstream::stdout().lock())
}

/// Standard error.
pub fn stderr() -> Guarded<impl Write> {
    Guarded::new(anstream::stderr().lock())
}

/// How many columns a line on stdout may have: as many as `COLUMNS` says, or else those of its terminal. Without a
/// terminal, those that a page for code or a log has.
pub fn columns() -> usize {
    const OF_A_FILE: usize = 100;
    let named = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|named| *named > 0);
    let of_terminal = || terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into());
    named.or_else(of_terminal).unwrap_or(OF_A_FILE)
}

/// Passes on whole lines, without what is not text. A line that is not ended is passed on when this is flushed or
/// dropped.
pub struct Guarded<W: Write> {
    to: W,
    unfinished: Vec<u8>,
}

impl<W: Write> Guarded<W> {
    fn new(to: W) -> Self {
        Self { to, unfinished: Vec::new() }
    }

    fn pass_on(&mut self, length: usize) -> io::Result<()> {
        let lines: Vec<u8> = self.unfinished.drain(..length).collect();
        self.to.write_all(harmless(&String::from_utf8_lossy(&lines)).as_bytes())
    }
}

impl<W: Write> Write for Guarded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unfinished.extend_from_slice(bytes);
        if let Some(end) = self.unfinished.iter().rposition(|&byte| byte == b'\n') {
            self.pass_on(end + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_on(self.unfinished.len())?;
        self.to.flush()
    }
}

impl<W: Write> Drop for Guarded<W> {
    fn drop(&mut self) {
        // Who needs to know calls `flush`.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_and_colours_pass_however_they_are_cut() {
        let text = "\u{1b}[1mbold\u{1b}[0m\t\u{1b}]52;c;aGk=\u{7}\u{202e}\u{9b}31m\rx\nsecond \u{1b}[2J";
        let wanted =
            "\u{1b}[1mbold\u{1b}[0m\t\u{fffd}]52;c;aGk=\u{fffd}\u{fffd}\u{fffd}31m\u{fffd}x\nsecond \u{fffd}[2J";
        for length in [1, 2, 3, 7, text.len()] {
            let mut passed = Vec::new();
            let mut guarded = Guarded::new(&mut passed);
            text.as_bytes().chunks(length).for_each(|bytes| guarded.write_all(bytes).unwrap());
            drop(guarded);
            assert_eq!(String::from_utf8(passed).unwrap(), wanted);
        }
    }
}
