//! A table of durations: a name, and six figures.

use std::io::{self, Write};

use anstyle::Style;

use super::DIM;
use crate::rendering::lines::{COLUMNS, cut_middle, width};
use crate::report::Summary;
use crate::report::units::{count, duration, or_dash, rate};

/// What a table counts.
#[derive(Clone, Copy)]
pub(super) enum Counted {
    /// Operations, and their rates.
    Operations,
    /// Spans, which have no rates.
    Spans,
    /// Requests, and their rates.
    Requests,
}

impl Counted {
    fn head(self) -> [&'static str; 6] {
        let (counted, rate) = match self {
            Self::Operations => ("operations", "ops/s"),
            Self::Spans => ("count", ""),
            Self::Requests => ("requests", "req/s"),
        };
        [counted, rate, "p50", "p95", "p99", "max"]
    }
}

/// Between two columns.
const GAP: usize = 2;

/// A name is cut to no less than this, even if the figures leave less room.
const NARROWEST_NAME: usize = 8;

/// A row.
pub(super) struct TextRow {
    name: String,
    cells: [String; 6],
    style: Style,
}

impl TextRow {
    /// A row with a rate. A figure that does not exist is a dash.
    pub(super) fn rated(name: String, throughput: Option<f64>, summary: &Summary, style: Style) -> Self {
        Self::new(name, or_dash(throughput, rate), summary, style)
    }

    /// The same row for a number that is not that of its durations.
    pub(super) fn counting(mut self, number: u64) -> Self {
        self.cells[0] = count(number);
        self
    }

    /// A row of spans, which have no throughput.
    pub(super) fn spans(name: String, summary: &Summary) -> Self {
        Self::new(name, String::new(), summary, Style::new())
    }

    fn new(name: String, throughput: String, summary: &Summary, style: Style) -> Self {
        let time = |ns: Option<u64>| or_dash(ns, duration);
        let Summary { p50, p95, p99, max, .. } = *summary;
        let cells = [count(summary.count), throughput, time(p50), time(p95), time(p99), time(max)];
        Self { name, cells, style }
    }
}

/// Writes a table whose names are under `head`. They are cut to what the figures leave of the line.
pub(super) fn table(head: &str, counted: Counted, rows: &[TextRow], to: &mut impl Write) -> io::Result<()> {
    let mut widths = counted.head().map(width);
    for row in rows {
        for (most, cell) in widths.iter_mut().zip(&row.cells) {
            *most = (*most).max(width(cell));
        }
    }
    // A column without anything has no gap either.
    let gaps = widths.map(|width| if width > 0 { GAP } else { 0 });
    let figures = widths.iter().chain(&gaps).sum();
    let room = COLUMNS.saturating_sub(figures).max(NARROWEST_NAME);
    let names = rows.iter().map(|row| width(&row.name)).chain([width(head)]).max().unwrap_or_default().min(room);
    let mut line = |name: &str, cells: [&str; 6], style: Style| {
        let name = cut_middle(name, names);
        let mut text = format!("{name}{}", " ".repeat(names - width(&name)));
        for ((cell, most), gap) in cells.iter().zip(widths).zip(gaps) {
            text.push_str(&format!("{}{cell}", " ".repeat(gap + most - width(cell))));
        }
        writeln!(to, "{style}{}{style:#}", text.trim_end())
    };
    line(head, counted.head(), DIM)?;
    rows.iter().try_for_each(|row| line(&row.name, row.cells.each_ref().map(String::as_str), row.style))
}

/// Writes a table under `head`: a name, which is cut to what the rest leaves of the line, and figures. A column in
/// which no row has anything is left out.
pub(super) fn columns<const N: usize>(
    head: &[&str; N],
    rows: &[([String; N], Style)],
    to: &mut impl Write,
) -> io::Result<()> {
    let is_used = |i: usize| rows.iter().any(|(cells, _)| !cells[i].is_empty());
    let widest = |i: usize| rows.iter().map(|(cells, _)| width(&cells[i])).chain([width(head[i])]).max().unwrap_or(0);
    let figures: Vec<usize> = (1..N).filter(|&i| is_used(i)).collect();
    let room = COLUMNS.saturating_sub(figures.iter().map(|&i| widest(i) + GAP).sum()).max(NARROWEST_NAME);
    let names = widest(0).min(room);
    let mut line = |cells: [&str; N], style: Style| {
        let name = cut_middle(cells[0], names);
        let mut text = format!("{name}{}", " ".repeat(names - width(&name)));
        for &i in &figures {
            text.push_str(&format!("{}{}", " ".repeat(GAP + widest(i) - width(cells[i])), cells[i]));
        }
        writeln!(to, "{style}{}{style:#}", text.trim_end())
    };
    line(*head, DIM)?;
    rows.iter().try_for_each(|(cells, style)| line(cells.each_ref().map(String::as_str), *style))
}
