//! The terminal output of a comparison.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::lines::wrapped;
use crate::guest_text::line;
use crate::judging::compare::{Comparison, Difference, Finding, Pair, Row};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));

/// Writes `comparison`. Styles are escape sequences, which `to` removes if its reader cannot show them.
pub fn write(comparison: &Comparison, mut to: impl Write) -> io::Result<()> {
    for pair in &comparison.pairs {
        write_pair(pair, &mut to)?;
    }
    if let Some(together) = comparison.together() {
        writeln!(to, "{DIM}{}{DIM:#}", wrapped(&together, 2))?;
    }
    if let Some(verdict) = comparison.verdict() {
        let style = if comparison.fail_if_slower.is_some_and(|slower| slower.held) { BAD } else { GOOD };
        writeln!(to, "{style}{}{style:#}", wrapped(&verdict, 2))?;
    }
    Ok(())
}

fn write_pair(pair: &Pair, to: &mut impl Write) -> io::Result<()> {
    for (name, runs) in [("A", &pair.a), ("B", &pair.b)] {
        let text = wrapped(&line(&format!("{}: {}", runs.files(), runs.text())), 3);
        writeln!(to, "{BOLD}{name}{BOLD:#}  {text}")?;
    }
    for field in &pair.differs {
        writeln!(to, "{BAD}{}{BAD:#}", wrapped(&line(&format!("the plans differ: {field}")), 2))?;
    }
    writeln!(to)?;
    table(&pair.figures, to)?;
    writeln!(to, "{DIM}{}{DIM:#}", pair.levels())?;
    writeln!(to, "\n{BOLD}{}{BOLD:#}", wrapped(&line(&pair.sentence), 0))?;
    pair.notes.iter().try_for_each(|note| writeln!(to, "{DIM}{}{DIM:#}", wrapped(&line(note), 2)))?;
    writeln!(to)
}

fn table(figures: &[Difference], to: &mut impl Write) -> io::Result<()> {
    let head = ["", "A", "B", "difference", "interval"].map(str::to_owned);
    let rows: Vec<_> = figures.iter().map(cells).collect();
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let in_columns = |cells: &[String; 5], finding: &str| {
        let mut text = format!("{:<width$}", cells[0], width = widths[0]);
        for (cell, width) in cells.iter().zip(widths).skip(1) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        format!("{text}  {finding}").trim_end().to_owned()
    };
    writeln!(to, "{DIM}{}{DIM:#}", in_columns(&head, ""))?;
    for (row, figure) in rows.iter().zip(figures) {
        let style = match figure.finding {
            Finding::Slower | Finding::FailsMore => BAD,
            Finding::Faster | Finding::FailsLess => GOOD,
            Finding::Nothing => Style::new(),
        };
        writeln!(to, "{style}{}{style:#}", in_columns(row, figure.row().finding))?;
    }
    Ok(())
}

fn cells(of: &Difference) -> [String; 5] {
    let Row { name, a, b, difference, interval, finding: _ } = of.row();
    [name.to_owned(), a, b, difference, interval]
}
