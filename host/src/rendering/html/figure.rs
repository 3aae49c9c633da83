//! A chart: its drawing, the sentence that says how to read it, its data.
//!
//! The drawing is SVG; where JavaScript runs, `report.js` draws the same data in its place, to be hovered, zoomed and
//! filtered. The data is JSON in the page, shown by its link alone.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use crate::guest_text;

/// A chart of the page.
pub(super) struct Figure<'a> {
    /// Its name in the page, by which it is linked to.
    pub id: String,
    /// What it is, for `report.js`.
    pub chart: &'static str,
    /// Its heading.
    pub title: &'a str,
    /// How to read it.
    pub how: &'a str,
    /// What it shows, in a sentence, for who cannot see it.
    pub says: String,
    /// What is drawn.
    pub data: Value,
    /// The drawing.
    pub svg: Markup,
}

impl Figure<'_> {
    pub(super) fn markup(self) -> Markup {
        let Self { id, chart, title, how, says, data, svg } = self;
        let data_id = format!("{id}-data");
        html! {
            figure #(id) data-chart=(chart) {
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

/// Data within a page: no text in it can end its element, or begin another.
pub(super) fn json(id: &str, data: &Value) -> Markup {
    let escaped =
        guest_text::json(&data.to_string()).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let escaped = escaped.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    html! { script type="application/json" id=(id) { (PreEscaped(escaped)) } }
}

/// A figure to three digits, as the rest of the page has it; above 1,000 a whole number.
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

/// Figures to three digits.
pub(super) fn numbers(figures: &[f64]) -> Value {
    figures.iter().map(|&figure| number(figure)).collect()
}
