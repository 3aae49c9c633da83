//! Assigns a colour to each result: the same in every chart, run and table of a page.
//!
//! Results that are ok take cool colours, others warm ones. Failures also have a cross and hatching, so that they can
//! be recognised without colours. The style sheet defines the colours.

use std::cmp::Reverse;
use std::collections::HashMap;

use maud::{Markup, html};

use crate::metrics::Outcome;
use crate::report::ResultReport;

/// The most results that are drawn one by one, the most frequent first; charts sum up the rest. The style sheet has so
/// many colours of each temperature.
const MOST_DRAWN: usize = 10;

/// The most failures among them, if there are as many other results.
const MOST_BAD: usize = 5;

/// The results that are drawn, and how. `rest` counts the other results and their operations.
pub(super) struct Palette<'a> {
    drawn: Vec<Drawn<'a>>,
    rest: (u64, u64),
}

/// How one result is drawn.
#[derive(Clone, Debug)]
pub(super) struct Drawn<'a> {
    /// The result.
    pub name: &'a str,
    /// Its index in the palette, which scripts and styles use.
    pub slot: usize,
    /// The style sheet's name for its colour, such as `ok-3` or `bad-0`.
    pub colour: String,
    /// Whether it is a failure.
    pub is_bad: bool,
    /// Its operations.
    pub operations: u64,
}

impl<'a> Palette<'a> {
    /// A palette for `results`, which come most frequent first. Several of them may have the same name.
    pub(super) fn new(results: impl IntoIterator<Item = &'a ResultReport>) -> Self {
        let mut all: Vec<(Drawn<'a>, u64)> = Vec::new();
        let mut places = HashMap::new();
        for result in results {
            let name = result.result.raw();
            let place = *places.entry(name).or_insert(all.len());
            if let Some((known, first)) = all.get_mut(place) {
                known.operations += result.operations;
                *first = result.first_number.min(*first);
                continue;
            }
            let is_bad = result.outcome != Outcome::Ok;
            let new = Drawn { name, slot: place, colour: String::new(), is_bad, operations: result.operations };
            all.push((new, result.first_number));
        }
        // A rare failure matters more than one more result that is ok.
        let (bad, ok): (Vec<_>, Vec<_>) = all.into_iter().partition(|(drawn, _)| drawn.is_bad);
        let most_bad = MOST_BAD.max(MOST_DRAWN.saturating_sub(ok.len())).min(bad.len());
        let most_ok = (MOST_DRAWN - most_bad.min(MOST_DRAWN)).min(ok.len());
        let rest = bad.iter().skip(most_bad).chain(ok.iter().skip(most_ok));
        let rest = rest.fold((0, 0), |(results, operations), (of, _)| (results + 1, operations + of.operations));
        let mut drawn: Vec<_> = bad.into_iter().take(most_bad).chain(ok.into_iter().take(most_ok)).collect();
        // Ordered by first appearance, not by frequency, so that colours do not change while a run goes on.
        drawn.sort_by_key(|(drawn, first)| (*first, drawn.slot));
        let (mut ok, mut bad) = (0, 0);
        for (slot, (drawn, _)) in drawn.iter_mut().enumerate() {
            let (temperature, next) = if drawn.is_bad { ("bad", &mut bad) } else { ("ok", &mut ok) };
            (drawn.slot, drawn.colour) = (slot, format!("{temperature}-{next}"));
            *next += 1;
        }
        Self { drawn: drawn.into_iter().map(|(drawn, _)| drawn).collect(), rest }
    }

    /// All results that are drawn, by slot.
    pub(super) fn drawn(&self) -> &[Drawn<'a>] {
        &self.drawn
    }

    /// The number of results that are not drawn one by one, and of their operations.
    pub(super) fn rest(&self) -> (u64, u64) {
        self.rest
    }

    /// All results that are drawn, the most frequent first.
    pub(super) fn by_frequency(&self) -> Vec<&Drawn<'a>> {
        let mut drawn: Vec<_> = self.drawn.iter().collect();
        drawn.sort_by_key(|drawn| Reverse(drawn.operations));
        drawn
    }

