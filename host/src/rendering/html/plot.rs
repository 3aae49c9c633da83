//! Plots as inline SVG, for paper and for readers without JavaScript. This module knows nothing of reports: values go
//! in, marks come out.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::report::units;

/// The size of the drawing and its margins, in units of about one screen pixel.
const WIDTH: f64 = 640.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 26.0;

/// The kind of values in a chart, which decides how its axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Nanoseconds, on a logarithmic axis.
    Durations,
    /// Shares of a whole.
    Shares,
    /// Operations per second.
    PerSecond,
    /// What is counted.
    Counts,
    /// Plain amounts.
    Amounts,
}

impl Scale {
    /// The name of its unit in the page's scripts.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Durations => "ns",
            Self::Shares => "share",
            Self::PerSecond => "per_s",
            Self::Counts => "count",
            Self::Amounts => "",
        }
    }

    /// The axis that covers `values`.
    pub(super) fn axis(self, values: impl IntoIterator<Item = f64>) -> Axis {
        let values = values.into_iter();
        match self {
            Self::Durations => Axis::durations(values.map(|ns| ns as u64)),
            Self::Shares => Axis::shares(values.fold(0.0, f64::max)),
            Self::Counts => Axis::counts(values.fold(0.0, f64::max)),
            Self::PerSecond | Self::Amounts => Axis::amounts(values.fold(0.0, f64::max)),
        }
    }
}

/// Maps values to positions, and holds the ticks.
pub(super) struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// Seconds, from zero.
    pub(super) fn seconds(to: f64) -> Self {
        let to = if to > 0.0 { to } else { 1.0 };
        let steps = [0.001, 0.01, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];
        let step = steps.into_iter().find(|step| to / step <= 7.0).unwrap_or(to / 6.0);
        let label = |s: f64| match s {
            0.0 => "0".into(),
            // An axis shows a minute as `1 m`, not as sixty seconds.
            60.0..99.95 => round(&format!("1 m {:02.0} s", s - 60.0)),
            _ => round(&units::duration((s * 1e9).round() as u64)),
        };
        Self { from: 0.0, to, is_log: false, ticks: multiples(step, to, label) }
    }

    /// Amounts from zero, up to at least `most`.
    pub(super) fn amounts(most: f64) -> Self {
        Self::from_zero(most, 0.0, |value| short_amount(value, most))
    }

    /// The same of what is counted: a tick is a whole number.
    pub(super) fn counts(most: f64) -> Self {
        Self::from_zero(most.max(2.0), 1.0, |value| short_amount(value, most))
    }

    /// Shares of a whole from zero, up to at least `most`.
    pub(super) fn shares(most: f64) -> Self {
        Self::from_zero(most, 0.0, |share| round(&units::percent(share)))
    }

    fn from_zero(most: f64, least: f64, label: impl Fn(f64) -> String) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let unit = 10_f64.powf((most / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * unit).find(|step| most / step <= 5.0);
        let ticks = multiples(step.unwrap_or(most).max(least), most, label);
        Self { from: 0.0, to: most * 1.05, is_log: false, ticks }
    }

    /// Durations in nanoseconds on a logarithmic axis that covers `values`.
    pub(super) fn durations(values: impl IntoIterator<Item = u64>) -> Self {
        let range = values.into_iter().map(|ns| ns.max(1) as f64);
        let (from, to) = range.fold((f64::MAX, 1.0), |(from, to): (f64, f64), ns| (from.min(ns), to.max(ns)));
        let (from, to) = (from.min(to) / 1.1, to * 1.1);
        let ticks = round_values(from, to).into_iter();
        let ticks = ticks.map(|ns| (ns, round(&units::duration(ns.round() as u64)))).collect();
        Self { from, to, is_log: true, ticks }
    }

    /// Rates of operations on a logarithmic axis that covers `values`.
    pub(super) fn rates(values: impl IntoIterator<Item = f64>) -> Self {
        let range = values.into_iter().fold((f64::MAX, 1e-3), |(from, to), rate| (rate.min(from), rate.max(to)));
        let (from, to) = (range.0.clamp(1e-3, range.1) / 1.15, range.1 * 1.15);
        let ticks = round_values(from, to).into_iter().map(|rate| (rate, amount(rate))).collect();
        Self { from, to, is_log: true, ticks }
    }

    /// Nines, from the median on: the 90th percentile at 1, the 99th at 2, up to `to`.
    pub(super) fn nines(to: f64) -> Self {
        let named = ["50 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"];
        let median = 2_f64.log10();
        let place = |nines: usize| if nines == 0 { median } else { nines as f64 };
        let ticks = named.iter().enumerate().map(|(nines, name)| (place(nines), (*name).to_owned()));
        let mut ticks: Vec<_> = ticks.filter(|(nines, _)| *nines <= to.max(1.0)).collect();
        if to < 2.0 {
            ticks.insert(1, (4_f64.log10(), "75 %".into()));
        }
        Self { from: median, to: to.max(1.0), is_log: false, ticks }
    }

    /// The position of a value, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(f64::MIN_POSITIVE) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        place.clamp(0.0, 1.0)
    }
}

