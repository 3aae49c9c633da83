//! The forest plot of a comparison: a table of its figures, each with its interval drawn on a common axis.

use maud::{Markup, PreEscaped, html};

use crate::judging::compare::{Change, Difference, Figure, Finding, Pair, Row};

/// How far the axis reaches beyond the outermost measured difference, on the logarithmic scale. A wider interval is cut
/// off in the drawing, never in its figures.
const BEYOND: f64 = 1.5;

/// The least distance of two ticks, as a share of the axis.
const APART: f64 = 0.16;

/// Digits of ticks within each factor of ten.
const LEADS: [f64; 3] = [1.0, 2.0, 5.0];

/// Ticks of large ratios.
const FACTORS: [f64; 11] = [-0.999, -0.99, -0.95, -0.9, -0.75, 1.0, 3.0, 9.0, 39.0, 99.0, 999.0];

/// The figures of `pair`. The row of failures has its own axis, because its differences are points, not ratios.
pub(super) fn forest(pair: &Pair, id: &str) -> Markup {
    let (points, ratios): (Vec<&Difference>, Vec<_>) = pair.figures.iter().partition(|of| of.figure == Figure::Failed);
    html! {
        figure .forest #(id) {
            figcaption {
                h3 { "Differences of B from A, with their intervals" }
                p {
                    "The line is the interval of the true difference, the dot is what was measured. An interval that \
                     leaves out zero shows a difference."
                }
            }
            table {
                thead { tr {
                    th scope="col" { "Figure" } th scope="col" { span .key.a { "A" } } th scope="col" { span .key.b { "B" } }
                    th .drawing { span .visually-hidden { "Drawing" } }
                    th scope="col" { "difference" } th scope="col" { "interval" }
                    th .finding scope="col" { span .visually-hidden { "Finding" } }
                } }
                @for rows in [ratios, points] { (part(&rows)) }
            }
            p .note { (super::prose::capital(&pair.levels())) "." }
        }
    }
}

/// Rows with one axis below.
fn part(rows: &[&Difference]) -> Markup {
    let Some(figure) = rows.first().map(|of| of.figure) else { return html! {} };
    let axis = Axis::of(figure, rows.iter().filter_map(|of| of.change));
    html! { tbody {
        @for of in rows {
            @let Row { name, a, b, difference, interval, finding } = of.row();
            tr class=(look(of.finding)) data-figure=(name) {
                th scope="row" { (name) }
                td .value { (a) } td .value { (b) }
                td .drawing aria-hidden="true" { @if let Some(change) = of.change { (axis.drawing(change)) } }
                td .difference { (difference) } td .interval { (interval) } td .finding { (finding) }
            }
        }
        tr .axis aria-hidden="true" {
            td {} td {} td {}
            td .drawing { div { @for (at, label) in &axis.ticks { span style=(format!("--at:{at:.1}%")) { (label) } } } }
            td {} td {} td {}
        }
    } }
}

fn look(finding: Finding) -> &'static str {
    match finding {
        Finding::Slower | Finding::FailsMore => "bad",
        Finding::Faster | Finding::FailsLess => "good",
        Finding::Nothing => "none",
    }
}

/// The axis of differences: ratios on a logarithmic scale, points on a linear one.
struct Axis {
    is_ratio: bool,
    from: f64,
    to: f64,
    /// Positions in percent, and labels.
    ticks: Vec<(f64, String)>,
}

impl Axis {
    fn of(figure: Figure, changes: impl Iterator<Item = Change>) -> Self {
        let mut axis = Self { is_ratio: figure != Figure::Failed, from: 0.0, to: 0.0, ticks: Vec::new() };
        let changes: Vec<_> =
            changes.map(|of| [of.low, of.measured, of.high].map(|change| axis.scaled(change))).collect();
        let (mut least, mut most) = (0.0_f64, 0.0_f64);
        for [_, measured, _] in &changes {
            (least, most) = (least.min(*measured), most.max(*measured));
        }
        for [low, _, high] in &changes {
            axis.from = axis.from.min(low.max(least - BEYOND));
            axis.to = axis.to.max(high.min(most + BEYOND));
        }
        let margin = ((axis.to - axis.from) * 0.04).max(1e-9);
        (axis.from, axis.to) = (axis.from - margin, axis.to + margin);
        axis.ticks = axis.ticks(figure);
        axis
    }

