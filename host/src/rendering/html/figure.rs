//! A chart: its drawing, a sentence that says how to read it, and its data.
//!
//! The drawing is SVG. If JavaScript runs, `report.js` replaces it with an interactive chart of the same data. The data
//! is JSON in the page, and only its link shows it.

use maud::{Markup, PreEscaped, html};
use serde::Serialize;
use serde_json::Value;

use crate::guest_text;

/// The kinds of charts, by the names that `kinds.js` draws them under.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chart {
    Failures,
    Heat,
    Latency,
    Lines,
    Percentiles,
    Scaling,
    Throughput,
}

/// What lines are drawn over.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Over {
    /// Percentiles, as nines: 2 is p99.
    Nines,
    /// The rate of a probe.
    Rate,
    /// The time since the beginning of the run.
    Time,
}

impl Chart {
    fn name(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::Heat => "heat",
            Self::Latency => "latency",
            Self::Lines => "lines",
            Self::Percentiles => "percentiles",
            Self::Scaling => "scaling",
            Self::Throughput => "throughput",
        }
    }
}

/// A chart of the page.
pub(super) struct ChartFigure<'a> {
    /// Its identifier in the page, which links use.
    pub id: String,
    /// The kind of chart.
    pub chart: Chart,
    /// Its heading.
    pub title: &'a str,
    /// How to read it.
    pub how: &'a str,
    /// What it shows, in a sentence, for readers who cannot see it.
    pub says: String,
    /// The data that is drawn.
    pub data: Value,
    /// The drawing.
    pub svg: Markup,
}

impl ChartFigure<'_> {
    pub(super) fn markup(self) -> Markup {
        let Self { id, chart, title, how, says, data, svg } = self;
        let data_id = format!("{id}-data");
        html! {
            figure #(id) data-chart=(chart.name()) {
                figcaption {
                    h3 { (title) }
                    a .data href=(format!("#{data_id}")) aria-label=(format!("Data of {title}")) { "Data" }
                    p { (how) }
                }
                div .plot role="img" aria-label=(says) { (svg) }
                (json(&data_id, &data))
            }
        }
    }
}

/// JSON as a script element. No text in it can end that element or begin another.
pub(super) fn json(id: &str, data: &Value) -> Markup {
    let escaped =
        guest_text::json(&data.to_string()).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let escaped = escaped.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    html! { script type="application/json" id=(id) { (PreEscaped(escaped)) } }
}

/// A figure with three digits, like those in the rest of the page; a whole number from 1,000 up.
pub(super) fn number(figure: f64) -> Value {
    if figure == 0.0 || !figure.is_finite() {
        return 0.into();
    }
    let unit = 10_f64.powf(figure.abs().log10().floor() - 2.0);
    let rounded = if unit < 1.0 { (figure / unit).round() / (1.0 / unit).round() } else { figure.round() };
    match rounded {
        whole if whole.fract() == 0.0 => (whole as i64).into(),
        rounded => rounded.into(),
    }
}

/// Figures with three digits.
pub(super) fn numbers(figures: &[f64]) -> Value {
    figures.iter().map(|&figure| number(figure)).collect()
}
