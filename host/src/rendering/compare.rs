//! The terminal output of a comparison.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::guest_text::line;
use crate::judging::compare::{Comparison, Difference, Figure, Finding, Pair, Runs};
use crate::report::units::{change, counted, duration, percent, rate};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const BAD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const GOOD: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));

/// Writes `comparison`. Styles are escape sequences, which `to` removes if its reader cannot show them.
pub fn write(comparison: &Comparison, mut to: impl Write) -> io::Result<()> {
    for pair in &comparison.pairs {
        write_pair(pair, &mut to)?;
    }
    if comparison.pairs.len() > 1 {
        writeln!(
            to,
            "{DIM}{} comparisons: their intervals are wider than that of a single one, so that all hold together{DIM:#}",
            comparison.pairs.len()
        )?;
    }
    match comparison.fail_if_slower {
        Some(slower) if slower.held => {
            writeln!(to, "{BAD}failed: slower by more than {}{BAD:#}", percent(slower.by))
        }
        _ => Ok(()),
    }
}

fn write_pair(pair: &Pair, to: &mut impl Write) -> io::Result<()> {
    let side = |name: &str, runs: &Runs, to: &mut dyn Write| {
        let mut files: Vec<_> = runs.runs.iter().map(|place| place.file.as_str()).collect();
        files.dedup();
        writeln!(
            to,
            "{BOLD}{name}{BOLD:#}  {}: {}  {} x {}, {}, {}",
            line(&files.join(", ")),
            line(&runs.task.path),
            runs.processes,
            runs.threads,
            counted(runs.runs.len() as u64, "run"),
            counted(runs.operations, "operation")
        )
    };
    side("A", &pair.a, to)?;
    side("B", &pair.b, to)?;
    for field in &pair.differs {
        writeln!(to, "{BAD}the plans differ: {}{BAD:#}", line(field))?;
    }
    writeln!(to)?;
    table(&pair.figures, to)?;
    writeln!(to, "\n{BOLD}{}{BOLD:#}", line(&pair.sentence))?;
    pair.notes.iter().try_for_each(|note| writeln!(to, "{DIM}{}{DIM:#}", line(note)))?;
    writeln!(to)
}

fn table(figures: &[Difference], to: &mut impl Write) -> io::Result<()> {
    let head = ["", "A", "B", "difference", "interval", "level"].map(str::to_owned);
    let rows: Vec<_> = figures.iter().map(cells).collect();
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let in_columns = |cells: &[String; 6], finding: &str| {
        let mut text = format!("{:<width$}", cells[0], width = widths[0]);
        for (cell, width) in cells.iter().zip(widths).skip(1) {
            text.push_str(&format!("  {cell:>width$}"));
        }
        format!("{text}  {finding}").trim_end().to_owned()
    };
    writeln!(to, "{DIM}{}{DIM:#}", in_columns(&head, ""))?;
    for (row, figure) in rows.iter().zip(figures) {
        let (words, style) = match figure.finding {
            Finding::Slower => ("slower", BAD),
            Finding::Faster => ("faster", GOOD),
            Finding::FailsMore => ("fails more", BAD),
            Finding::FailsLess => ("fails less", GOOD),
            Finding::Nothing => ("", Style::new()),
        };
        writeln!(to, "{style}{}{style:#}", in_columns(row, words))?;
    }
    Ok(())
}

fn cells(of: &Difference) -> [String; 6] {
    let value = |value: Option<f64>| match (value, of.figure) {
        (None, _) => String::new(),
        (Some(share), Figure::Failed) => percent(share),
        (Some(per_second), Figure::Throughput) => format!("{}/s", rate(per_second)),
        (Some(ns), _) => duration(ns.round() as u64),
    };
    let difference = of.change.map(|of| change(of.measured)).unwrap_or_default();
    let interval = of.change.map(|of| format!("{} to {}", change(of.low), change(of.high)));
    // The difference of two shares is given in percentage points.
    let points = if of.figure == Figure::Failed { " points" } else { "" };
    let name = format!("{}{points}", of.figure.name());
    let level = format!("{} %", trimmed(of.level * 100.0));
    [name, value(of.a), value(of.b), difference, interval.unwrap_or_default(), level]
}

fn trimmed(figure: f64) -> String {
    format!("{figure:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}
