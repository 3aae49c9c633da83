//! Tables of figures: a name, and as many columns as there is room for.

use std::io::{self, Write};

use anstyle::Style;

use super::DIM;
use crate::rendering::lines::{Sheet, cut_middle, width};
use crate::report::Summary;
use crate::report::units::{count, duration, or_dash, rate};

/// What a table counts.
#[derive(Clone, Copy)]
pub(super) enum Counted {
    /// Operations, and their rates.
    Operations,
    /// Spans, those that failed, and their rates.
    Spans,
    /// Requests, and their rates.
    Requests,
}

/// A column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    head: &'static str,
    /// Zero if it is always there; otherwise, columns of a lower rank get room first.
    rank: u8,
}

impl Column {
    /// A column that is there if columns of a lower rank leave room for it.
    pub(super) const fn ranked(head: &'static str, rank: u8) -> Self {
        Self { head, rank }
    }

    /// A column that is always there.
    pub(super) const fn always(head: &'static str) -> Self {
        Self { head, rank: 0 }
    }
}

impl Counted {
    /// The columns of durations.
    fn columns(self) -> [Column; 11] {
        let (counted, rate) = match self {
            Self::Operations => ("operations", "ops/s"),
            Self::Spans => ("count", "per s"),
            Self::Requests => ("requests", "req/s"),
        };
        let more = |head, rank| Column { head, rank };
        let always = Column::always;
        [
            always(counted),
            always("failed"),
            always(rate),
            more("mean", 2),
            more("min", 3),
            always("p50"),
            more("p90", 4),
            always("p95"),
            always("p99"),
            more("p99.9", 1),
            always("max"),
        ]
    }
}

/// Between two columns.
const GAP: usize = 2;

/// A name is cut to no less than this, even if the figures leave less room.
const NARROWEST_NAME: usize = 8;

/// A name gets this much before more columns do.
const USUAL_NAME: usize = 32;

/// A row: its name, and a cell for each column.
pub(super) struct TextRow {
    pub(super) name: String,
    pub(super) cells: Vec<String>,
    pub(super) style: Style,
}

impl TextRow {
    /// A row of durations. A figure that does not exist is a dash.
    pub(super) fn rated(name: String, throughput: Option<f64>, summary: &Summary, style: Style) -> Self {
        let time = |ns: Option<u64>| or_dash(ns, duration);
        let Summary { mean, min, p50, p90, p95, p99, p99_9, max, .. } = *summary;
        let mut cells = vec![count(summary.count), String::new(), or_dash(throughput, rate)];
        cells.extend([mean, min, p50, p90, p95, p99, p99_9, max].map(time));
        Self { name, cells, style }
    }

    /// The same row for a number that is not that of its durations.
    pub(super) fn counting(mut self, number: u64) -> Self {
        self.cells[0] = count(number);
        self
    }

    /// The same row, of which so many have failed.
    pub(super) fn failing(mut self, failed: u64) -> Self {
        self.cells[1] = count(failed);
        self
    }
}

/// Writes a table of durations whose names are under `head`.
pub(super) fn table(head: &str, counted: Counted, rows: &[TextRow], to: &mut Sheet<impl Write>) -> io::Result<()> {
    columns(head, &counted.columns(), rows, to)
}

/// Writes a table whose names are under `head`. A column in which no row has anything is left out, and so are columns
/// for which there is no room. Names are cut to what the figures leave of the line.
pub(super) fn columns(head: &str, columns: &[Column], rows: &[TextRow], to: &mut Sheet<impl Write>) -> io::Result<()> {
    let widest = |i: usize| {
        let cells = rows.iter().map(|row| width(&row.cells[i]));
        cells.chain([width(columns[i].head)]).max().unwrap_or_default()
    };
    let is_used = |&i: &usize| rows.iter().any(|row| !row.cells[i].is_empty());
    let names = rows.iter().map(|row| width(&row.name)).chain([width(head)]).max().unwrap_or_default();
    let (mut shown, mut more): (Vec<usize>, Vec<usize>) =
        (0..columns.len()).filter(is_used).partition(|&i| columns[i].rank == 0);
    let taken = |shown: &[usize]| shown.iter().map(|&i| widest(i) + GAP).sum::<usize>();
    more.sort_by_key(|&i| columns[i].rank);
    for i in more {
        if names.min(USUAL_NAME) + taken(&shown) + widest(i) + GAP > to.columns {
            break;
        }
        shown.push(i);
    }
    shown.sort_unstable();
    let names = names.min(to.columns.saturating_sub(taken(&shown)).max(NARROWEST_NAME));
    let heads = TextRow {
        name: head.to_owned(),
        cells: columns.iter().map(|column| column.head.to_owned()).collect(),
        style: DIM,
    };
    for TextRow { name, cells, style } in std::iter::once(&heads).chain(rows) {
        let name = cut_middle(name, names);
        let mut line = format!("{name}{}", " ".repeat(names - width(&name)));
        for &i in &shown {
            line.push_str(&format!("{}{}", " ".repeat(GAP + widest(i) - width(&cells[i])), cells[i]));
        }
        writeln!(to, "{style}{}{style:#}", line.trim_end())?;
    }
    Ok(())
}
