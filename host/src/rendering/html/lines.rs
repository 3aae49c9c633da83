//! Charts of lines and points: each is drawn once as SVG, and its data is in the page for the scripts.

use maud::{Markup, html};
use serde_json::{Value, json};

use super::figure::{Chart, ChartFigure, Over, number};
use super::plot::{Axis, Plot, Scale};
use super::tables;

/// What is drawn under one name.
pub(super) struct Line {
    pub name: String,
    /// The class of its marks, which decides its colour, and whether it is dashed.
    pub class: String,
    /// Whether its values are points, and not a line.
    pub is_points: bool,
    /// A value for each place; of steps, one fewer than there are edges.
    pub values: Vec<Option<f64>>,
}

/// Such a chart.
pub(super) struct LineChart<'a> {
    pub id: String,
    pub title: &'a str,
    /// How to read it.
    pub how: &'a str,
    /// What it shows, for readers who cannot see it.
    pub says: String,
    pub over: Over,
    pub x: Axis,
    /// The places of the values on the horizontal axis, or the edges between them.
    pub places: Vec<f64>,
    pub scale: Scale,
    pub height: f64,
    /// Whether each value holds from one edge to the next.
    pub is_stepped: bool,
    pub lines: Vec<Line>,
    /// What the scripts draw besides.
    pub extras: Extras,
}

/// What few charts have.
#[derive(Default)]
pub(super) struct Extras {
    /// A range of the horizontal axis to shade.
    pub gap: Option<(f64, f64)>,
    /// The places whose points are hollow; empty if none is.
    pub hollow: Vec<bool>,
    /// Where the horizontal axis ends, if not at the last place.
    pub end: Option<f64>,
    /// Whether the lines have no legend, because something else names them.
    pub is_named_elsewhere: bool,
}

impl Line {
    /// A line.
    pub(super) fn new(name: impl Into<String>, class: impl Into<String>, values: Vec<Option<f64>>) -> Self {
        Self { name: name.into(), class: class.into(), is_points: false, values }
    }

    /// Points.
    pub(super) fn points(name: impl Into<String>, class: impl Into<String>, values: Vec<Option<f64>>) -> Self {
        Self { is_points: true, ..Self::new(name, class, values) }
    }

    /// The style sheet's name for its colour, and whether it is dashed: as the style sheet has it for its class.
    fn look(&self) -> (&str, bool) {
        match self.class.as_str() {
            "a" => ("ok-0", false),
            "b" => ("all", true),
            "ideal" => ("faint", true),
            class => (class, false),
        }
    }
}

impl LineChart<'_> {
    pub(super) fn markup(self) -> Markup {
        let Self { id, title, how, says, over, x, places, scale, height, is_stepped, lines, extras } = self;
        let values = lines.iter().flat_map(|line| line.values.iter().flatten().copied());
        let plot = Plot::new(x, scale.axis(values), height);
        let mut plot = if matches!(over, Over::Nines) { plot.with_columns() } else { plot };
        if let Some((from, to)) = extras.gap {
            plot.between("gap", from, to);
        }
        for line in &lines {
            if is_stepped {
                plot.steps(&line.class, &places, &line.values);
                continue;
            }
            let at = places.iter().zip(&line.values).enumerate();
            let at = at.filter_map(|(i, (x, y))| Some((i, (*x, (*y)?))));
            if line.is_points {
                let is_hollow = |i: usize| extras.hollow.get(i).copied().unwrap_or_default();
                let (hollow, full): (Vec<_>, Vec<_>) = at.partition(|(i, _)| is_hollow(*i));
                plot.hollow_points(&line.class, hollow.into_iter().map(|(_, at)| at));
                plot.points(&line.class, full.into_iter().map(|(_, at)| at));
            } else {
                plot.line(&line.class, at.map(|(_, at)| at));
            }
        }
        let place = |x: &f64| match over {
            Over::Time => json!((x * 1e6).round() / 1e6),
            Over::Nines | Over::Rate => number(*x),
        };
        let value = |y: &Option<f64>| match (y, scale) {
            (None, _) => Value::Null,
            (Some(ns), Scale::Durations) => (ns.round() as u64).into(),
            (Some(y), _) => number(*y),
        };
        let of_line = |line: &Line| {
            let (colour, is_dashed) = line.look();
            json!({ "name": line.name, "colour": colour, "dashed": is_dashed, "points": line.is_points,
                    "y": line.values.iter().map(value).collect::<Value>() })
        };
        let has_key = lines.len() > 1 && !extras.is_named_elsewhere;
        let figure = ChartFigure {
            id,
            chart: Chart::Lines,
            title,
            how,
            says,
            data: json!({ "unit": scale.unit(), "by": over, "steps": is_stepped, "x": places.iter().map(place).collect::<Value>(),
                          "lines": lines.iter().map(of_line).collect::<Value>(), "between": extras.gap, "to": extras.end,
                          "hollow": (!extras.hollow.is_empty()).then_some(extras.hollow) }),
            svg: html! { (plot.svg()) @if has_key { (legend(&lines)) } },
        };
        figure.markup()
    }
}

fn legend(lines: &[Line]) -> Markup {
    let class = |line: &Line| format!("key {}{}", line.class, if line.is_points { " point" } else { "" });
    html! { p .lines { @for line in lines { span class=(class(line)) { (tables::name(&line.name)) } } } }
}