/// A duration without trailing zeros.
fn round(duration: &str) -> String {
    let [number, rest] = duration.split_once(' ').map_or([duration, ""], |(number, rest)| [number, rest]);
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {}", rest.trim_end_matches(" 00 s").trim_end_matches(" 00 m"))
}

/// Round values on a logarithmic axis: at least three, even if the axis covers little.
fn round_values(from: f64, to: f64) -> Vec<f64> {
    let leads: &[f64] = match (to / from).log10() {
        ..1.3 => &[1.0, 2.0, 3.0, 5.0, 7.0],
        ..2.6 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let powers = (from.log10().floor() as i32)..=(to.log10().ceil() as i32);
    let values = powers.flat_map(|power| leads.iter().map(move |lead| lead * 10_f64.powi(power)));
    let within: Vec<f64> = values.filter(|value| (from..=to).contains(value)).collect();
    if within.len() >= 3 {
        return within;
    }
    let third = (to - from) / 3.0;
    let power = 10_f64.powf(third.log10().floor());
    let step = [5.0, 2.0, 1.0].into_iter().map(|lead| lead * power).find(|step| *step <= third).unwrap_or(third);
    let first = (from / step).ceil() as u64;
    (first..).map(|i| i as f64 * step).take_while(|value| *value <= to).collect()
}

/// An amount on an axis up to `most`: millions have a letter, because there is no room for their zeros.
fn short_amount(value: f64, most: f64) -> String {
    if most < 1e6 || value == 0.0 { amount(value) } else { format!("{} M", value.round() / 1e6) }
}

/// An amount in its shortest form.
fn amount(value: f64) -> String {
    if value < 100.0 { format!("{}", (value * 1e6).round() / 1e6) } else { units::rate(value) }
}

fn multiples(step: f64, to: f64, label: impl Fn(f64) -> String) -> Vec<(f64, String)> {
    let values = (0..=(to / step).floor() as u32).map(|i| f64::from(i) * step);
    values.map(|value| (value, label(value))).collect()
}

/// A drawing within two axes.
pub(super) struct Plot {
    x: Axis,
    y: Axis,
    height: f64,
    marks: String,
    has_columns: bool,
}

impl Plot {
    pub(super) fn new(x: Axis, y: Axis, height: f64) -> Self {
        Self { x, y, height, marks: String::new(), has_columns: false }
    }

    /// Also with lines at the ticks of the horizontal axis.
    pub(super) fn with_columns(self) -> Self {
        Self { has_columns: true, ..self }
    }

    fn across(&self, x: f64) -> i64 {
        (LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT)).round() as i64
    }

    fn down(&self, y: f64) -> i64 {
        (self.height - BOTTOM - self.y.place(y) * (self.height - TOP - BOTTOM)).round() as i64
    }

    /// Values that each hold from one edge to the next, filled down to the axis. There is one more edge than values.
    pub(super) fn area(&mut self, classes: &str, edges: &[f64], values: &[f64]) {
        let base = self.down(self.y.from);
        let values: Vec<_> = values.iter().map(|&value| Some(value)).collect();
        let path = self.steps_path(edges, &values);
        if let Some((start, rest)) = path.split_once(['h', 'v']).map(|(start, _)| (start, &path[start.len()..])) {
            let first = self.across(edges[0]);
            let top = start.trim_start_matches('M').split(' ').nth(1).unwrap_or_default().to_owned();
            // Writing to a string cannot fail, here and below.
            let _ = write!(self.marks, "<path class=\"area {classes}\" d=\"M{first} {base}V{top}{rest}V{base}z\"/>");
        }
    }

    /// Values that each hold from one edge to the next, as a line with a gap for each `None`.
    pub(super) fn steps(&mut self, classes: &str, edges: &[f64], values: &[Option<f64>]) {
        let path = self.steps_path(edges, values);
        let _ = write!(self.marks, "<path class=\"line {classes}\" d=\"{path}\"/>");
    }

    /// The same, but intervals are not connected.
    pub(super) fn apart(&mut self, classes: &str, edges: &[f64], values: &[Option<f64>]) {
        let of = |(edge, value): (&[f64], &Option<f64>)| Some(self.steps_path(edge, &[Some((*value)?)]));
        let path: String = edges.windows(2).zip(values).filter_map(of).collect();
        let _ = write!(self.marks, "<path class=\"line {classes}\" d=\"{path}\"/>");
    }

    /// Relative commands in whole units take half the bytes of absolute ones.
    fn steps_path(&self, edges: &[f64], values: &[Option<f64>]) -> String {
        let mut path = String::new();
        let mut at: Option<(i64, i64)> = None;
        for (edge, value) in edges.windows(2).zip(values) {
            let Some(value) = value else {
                at = None;
                continue;
            };
            let (begin, end, level) = (self.across(edge[0]), self.across(edge[1]), self.down(*value));
            let _ = match at {
                None => write!(path, "M{begin} {level}h{}", end - begin),
                Some((x, y)) if y == level => write!(path, "h{}", end - x),
                Some((x, y)) => write!(path, "v{}h{}", level - y, end - x),
            };
            at = Some((end, level));
        }
        path
    }

    /// A line through points.
    pub(super) fn line(&mut self, classes: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let places = points.into_iter().map(|(x, y)| format!("{} {}", self.across(x), self.down(y)));
        let path = places.collect::<Vec<_>>().join("L");
        if !path.is_empty() {
            let _ = write!(self.marks, "<path class=\"line {classes}\" d=\"M{path}\"/>");
        }
    }

    /// Points.
    pub(super) fn points(&mut self, classes: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        // A line of length zero shows only its round ends.
        let dots = points.into_iter().map(|(x, y)| format!("M{} {}h0", self.across(x), self.down(y)));
        let path: String = dots.collect();
        if !path.is_empty() {
            let _ = write!(self.marks, "<path class=\"dots {classes}\" d=\"{path}\"/>");
        }
    }

    /// The same, but hollow.
    pub(super) fn hollow_points(&mut self, classes: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let points: Vec<_> = points.into_iter().collect();
        self.points(classes, points.iter().copied());
        self.points("hole", points);
    }

    /// Fills the range between two values on the horizontal axis.
    pub(super) fn between(&mut self, classes: &str, from: f64, to: f64) {
        let (left, right, bottom) = (self.across(from), self.across(to), self.height - BOTTOM);
        let width = (right - left).max(2);
        let _ = write!(self.marks, "<path class=\"{classes}\" d=\"M{left} {TOP}h{width}V{bottom}h-{width}z\"/>");
    }

    /// Rectangles of one class: their ranges on both axes.
    pub(super) fn cells(&mut self, classes: &str, cells: impl IntoIterator<Item = ([f64; 2], [f64; 2])>) {
        let mut path = String::new();
        for ([left, right], [low, high]) in cells {
            let (left, right, top, bottom) = (self.across(left), self.across(right), self.down(high), self.down(low));
            let (width, height) = ((right - left).max(1), (bottom - top).max(1));
            let _ = write!(path, "M{left} {top}h{width}v{height}h-{width}z");
        }
        if !path.is_empty() {
            let _ = write!(self.marks, "<path class=\"cell {classes}\" d=\"{path}\"/>");
        }
    }

    /// The drawing. It is hidden from screen readers, which read the sentence beside it.
    pub(super) fn svg(self) -> Markup {
        let (bottom, right) = (self.height - BOTTOM, WIDTH - RIGHT);
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {}", self.height)) aria-hidden="true" {
                g .grid {
                    @for (value, _) in &self.y.ticks { path d=(format!("M{LEFT} {}H{right}", self.down(*value))) {} }
                    @if self.has_columns { @for (value, _) in &self.x.ticks {
                        path d=(format!("M{} {TOP}V{bottom}", self.across(*value))) {}
                    } }
                }
                (PreEscaped(&self.marks))
                path .axis d=(format!("M{LEFT} {bottom}H{right}")) {}
                @for (value, label) in &self.y.ticks {
                    text x=(LEFT - 8.0) y=(self.down(*value) + 4) text-anchor="end" { (label) }
                }
                @for (value, label) in &self.x.ticks {
                    text x=(self.across(*value)) y=(bottom + 18.0) text-anchor="middle" { (label) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_has_at_least_three_ticks_with_labels_of_their_own() {
        for (from, to) in [(1, 1), (100_000, 100_900), (80_000, 310_000), (999, 1_001), (5, 1_000_000_000_000), (0, 0)]
        {
            let axis = Axis::durations([from, to]);
            let mut labels: Vec<_> = axis.ticks.iter().map(|(_, label)| label).collect();
            assert!((3..=13).contains(&labels.len()), "{from} to {to}: {labels:?}");
            assert!(axis.ticks.is_sorted_by(|(a, _), (b, _)| a < b), "{labels:?}");
            if from > 1 {
                labels.dedup();
                assert_eq!(labels.len(), axis.ticks.len(), "{labels:?}");
            }
        }
        let rates = Axis::rates([10.0, 655_360.0]).ticks;
        assert_eq!(
            rates.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>(),
            ["10", "100", "1,000", "10,000", "100,000"]
        );
    }
}
