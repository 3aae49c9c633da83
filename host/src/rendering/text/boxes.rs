//! The boxes of a run as text.

use std::io::{self, Write};

use anstyle::Style;

use super::table::{Column, Counted, TextRow, columns, table};
use super::{BAD, DIM};
use crate::rendering::lines::{Sheet, cut_middle, width};
use crate::report::units::rate;
use crate::report::{BoxReport, RunReport, curves, words};

/// Writes the boxes of a run, if there are any.
pub(super) fn write(run: &RunReport, to: &mut Sheet<impl Write>) -> io::Result<()> {
    if run.boxes.is_empty() {
        return Ok(());
    }
    writeln!(to)?;
    let row = |of: &BoxReport| {
        let [name, cells @ ..] = words::box_cells(of);
        TextRow { name, cells: cells.to_vec(), style: style(of) }
    };
    let [name, heads @ ..] = words::BOX_HEAD;
    columns(name, &heads.map(Column::always), &run.boxes.iter().map(row).collect::<Vec<_>>(), to)?;
    over_time(run, to)
}

fn style(of: &BoxReport) -> Style {
    if of.lost { BAD } else { Style::new() }
}

/// What the boxes did over time, if that is known: their figures, and a bar for each interval.
fn over_time(run: &RunReport, to: &mut Sheet<impl Write>) -> io::Result<()> {
    let durations = |of: &BoxReport| {
        let latency = of.latency_ns.as_ref()?;
        Some(TextRow::rated(words::box_name(of), of.throughput, latency, style(of)))
    };
    let figures: Vec<_> = run.boxes.iter().filter_map(durations).collect();
    if figures.is_empty() {
        return Ok(());
    }
    writeln!(to)?;
    table("box", Counted::Operations, &figures, to)?;
    let rates = |of: &BoxReport| Some((words::box_name(of), curves::part_rates(run, of.timeline.as_ref()?)));
    let rates: Vec<_> = run.boxes.iter().filter_map(rates).collect();
    let most = rates.iter().flat_map(|(_, rates)| rates).copied().fold(0.0, f64::max);
    writeln!(to, "\n{DIM}ops/s over time, up to {}{DIM:#}", rate(most))?;
    let names = rates.iter().map(|(name, _)| width(name)).max().unwrap_or_default().min(MOST_NAME);
    for (name, rates) in rates {
        let name = cut_middle(&name, names);
        let (pad, bars) = (" ".repeat(names - width(&name)), bars(&rates, most, to.columns - names - 2));
        writeln!(to, "{name}{pad}  {bars}")?;
    }
    Ok(())
}

/// Heights of a bar, in eighths of a line. Nothing at all is a space.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The most columns of a name beside bars.
const MOST_NAME: usize = 20;

/// A bar for each value, as high as its share of `most`; neighbours share one if there are more than `room`.
fn bars(values: &[f64], most: f64, room: usize) -> String {
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let shares = values.chunks(values.len().div_ceil(room).max(1)).map(|part| mean(part) / most);
    shares.map(|share| BARS[(share * 8.0).ceil().clamp(0.0, 8.0) as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::bars;

    #[test]
    fn bars_are_as_high_as_their_share() {
        assert_eq!(bars(&[0.0, 0.1, 4.0, 8.0], 8.0, 80), " ▁▄█");
        assert_eq!(bars(&[8.0, 8.0, 0.0, 0.0, 4.0], 8.0, 3), "█ ▄");
        assert_eq!(bars(&[0.0, 0.0], 0.0, 80), "  ", "nothing ended");
        assert_eq!(bars(&[], 0.0, 80), "");
    }
}
