//! Distributions drawn over each other: those of the runs of a suite, and of the sides of a comparison.

use maud::Markup;

use super::figure::Over;
use super::lines::{Extras, Line, LineChart};
use super::plot::{Axis, Scale};

/// One of them.
pub(super) struct Distribution {
    pub name: String,
    /// The class of its line.
    pub class: String,
    /// Pairs of nines and nanoseconds, from the median on.
    pub curve: Vec<(f64, u64)>,
}

/// A chart of `all`. `how` says how to read it, and `says` what it shows.
pub(super) fn chart(id: String, title: &str, how: &str, says: String, all: &[Distribution]) -> Markup {
    // A curve ends where less than one operation would remain, and all begin alike.
    let longest = all.iter().map(|of| &of.curve).max_by_key(|curve| curve.len());
    let nines: Vec<f64> = longest.into_iter().flatten().map(|&(nines, _)| nines).collect();
    let line = |of: &Distribution| {
        let values = (0..nines.len()).map(|at| of.curve.get(at).map(|&(_, ns)| ns as f64));
        Line::new(of.name.as_str(), of.class.as_str(), values.collect())
    };
    let lines = all.iter().map(line).collect();
    let chart = LineChart {
        id,
        title,
        how,
        says,
        over: Over::Nines,
        x: Axis::nines(nines.last().copied().unwrap_or(1.0)),
        places: nines,
        scale: Scale::Durations,
        height: 220.0,
        is_stepped: false,
        lines,
        extras: Extras::default(),
    };
    chart.markup()
}