    /// The names of all results that are drawn, by slot.
    pub(super) fn names(&self) -> Vec<&'a str> {
        self.drawn.iter().map(|drawn| drawn.name).collect()
    }

    /// How `result` is drawn; `None` if it belongs to the rest.
    pub(super) fn of(&self, result: &str) -> Option<&Drawn<'a>> {
        self.drawn.iter().find(|drawn| drawn.name == result)
    }
}

impl Drawn<'_> {
    /// A patch of its colour, with the cross of a failure.
    pub(super) fn swatch(&self) -> Markup {
        swatch(&self.colour, if self.is_bad { Mark::Cross } else { Mark::None })
    }

    /// The classes for elements in its colour.
    pub(super) fn classes(&self) -> String {
        format!("r{} {}", self.slot, self.colour)
    }
}

/// What tells failures apart besides their colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    /// The mark of a failure.
    Cross,
}

/// A patch of colour.
pub(super) fn swatch(colour: &str, mark: Mark) -> Markup {
    html! { span class=(format!("swatch {colour}")) aria-hidden="true" { @if mark == Mark::Cross { "✕" } } }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::guest_text::GuestText;
    use crate::report::Report;
    use crate::report::tests::{environment, record};

    const CSS: &str = include_str!("report.css");

    type Colours = BTreeMap<&'static str, [f64; 3]>;

    /// The variables of both themes that hold colours, as linear red, green and blue.
    fn themes() -> [(&'static str, Colours); 2] {
        let (light, dark) = CSS.split_once("@media screen and (prefers-color-scheme: dark)").unwrap();
        let dark = dark.split_once("} }").unwrap().0;
        let light = colours(light);
        let mut of_dark = light.clone();
        of_dark.extend(colours(dark));
        [("light", light), ("dark", of_dark)]
    }

    fn colours(css: &'static str) -> Colours {
        let variable = |part: &'static str| {
            let (name, value) = part.split_once(": #")?;
            let channel = |at: usize| u8::from_str_radix(value.get(at..at + 2)?, 16).ok();
            Some((name, [channel(0)?, channel(2)?, channel(4)?].map(linear)))
        };
        css.split("--").filter_map(variable).collect()
    }

    fn linear(channel: u8) -> f64 {
        let share = f64::from(channel) / 255.0;
        if share <= 0.040_45 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    }

    /// The contrast ratio of WCAG, from 1 to 21.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
        let (a, b) = (luminance(a), luminance(b));
        a.max(b) / a.min(b)
    }

    fn times(matrix: [[f64; 3]; 3], of: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(of).map(|(factor, of)| factor * of).sum())
    }

    /// A point in Oklab, where distances match perception.
    fn oklab(rgb: [f64; 3]) -> [f64; 3] {
        let cones = [
            [0.412_221_5, 0.536_332_5, 0.051_446],
            [0.211_903_5, 0.680_699_5, 0.107_397],
            [0.088_302_5, 0.281_718_8, 0.629_978_7],
        ];
        let lab = [
            [0.210_454_3, 0.793_617_8, -0.004_072],
            [1.977_998_5, -2.428_592_2, 0.450_593_7],
            [0.025_904, 0.782_771_8, -0.808_675_8],
        ];
        times(lab, times(cones, rgb.map(|of| of.max(0.0))).map(f64::cbrt))
    }

    /// Normal vision, and vision without red, green or blue cones (Machado, Oliveira and Fernandes, 2009).
    const EYES: [(&str, [[f64; 3]; 3]); 4] = [
        ("all cones", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "no red ones",
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "no green ones",
            [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_82, 0.042_94, 0.968_881]],
        ),
        (
            "no blue ones",
            [[1.255_528, -0.076_749, -0.178_779], [-0.078_411, 0.930_809, 0.147_602], [0.004_733, 0.691_367, 0.303_9]],
        ),
    ];

    #[test]
    fn rare_failures_are_drawn_and_no_colour_is_used_twice() {
        let report = Report::new(environment(), &[record(1)]);
        let [ok, bad] =
            [Outcome::Ok, Outcome::Failed].map(|outcome| ResultReport { outcome, ..report.runs[0].results[0].clone() });
        let named = |of: &ResultReport, name: String, operations: u64| ResultReport {
            result: GuestText::new(&name),
            operations,
            ..of.clone()
        };
        for (oks, bads, drawn_ok, drawn_bad) in
            [(30, 2, 8, 2), (30, 9, 5, 5), (2, 30, 2, 8), (0, 30, 0, 10), (4, 3, 4, 3)]
        {
            let mut results: Vec<_> = (0..oks).map(|i| named(&ok, format!("ok {i}"), 1_000 - i)).collect();
            results.extend((0..bads).map(|i| named(&bad, format!("bad {i}"), 100 - i)));
            let palette = Palette::new(&results);
            let of = |is_bad| palette.drawn().iter().filter(|of| of.is_bad == is_bad).count() as u64;
            assert_eq!((of(false), of(true)), (drawn_ok, drawn_bad), "{oks} and {bads}");
            let colours: std::collections::BTreeSet<_> = palette.drawn().iter().map(|of| &of.colour).collect();
            assert_eq!(colours.len(), palette.drawn().len());
            let operations: u64 = results.iter().map(|of| of.operations).sum();
            let drawn: u64 = palette.drawn().iter().map(|of| of.operations).sum();
            assert_eq!(palette.rest(), (oks + bads - drawn_ok - drawn_bad, operations - drawn));
        }
    }

    #[test]
    fn text_has_enough_contrast() {
        for (theme, of) in themes() {
            let texts = ["ink", "soft", "faint", "accent", "good", "warning", "bad"].map(|text| [text, "page"]);
            let on_paper = texts.map(|[text, _]| [text, "paper"]);
            let washed = ["bad", "warning", "good"].map(|tone| [tone, "paper"]);
            let on_wash = [["bad", "bad-wash"], ["warning", "warning-wash"], ["good", "good-wash"], ["page", "ink"]];
            for [text, ground] in texts.iter().chain(&on_paper).chain(&washed).chain(&on_wash) {
                let contrast = contrast(of[text], of[ground]);
                assert!(contrast >= 4.5, "{theme}: {text} on {ground}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn all_eyes_can_see_the_drawn_colours_and_tell_them_apart() {
        for (theme, of) in themes() {
            for temperature in ["ok", "bad"] {
                let colours: Vec<_> =
                    (0..super::MOST_DRAWN).map(|i| of[format!("{temperature}-{i}").as_str()]).collect();
                for (i, &a) in colours.iter().enumerate() {
                    let on_paper = contrast(a, of["paper"]);
                    assert!(on_paper >= 3.0, "{theme}: {temperature}-{i} on paper: {on_paper:.2}");
                    for (j, &b) in colours.iter().enumerate().skip(i + 1) {
                        // The first colours are those that most reports use, so they are further apart.
                        let least = if j < 5 { 0.06 } else { 0.04 };
                        for (eyes, matrix) in EYES {
                            let [a, b] = [a, b].map(|colour| oklab(times(matrix, colour)));
                            let apart = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                            assert!(
                                apart >= least,
                                "{theme}, {eyes}: {temperature}-{i} and {temperature}-{j}: {apart:.3}"
                            );
                        }
                    }
                }
            }
            for line in ["p50", "p90", "p99", "max", "all"] {
                assert!(contrast(of[line], of["paper"]) >= 3.0, "{theme}: {line}");
            }
        }
    }
}