    fn scaled(&self, change: f64) -> f64 {
        if self.is_ratio { change.max(-1.0).ln_1p() } else { change }
    }

    /// The position of a difference in percent of the axis, and whether the difference is beyond it.
    fn place(&self, change: f64) -> (f64, bool) {
        let place = (self.scaled(change) - self.from) / (self.to - self.from) * 100.0;
        (place.clamp(0.0, 100.0), !(0.0..=100.0).contains(&place))
    }

    /// Zero, and round differences on both sides of it that are far enough apart.
    fn ticks(&self, figure: Figure) -> Vec<(f64, String)> {
        let small = (-7..0).flat_map(|power| LEADS.iter().map(move |lead| lead * 10_f64.powi(power)));
        let mut all: Vec<f64> = small.flat_map(|change| [-change, change]).chain(FACTORS).collect();
        all.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let mut ticks = vec![0.0];
        for change in all {
            let (at, is_beyond) = self.place(change);
            // The labels of small differences are long.
            let apart = if self.is_ratio { APART } else { 2.0 * APART };
            if !is_beyond && ticks.iter().all(|&tick| (self.place(tick).0 - at).abs() >= apart * 100.0) {
                ticks.push(change);
            }
        }
        ticks.sort_by(f64::total_cmp);
        ticks.into_iter().map(|change| (self.place(change).0, label(&figure.text(change)))).collect()
    }

    /// An interval with its measured difference. The drawing is stretched, so it has lines and round dots only.
    fn drawing(&self, change: Change) -> Markup {
        let ((low, cut_low), (high, cut_high)) = (self.place(change.low), self.place(change.high));
        let (zero, measured) = (self.place(0.0).0, self.place(change.measured).0);
        let grid: String = self.ticks.iter().map(|(at, _)| format!("M{at:.2} 0V10")).collect();
        let ends: String = [(low, cut_low), (high, cut_high)]
            .iter()
            .filter(|(_, is_cut)| !is_cut)
            .map(|(at, _)| format!("M{at:.2} 3.2V6.8"))
            .collect();
        html! { svg viewBox="0 0 100 10" preserveAspectRatio="none" {
            path .tick d=(PreEscaped(grid)) {}
            path .zero d=(format!("M{zero:.2} 0V10")) {}
            path .range d=(format!("M{low:.2} 5H{high:.2}{ends}")) {}
            path .dot d=(format!("M{measured:.2} 5h0")) {}
        } }
    }
}

/// A tick's label without trailing zeros, `+20 %`. Points are too long for a tick.
fn label(change: &str) -> String {
    let (number, unit) = change.split_once(' ').unwrap_or((change, ""));
    let unit = if unit == "points" { "" } else { unit };
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(low: f64, measured: f64, high: f64) -> Change {
        Change { measured, low, high, detectable: 0.0 }
    }

    #[test]
    fn ticks_are_round_and_in_order() {
        for (low, measured, high, wanted) in [
            (-0.03, 0.0, 0.03, vec!["-2 %", "0 %", "+2 %"]),
            (0.5, 21.03, 30.0, vec!["0 %", "+100 %", "+300 %", "+900 %"]),
            (-0.6, -0.5, -0.4, vec!["-50 %", "-20 %", "0 %"]),
        ] {
            let ticks = Axis::of(Figure::P50, [change(low, measured, high)].into_iter()).ticks;
            let labels: Vec<_> = ticks.iter().map(|(_, label)| label.as_str()).collect();
            assert!(wanted.iter().all(|label| labels.contains(label)), "{labels:?} lacks some of {wanted:?}");
            assert_eq!(label("-0.10 points"), "-0.1");
            assert!(ticks.is_sorted_by(|(a, _), (b, _)| b - a >= APART * 100.0), "{ticks:?}");
        }
    }

    #[test]
    fn an_interval_without_bounds_is_cut_off_and_others_stay_visible() {
        let narrow = change(-0.2, -0.1, 0.1);
        let axis = Axis::of(Figure::P50, [narrow, change(-1.0, 0.0, f64::MAX)].into_iter());
        assert!(axis.place(0.1).0 - axis.place(-0.2).0 > 5.0);
        assert!(axis.place(-1.0).1 && axis.place(f64::MAX).1);
        assert!(axis.drawing(change(-1.0, 0.0, f64::MAX)).into_string().contains("M0.00 5H100.00"));
    }
}
