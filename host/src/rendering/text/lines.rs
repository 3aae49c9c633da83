//! Lines of a limited width, in the columns that a terminal takes for them.

use std::io::{self, Write};

use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::COLUMNS;

/// How many columns a terminal takes for `text`.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// `text` in at most `most` columns: if it is cut, it ends with an ellipsis.
pub(super) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut kept = 0;
    let fits = |c: &char| {
        kept += c.width().unwrap_or(0);
        kept < most
    };
    let begin: String = text.chars().take_while(fits).collect();
    format!("{}…", begin.trim_end())
}

/// Writes `text` behind `label`, broken at spaces; further lines are indented.
pub(super) fn prose(label: &str, indent: usize, text: &str, style: Style, to: &mut impl Write) -> io::Result<()> {
    let (mut line, mut used) = (label.to_owned(), width(label));
    let mut is_first = true;
    for word in text.split(' ') {
        let space = if is_first { "" } else { " " };
        if !is_first && used + 1 + width(word) > COLUMNS {
            writeln!(to, "{style}{}{style:#}", line.trim_end())?;
            line = " ".repeat(indent);
            used = indent;
        } else {
            line.push_str(space);
            used += space.len();
        }
        line.push_str(word);
        used += width(word);
        is_first = false;
    }
    writeln!(to, "{style}{}{style:#}", line.trim_end())
}
