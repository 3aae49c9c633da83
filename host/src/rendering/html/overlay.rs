//! Distributions drawn over each other: those of the runs of a suite, and of the sides of a comparison.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::charts;
use super::figure::{Chart, ChartFigure, Over, number};
use super::plot::{Axis, Plot};

/// One of them.
pub(super) struct Distribution {
    pub name: String,
    /// The class of its line.
    pub class: String,
    /// Its colour in the page's scripts.
    pub colour: String,
    pub is_dashed: bool,
    /// Pairs of nines and nanoseconds, from the median on.
    pub curve: Vec<(f64, u64)>,
}

/// A chart of `all`. `how` says how to read it, and `says` what it shows.
pub(super) fn chart(id: String, title: &str, how: &str, says: String, all: &[Distribution]) -> Markup {
    let nines: Vec<f64> = all
        .iter()
        .map(|of| &of.curve)
        .max_by_key(|curve| curve.len())
        .map_or_else(Vec::new, |longest| longest.iter().map(|&(nines, _)| nines).collect());
    let y = Axis::durations(all.iter().flat_map(|of| &of.curve).map(|&(_, ns)| ns));
    let mut plot = Plot::new(Axis::nines(nines.last().copied().unwrap_or(1.0)), y, 220.0).with_columns();
    for of in all {
        plot.line(&of.class, of.curve.iter().map(|&(nines, ns)| (nines, ns as f64)));
    }
    let line = |of: &Distribution| {
        let y: Value = (0..nines.len()).map(|at| of.curve.get(at).map_or(Value::Null, |&(_, ns)| ns.into())).collect();
        json!({ "name": of.name, "colour": of.colour, "dashed": of.is_dashed, "y": y })
    };
    let figure = ChartFigure {
        id,
        chart: Chart::Lines,
        title,
        how,
        says,
        data: json!({ "unit": "ns", "by": Over::Nines, "x": nines.iter().copied().map(number).collect::<Value>(),
                      "lines": all.iter().map(line).collect::<Value>() }),
        svg: html! {
            (plot.svg())
            (charts::legend(all.iter().map(|of| (of.class.as_str(), of.name.as_str()))))
        },
    };
    figure.markup()
}
