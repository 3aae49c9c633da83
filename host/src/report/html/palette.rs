//! Which colour a result has: the same one in every chart, run and table of a page.
//!
//! Results that are ok take cool colours, others warm ones; besides its colour each failure has a cross and hatching, so
//! that it is told apart without colours. What the colours are is the style sheet's business.

use std::cmp::Reverse;

use maud::{Markup, html};

use crate::metrics::Outcome;
use crate::report::ResultReport;

/// Results that are drawn one by one, the most frequent ones; charts have the rest as one.
const MOST_DRAWN: usize = 20;

/// Colours of each temperature in the style sheet; beyond them they repeat, with dashes.
const COLOURS: usize = 10;

/// The results that are drawn, and how.
pub(super) struct Palette<'a>(Vec<Drawn<'a>>);

/// How one result is drawn.
#[derive(Clone, Debug)]
pub(super) struct Drawn<'a> {
    /// The result.
    pub name: &'a str,
    /// Its place in the palette, by which scripts and styles name it.
    pub slot: usize,
    /// The style sheet's name for its colour, such as `ok-3` or `bad-0`.
    pub colour: String,
    /// Whether it is a failure.
    pub is_bad: bool,
    /// Whether its colour is used a second time.
    pub is_dashed: bool,
    /// Its operations.
    pub operations: u64,
}

impl<'a> Palette<'a> {
    /// A palette for these results, of which several may have one name, the most frequent first.
    pub(super) fn new(results: impl IntoIterator<Item = &'a ResultReport>) -> Self {
        let mut drawn: Vec<(Drawn<'a>, u64)> = Vec::new();
        for result in results {
            if let Some((known, first)) = drawn.iter_mut().find(|(known, _)| known.name == result.result) {
                known.operations += result.operations;
                *first = result.first_number.min(*first);
            } else if drawn.len() < MOST_DRAWN {
                let is_bad = result.outcome != Outcome::Ok;
                let colour = String::new();
                let (name, operations) = (result.result.as_str(), result.operations);
                let new = Drawn { name, slot: drawn.len(), colour, is_bad, is_dashed: false, operations };
                drawn.push((new, result.first_number));
            }
        }
        // By first appearance, not by frequency: a colour stays what it is while a run goes on.
        drawn.sort_by_key(|(drawn, first)| (*first, drawn.slot));
        let (mut ok, mut bad) = (0, 0);
        for (slot, (drawn, _)) in drawn.iter_mut().enumerate() {
            let (temperature, next) = if drawn.is_bad { ("bad", &mut bad) } else { ("ok", &mut ok) };
            (drawn.slot, drawn.colour) = (slot, format!("{temperature}-{}", *next % COLOURS));
            drawn.is_dashed = *next >= COLOURS;
            *next += 1;
        }
        Self(drawn.into_iter().map(|(drawn, _)| drawn).collect())
    }

    /// All that are drawn, by their slots.
    pub(super) fn drawn(&self) -> &[Drawn<'a>] {
        &self.0
    }

    /// All that are drawn, the most frequent first.
    pub(super) fn by_frequency(&self) -> Vec<&Drawn<'a>> {
        let mut drawn: Vec<_> = self.0.iter().collect();
        drawn.sort_by_key(|drawn| Reverse(drawn.operations));
        drawn
    }

    /// The names of all that are drawn, by their slots.
    pub(super) fn names(&self) -> Vec<&'a str> {
        self.0.iter().map(|drawn| drawn.name).collect()
    }

    /// How `result` is drawn; nothing where it is one of the rest.
    pub(super) fn of(&self, result: &str) -> Option<&Drawn<'a>> {
        self.0.iter().find(|drawn| drawn.name == result)
    }
}

impl Drawn<'_> {
    /// A patch of its colour, with the cross of a failure.
    pub(super) fn swatch(&self) -> Markup {
        swatch(&self.colour, self.is_bad)
    }

    /// The classes of what is drawn in its colour.
    pub(super) fn classes(&self) -> String {
        format!("r{} {}{}", self.slot, self.colour, if self.is_dashed { " dashed" } else { "" })
    }
}

/// A patch of colour.
pub(super) fn swatch(colour: &str, is_bad: bool) -> Markup {
    html! { span class=(format!("swatch {colour}")) aria-hidden="true" { @if is_bad { "✕" } } }
}
