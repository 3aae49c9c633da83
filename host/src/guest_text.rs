//! Text that comes from a guest or was chosen by one: results, reasons, names of spans, destinations.
//!
//! The text is cut where it enters, and escaped where it leaves. [`GuestText`] cannot be printed by accident: it has no
//! `Display`, and is shown only through the escaping of a medium. Does not know what the text means.

use std::borrow::{Borrow, Cow};

use serde::{Deserialize, Serialize};

/// A result is a key, not a document: longer text is cut to this many bytes.
pub const MAX_BYTES: usize = 256;

/// Text from a guest, at most 256 bytes of UTF-8.
// The 256 is `MAX_BYTES`. The schemas quote this comment, so it spells the number out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(with = "String"))]
pub struct GuestText(Box<str>);

impl GuestText {
    /// The text, cut.
    pub fn new(text: &str) -> Self {
        Self(cut(text).into())
    }

    /// The text without escaping: for comparisons, and for JSON, which has its escaping. To show it to people, use
    /// [`on_line`](Self::on_line) or [`in_cell`](Self::in_cell).
    pub fn raw(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text for a line of a terminal, a page or a log: see [`line()`].
    pub fn on_line(&self) -> String {
        line(&self.0)
    }

    /// The text for a cell of a table that a spreadsheet may open: see [`cell()`].
    pub fn in_cell(&self) -> Cow<'_, str> {
        cell(&self.0)
    }
}

impl From<String> for GuestText {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<&str> for GuestText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<GuestText> for String {
    fn from(text: GuestText) -> Self {
        text.0.into()
    }
}

impl Borrow<str> for GuestText {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for GuestText {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for GuestText {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

/// `text`, cut to [`MAX_BYTES`] at a character's boundary.
#[inline]
pub fn cut(text: &str) -> &str {
    if text.len() <= MAX_BYTES { text } else { &text[..text.floor_char_boundary(MAX_BYTES)] }
}

/// `text`, cut, in memory of that size: a guest may pass 100 MB, and `truncate` would keep them.
#[inline]
pub fn cut_owned(text: String) -> String {
    if text.len() <= MAX_BYTES { text } else { cut(&text).to_owned() }
}

/// `text` in one line that shows what it contains. White space becomes a space. Characters that move the cursor,
/// reverse text or are invisible become U+FFFD.
pub fn line(text: &str) -> String {
    let one = |c: char| match c {
        _ if c.is_whitespace() => ' ',
        _ if is_unsafe(c) => char::REPLACEMENT_CHARACTER,
        _ => c,
    };
    text.chars().map(one).collect()
}

/// A name on a line, at most 100 bytes of it: what follows must be read, too.
pub fn brief(name: &str) -> String {
    const MOST: usize = 100;
    let shown = line(&name[..name.floor_char_boundary(MOST)]);
    if name.len() > MOST { shown + "…" } else { shown }
}

/// The same, but with its tabs, which do no harm.
pub fn tabbed_line(text: &str) -> String {
    text.split('\t').map(line).collect::<Vec<_>>().join("\t")
}

/// `text` for XML 1.0, which cannot represent most control characters.
pub fn xml(text: &str) -> String {
    let one = |c: char| if is_unsafe(c) && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().map(one).collect()
}

/// `text` for a label: invisible characters become escapes. If the text has any, or what looks like one, backslashes
/// are doubled, so that different texts stay different.
pub fn visible(text: &str) -> String {
    if !has_invisible(text) && !text.contains("\\u{") {
        return text.to_owned();
    }
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => visible.push_str("\\\\"),
            _ if is_unsafe(c) && c != '\n' => visible.extend(c.escape_unicode()),
            _ => visible.push(c),
        }
    }
    visible
}

fn has_invisible(text: &str) -> bool {
    text.chars().any(|c| is_unsafe(c) && c != '\n')
}

/// `json` with invisible characters as escapes. They occur only within strings, so the JSON means the same.
pub fn json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) && !matches!(c, '\n' | '\t') {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units);
            for unit in units {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// `text` for a cell of a table. If a spreadsheet would take the text for a formula, an apostrophe is put before it, as
/// OWASP advises (CSV Injection); also behind a semicolon, which separates cells in many countries. Invisible
/// characters are escaped as in [`visible`], because tables are printed on terminals too.
pub fn cell(text: &str) -> Cow<'_, str> {
    let is_formula = |text: &str| text.trim_start_matches(['\u{fe0e}', '\u{fe0f}']).starts_with(FORMULA);
    let behind_semicolon =
        |text: &str| text.split(';').skip(1).any(|part| is_formula(part.trim_start_matches(['"', ' '])));
    let is_quiet = !has_invisible(text) && !text.contains("\\u{");
    if is_quiet && !is_formula(text) && !behind_semicolon(text) {
        return Cow::Borrowed(text);
    }
    let apart = |(i, part): (usize, &str)| {
        let cell = if i == 0 { part } else { part.trim_start_matches(['"', ' ']) };
        if is_formula(cell) { format!("'{part}") } else { part.to_owned() }
    };
    let parts: Vec<String> = text.split(';').enumerate().map(apart).collect();
    // An apostrophe that is put before a tab stays before it.
    Cow::Owned(visible(&parts.join(";")))
}

/// What a formula may begin with.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

/// What a guest prints, for a terminal: only text, newlines, tabs and colours pass. Any other escape sequence loses its
/// first character, and so its meaning. What is not UTF-8 becomes U+FFFD.
pub fn output(bytes: &[u8]) -> String {
    const RESET: &str = "\u{1b}[0m";
    let mut shown = harmless(&String::from_utf8_lossy(bytes).replace("\r\n", "\n"));
    if shown.contains('\u{1b}') {
        // What follows on the terminal does not come from the guest.
        let at = shown.trim_end_matches('\n').len();
        shown.insert_str(at, RESET);
    }
    shown
}

/// Only the text, newlines, tabs and colours of `text`.
pub fn harmless(text: &str) -> String {
    // Nearly all lines are plain.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(colour) = colour(rest) {
            shown.push_str(colour);
            rest = &rest[colour.len()..];
            continue;
        }
        let passes = matches!(c, '\n' | '\t') || !is_unsafe(c);
        shown.push(if passes { c } else { char::REPLACEMENT_CHARACTER });
        rest = &rest[c.len_utf8()..];
    }
    shown
}

