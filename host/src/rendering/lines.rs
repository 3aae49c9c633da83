//! Lines of a limited width, in the columns that a terminal takes for them.

use std::io::{self, Write};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::guest_text;

/// The width of a terminal that everybody has.
pub(super) const COLUMNS: usize = 80;

/// The widest text: longer lines are hard to read. Tables may be wider.
const WIDEST_TEXT: usize = 100;

/// Where a report is written. Only commands and names without a space are wider than its columns, because they cannot
/// be broken.
pub(super) struct Sheet<W> {
    to: W,
    /// How many columns there are.
    pub(super) columns: usize,
}

impl<W: Write> Sheet<W> {
    /// A sheet of `columns` columns, or of some more if these are too few for any table.
    pub(super) fn new(to: W, columns: usize) -> Self {
        const FEWEST: usize = 60;
        Self { to, columns: columns.max(FEWEST) }
    }
}

impl<W: Write> Write for Sheet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Units, which stay on the line of their number.
const UNITS: [&str; 9] = ["%", "ns", "µs", "ms", "s", "kB", "MB", "GB", "points"];

/// How many columns a terminal takes for `text`.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// `text` in at most `most` columns: if it is cut, it ends with an ellipsis.
pub(super) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    format!("{}…", taken(text.chars(), most.saturating_sub(1)).trim_end())
}

/// `text` in at most `most` columns: if it is cut, an ellipsis is in its middle. Names that begin alike often differ at
/// their end.
pub(super) fn cut_middle(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(1);
    let begin = taken(text.chars(), room.div_ceil(2));
    let end: Vec<char> = taken(text.chars().rev(), room / 2).chars().collect();
    format!("{begin}…{}", end.iter().rev().collect::<String>())
}

/// The first characters, as many as have room.
fn taken(chars: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= room
    };
    chars.take_while(fits).collect()
}

/// Writes `text` behind `label`, broken at spaces; further lines are indented.
pub(super) fn prose(
    label: &str,
    indent: usize,
    text: &str,
    style: Style,
    to: &mut Sheet<impl Write>,
) -> io::Result<()> {
    let lines = format!("{label}{}", broken(text, width(label), indent, to.columns.min(WIDEST_TEXT)));
    lines.lines().try_for_each(|line| writeln!(to, "{style}{}{style:#}", line.trim_end()))
}

/// Writes a command of a POSIX shell behind `label`. It is broken between its words, so that it can be pasted as it
/// stands. A longer word stays whole.
pub(super) fn command(label: &str, command: &str, style: Style, to: &mut Sheet<impl Write>) -> io::Result<()> {
    const INDENT: usize = 4;
    const MORE: &str = " \\";
    let (mut line, mut is_begun) = (label.to_owned(), false);
    for word in shell_words(&guest_text::line(command)) {
        if is_begun && width(&line) + 1 + width(word) + width(MORE) > to.columns {
            writeln!(to, "{style}{line}{MORE}{style:#}")?;
            line = " ".repeat(INDENT);
        } else if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    writeln!(to, "{style}{line}{style:#}")
}

/// The words of a command, with their quotes.
pub(super) fn shell_words(command: &str) -> Vec<&str> {
    let (mut quote, mut is_escaped) = (None, false);
    let ends_word = |c: char| {
        match (quote, c) {
            _ if is_escaped => is_escaped = false,
            (None | Some('"'), '\\') => is_escaped = true,
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, ' ') => return true,
            _ => {}
        }
        false
    };
    command.split(ends_word).collect()
}

/// `text` in lines of 80 columns, broken at spaces; further lines, and what the caller prints before the first one,
/// take `indent` columns.
pub(super) fn wrapped(text: &str, indent: usize) -> String {
    broken(text, indent, indent, COLUMNS)
}

/// `text` in lines of at most `most` columns, broken at spaces. The first one begins in the column `first`, the others
/// after `indent` blanks. A longer word stays whole.
fn broken(text: &str, first: usize, indent: usize, most: usize) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in guest_text::line(text).split(' ') {
        match words.last_mut() {
            Some(number) if UNITS.contains(&word.trim_end_matches([',', ';', ':', ')'])) => {
                number.extend([" ", word]);
            }
            _ => words.push(word.to_owned()),
        }
    }
    let (mut broken, mut column) = (String::new(), first);
    for (i, word) in words.iter().enumerate() {
        if i > 0 && column + 1 + width(word) > most {
            broken.push('\n');
            broken.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if i > 0 {
            broken.push(' ');
            column += 1;
        }
        broken.push_str(word);
        column += width(word);
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_cut_keeps_both_ends() {
        for (text, most, expected) in [
            ("GET /orders", 11, "GET /orders"),
            ("GET /orders/{id}/lines", 11, "GET /…lines"),
            ("abcdef", 4, "ab…f"),
            ("abcdef", 1, "…"),
            ("日本語日本語", 7, "日…語"),
        ] {
            let cut = cut_middle(text, most);
            assert_eq!((cut.as_str(), width(&cut) <= most), (expected, true));
        }
    }

    #[test]
    fn a_command_can_be_pasted_as_it_stands() {
        let words = ["gorgon", "run", "a b.wasm", "--fail-if", "result(\"it's\")>5", "--env", "X=\\", "-n", "4000"];
        let joined = guest_text::command(words).unwrap();
        for columns in [60, 80, 100] {
            let mut written = Vec::new();
            let mut to = Sheet::new(&mut written, columns);
            command("again: ", &joined.repeat(2).replace("4000gorgon", "4000 gorgon"), Style::new(), &mut to).unwrap();
            let text = String::from_utf8(written).unwrap();
            assert!(text.lines().all(|line| width(line) <= columns), "{text}");
            // A shell takes the sign and the end of its line out, before anything else.
            let pasted = shlex::split(&text.strip_prefix("again: ").unwrap().replace("\\\n", "")).unwrap();
            assert_eq!(pasted, [words, words].concat(), "{text}");
        }
    }

    #[test]
    fn lines_fit_and_keep_every_word() {
        let text = "one two ".repeat(30) + &"long".repeat(30) + " end";
        for indent in [0, 3] {
            let wrapped = wrapped(&text, indent);
            assert_eq!(wrapped.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
            let too_wide = wrapped.lines().enumerate().filter(|(i, line)| {
                line.len() + if *i == 0 { indent } else { 0 } > COLUMNS && !line.trim().starts_with("long")
            });
            assert_eq!(too_wide.count(), 0, "{wrapped}");
            assert!(wrapped.lines().skip(1).all(|line| line.starts_with(&" ".repeat(indent))), "{wrapped}");
        }
        assert_eq!(super::wrapped("", 2), "");
        let figures = "somewhere between 28.0 % and 67.6 %, ".repeat(9);
        assert!(wrapped(&figures, 0).lines().all(|line| !line.starts_with('%')), "{figures}");
    }
}
