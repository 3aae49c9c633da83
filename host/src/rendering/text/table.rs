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