/// The sequence at the beginning of `text` that sets colours (SGR), if there is one.
fn colour(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    (parameters[length..].starts_with('m')).then(|| &text[..2 + length + 1])
}

/// Whether a character does more than stand for itself: control characters (C0, DEL, C1), line separators, marks of
/// annotations, non-characters, and what is invisible or reverses text: Unicode's `Default_Ignorable_Code_Point`
/// (version 16), and the empty braille pattern. Of these U+FE0E and U+FE0F pass, since they follow many emoji.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0d}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// `words` as a command that a POSIX shell splits into the same words, and that is safe to print. `None` if a word has
/// a character that would be invisible.
pub fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let words: Vec<&str> = words.into_iter().collect();
    let is_seen = words.iter().all(|word| !word.chars().any(is_unsafe));
    if is_seen { shlex::try_join(words).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(GuestText::new(&"é".repeat(200)).raw().len(), 256);
        assert_eq!(GuestText::new(&format!("x{}", "é".repeat(200))).raw().len(), 255);
        let from_json: GuestText = serde_json::from_str(&format!("\"{}\"", "x".repeat(1_000))).unwrap();
        assert_eq!(from_json.raw().len(), MAX_BYTES);
    }

    #[test]
    fn text_that_is_cut_off_is_not_kept_in_memory() {
        let cut = cut_owned("x".repeat(1_000_000));
        assert!(cut.len() == MAX_BYTES && cut.capacity() < 2 * MAX_BYTES, "{} bytes", cut.capacity());
        assert_eq!(cut_owned("short".into()), "short");
    }

    #[test]
    fn a_line_shows_what_it_contains() {
        for (text, shown) in [
            ("a\nb\u{1b}[31m\u{202e}c", "a b\u{fffd}[31m\u{fffd}c"),
            ("a\u{34f}b\u{3164}c\u{fe00}d\u{1d173}\u{e0100}", "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}\u{fffd}"),
            ("\u{2764}\u{fe0f}", "\u{2764}\u{fe0f}"),
            ("\u{1b}]0;title\u{7}", "\u{fffd}]0;title\u{fffd}"),
            ("\u{9b}31m", "\u{fffd}31m"),
            ("a\0b\u{7f}", "a\u{fffd}b\u{fffd}"),
            ("zero\u{200b}width\u{feff}", "zero\u{fffd}width\u{fffd}"),
            ("tag\u{e0041}", "tag\u{fffd}"),
            ("ünïcödé 名前 🎉", "ünïcödé 名前 🎉"),
        ] {
            assert_eq!(line(text), shown, "{text:?}");
        }
    }

    #[test]
    fn colours_pass_and_nothing_else() {
        for (printed, shown) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("\u{1b}[31mred\u{1b}[0m\n", "\u{1b}[31mred\u{1b}[0m\u{1b}[0m\n"),
            ("\u{1b}[38:5:9mx", "\u{1b}[38:5:9mx\u{1b}[0m"),
            ("\u{1b}[2Jcleared", "\u{fffd}[2Jcleared"),
            ("\u{1b}]52;c;ZXZpbA==\u{7}", "\u{fffd}]52;c;ZXZpbA==\u{fffd}"),
            ("\u{1b}Pq\u{1b}\\", "\u{fffd}Pq\u{fffd}\\"),
            ("\u{1b}[31", "\u{fffd}[31"),
            ("windows\r\nmac\rover", "windows\nmac\u{fffd}over"),
            ("\u{9d}0;t\u{9c}", "\u{fffd}0;t\u{fffd}"),
        ] {
            assert_eq!(output(printed.as_bytes()), shown, "{printed:?}");
        }
        assert_eq!(output(b"\xff\x9b31m"), "\u{fffd}\u{fffd}31m");
    }

    #[test]
    fn escaped_json_means_the_same() {
        let text = "a\u{9b}31m\u{202e}\u{e0041}é\n";
        let written = json(&serde_json::to_string(text).unwrap());
        assert_eq!(written, "\"a\\u009b31m\\u202e\\udb40\\udc41é\\n\"");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }

    #[test]
    fn a_formula_is_text() {
        for (text, shown) in [
            ("=1+1", "'=1+1"),
            ("@x", "'@x"),
            ("-1", "'-1"),
            ("\t=1", "'\\u{9}=1"),
            ("\r=1", "'\\u{d}=1"),
            ("\n=1", "'\n=1"),
            ("a\u{1b}]0;t\u{7}\u{9b}\u{202e}\0", "a\\u{1b}]0;t\\u{7}\\u{9b}\\u{202e}\\u{0}"),
            ("two\nlines", "two\nlines"),
            ("a;=1;b; \"+1", "a;'=1;b;' \"+1"),
            ("\u{fe0f}=1", "'\u{fe0f}=1"),
            ("a\\u{1b}", "a\\\\u{1b}"),
            ("C:\\x", "C:\\x"),
            ("ok", "ok"),
            ("", ""),
        ] {
            assert_eq!(cell(text), shown, "{text:?}");
        }
    }

    #[test]
    fn a_shell_splits_a_command_into_its_words() {
        let words = ["gorgon", "a b", "$(id)", "x;id", "it's"];
        assert_eq!(shlex::split(&command(words).unwrap()).unwrap(), words);
        assert_eq!(command(["a\nb"]), None);
        assert_eq!(command(["a\u{1b}[2J"]), None);
    }

    proptest! {
        #[test]
        fn nothing_unsafe_leaves(text in any::<String>()) {
            let shown = line(&text);
            prop_assert!(!shown.chars().any(|c| is_unsafe(c) || c == '\n' || c == '\t'));
            let shown = xml(&text);
            prop_assert!(shown.chars().all(|c| !is_unsafe(c) || matches!(c, '\n' | '\t')));
            let shown = cell(&text);
            prop_assert!(shown.chars().all(|c| !is_unsafe(c) || c == '\n'));
            prop_assert!(!shown.starts_with(['=', '+', '-', '@', '\t', '\r']));
        }

        #[test]
        fn no_escape_but_colours_leaves(bytes in prop::collection::vec(prop_oneof![
            Just(0x1b_u8), Just(b'['), Just(b'm'), Just(b';'), Just(0x9b), any::<u8>()], 0..60)) {
            let shown = output(&bytes);
            let mut rest = shown.as_str();
            while let Some(at) = rest.find('\u{1b}') {
                let sequence = colour(&rest[at..]);
                prop_assert!(sequence.is_some(), "{:?}", shown);
                rest = &rest[at + sequence.map_or(1, str::len)..];
            }
            let passes = |c: char| !is_unsafe(c) || matches!(c, '\n' | '\t' | '\u{1b}');
            prop_assert!(shown.chars().all(passes));
        }
    }
}
