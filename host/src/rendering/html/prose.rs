//! The report's sentences as prose: with a capital, a full stop, and a sign for their tone.

use maud::{Markup, html};

use super::tables::name;
use crate::report::words::{Part, Tone, Word};

/// Up to this many good sentences are shown one by one.
const MOST_GOOD: usize = 3;

/// The tone in a word, for readers who do not see its sign.
fn spoken(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "failed",
        Tone::Warning => "warning",
        Tone::Good => "passed",
        Tone::Plain => "note",
    }
}

/// The class of a tone, which gives its colour, and its sign, which needs no colour.
pub(super) fn look(tone: Tone) -> (&'static str, &'static str) {
    match tone {
        Tone::Bad => ("bad", "✕"),
        Tone::Warning => ("warning", "!"),
        Tone::Good => ("good", "✓"),
        Tone::Plain => ("plain", "i"),
    }
}

/// Sentences as a list, the worst first; without sentences nothing.
pub(super) fn list(mut words: Vec<Word>) -> Markup {
    words.sort_by_key(|word| word.tone);
    let (good, rest): (Vec<_>, Vec<_>) = words.iter().partition(|word| word.tone == Tone::Good);
    // Many good sentences would hide the bad ones.
    let (good, rest) = if good.len() > MOST_GOOD { (good, rest) } else { (Vec::new(), words.iter().collect()) };
    html! {
        (items(&rest))
        @if !good.is_empty() {
            details .kept { summary { "✓ " (good.len()) " limits are kept" } (items(&good)) }
        }
    }
}

fn items(words: &[&Word]) -> Markup {
    html! { @if !words.is_empty() { ul .words {
        @for word in words {
            @let (class, sign) = look(word.tone);
            li class=(class) { span .sign role="img" aria-label=(spoken(word.tone)) { (sign) } span { (sentence(word)) } }
        }
    } } }
}

fn sentence(word: &Word) -> Markup {
    html! {
        @for (i, part) in word.parts.iter().enumerate() {
            @match part {
                Part::Plain(text) if i == 0 => (coded(&capital(text), plain)),
                Part::Plain(text) => (coded(text, plain)),
                Part::Code(text) => code { (name(text)) },
                Part::Foreign(text) => (coded(text, name)),
            }
        }
        "."
    }
}

fn plain(text: &str) -> Markup {
    html! { (text) }
}

/// A text in which code stands between backticks; `show` shows the rest.
fn coded(text: &str, show: fn(&str) -> Markup) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return show(text);
    }
    html! { @for (i, part) in parts.iter().enumerate() {
        @if !i.is_multiple_of(2) { code { (name(part)) } } @else if !part.is_empty() { (show(part)) }
    } }
}

/// One of Gorgon's own texts, with a capital at its beginning.
pub(super) fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}
