//! JSON whose parts keep their places in the file.

use std::cell::Cell;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::SyntaxError;
use super::names::Names;
use super::template::{Place, Template};

/// A text that has JSON, of which parts can be found again.
pub(super) struct Source<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// A byte of the text, and its column. Places are mostly asked for in their order, and a line may be long.
    last: Cell<(usize, usize)>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let newlines = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
        Self { text, lines: [0].into_iter().chain(newlines).collect(), last: Cell::new((0, 1)) }
    }

    /// Where `part`, a slice of the text, begins.
    pub(super) fn place(&self, part: &str) -> Place {
        self.place_of(part.as_ptr() as usize - self.text.as_ptr() as usize)
    }

    fn place_of(&self, byte: usize) -> Place {
        let byte = byte.min(self.text.len());
        let line = self.lines.partition_point(|&begin| begin <= byte);
        let begin = self.lines[line - 1];
        let (known, column) = self.last.get();
        let (from, before) = if (begin..=byte).contains(&known) { (known, column) } else { (begin, 1) };
        // Each character has one byte that does not continue another.
        let begins = self.text.as_bytes()[from..byte].iter().filter(|&&of| !(0x80..0xc0).contains(&of)).count();
        let column = before + begins;
        self.last.set((byte, column));
        Place { line, column }
    }

    /// Reads `part`, a slice of the text.
    pub(super) fn read<T: Deserialize<'a>>(&self, part: &'a str) -> Result<T, SyntaxError> {
        serde_json::from_str(part).map_err(|error| self.mistake(part, &error))
    }

    /// The values of the text, one after the other. `JSON` is what they should be, in words.
    pub(super) fn values(&self) -> Result<Vec<&'a RawValue>, SyntaxError> {
        let values = serde_json::Deserializer::from_str(self.text).into_iter::<&'a RawValue>();
        values.map(|value| value.map_err(|error| self.mistake(self.text, &error))).collect()
    }

    fn mistake(&self, part: &str, error: &serde_json::Error) -> SyntaxError {
        let begin = part.as_ptr() as usize - self.text.as_ptr() as usize;
        let line = part.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
        let place = self.place_of(begin + line + error.column().saturating_sub(1));
        let problem = error.to_string();
        let problem = problem.split(" at line ").next().unwrap_or_default();
        // These end at the name, and what is meant is its begin.
        let name = ["unknown field `", "duplicate field `"].iter().find_map(|begin| problem.strip_prefix(begin));
        let name = name.and_then(|name| name.split('`').next()).map_or(0, |name| name.chars().count() + 1);
        Place { column: place.column.saturating_sub(name).max(1), ..place }.wrong(problem)
    }

    /// A string that is a URL, with its places for values filled.
    pub(super) fn filled_url(&self, string: &'a RawValue, names: &Names<'_>) -> Result<Template, SyntaxError> {
        let text: String = self.read(string.get())?;
        let at = self.place(string.get());
        names.fill_url(&text, at).map_err(|mistake| at.wrong(mistake.problem))
    }

    /// A string, with its places for values filled.
    pub(super) fn filled(&self, string: &'a RawValue, names: &Names<'_>) -> Result<Template, SyntaxError> {
        let text: String = self.read(string.get())?;
        let at = self.place(string.get());
        names.fill(&text, at).map_err(|mistake| at.wrong(mistake.problem))
    }
}

/// The keys of the object that `text` is, if it is one.
pub(super) fn keys(text: &str) -> Option<Vec<String>> {
    let object: BTreeMap<String, IgnoredAny> = serde_json::from_str(text).ok()?;
    Some(object.into_keys().collect())
}

/// `value` unless it is `null`.
pub(super) fn present(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| value.get() != "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_mistakes_have_places() {
        let text = "[\n \"\u{e9}\", {\"a\":\n 7}]";
        let source = Source::new(text);
        let parts: Vec<&RawValue> = source.read(text).unwrap();
        assert_eq!(source.place(parts[1].get()), Place { line: 2, column: 7 });
        let mistake = source.read::<std::collections::BTreeMap<String, String>>(parts[1].get()).unwrap_err();
        assert_eq!((mistake.line, mistake.column), (3, 2));
        assert!(Source::new("{\"a\": 1} {").values().is_err());
    }
}
