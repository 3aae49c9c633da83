//! The words of command lines, as a POSIX shell or Windows' cmd reads them, with their places.

use crate::calls::SyntaxError;
use crate::calls::template::Place;

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) at: Place,
}

/// A character and its place.
type Char = (char, Place);

/// The commands of a text, each with its words.
pub(super) fn commands(text: &str) -> Result<Vec<Vec<Word>>, SyntaxError> {
    let mut chars = Vec::new();
    let mut place = Place::START;
    for c in text.chars().filter(|&c| c != '\r') {
        chars.push((c, place));
        place = match c {
            '\n' => Place { line: place.line + 1, column: 1 },
            _ => Place { column: place.column + 1, ..place },
        };
    }
    if is_for_cmd(text) { of_windows(&without_carets(&chars)?) } else { Posix { chars: &chars, at: 0 }.commands() }
}

/// Whether the text is what browsers copy for Windows' cmd: lines go on behind a caret, and quotes have one before
/// them.
fn is_for_cmd(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.clone().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let begins = first.split_once(char::is_whitespace).is_some_and(|(_, rest)| rest.trim_start().starts_with("^\""));
    begins || lines.clone().any(|line| line.ends_with(" ^")) && !lines.any(|line| line.ends_with('\\'))
}

/// The commands that were read so far.
#[derive(Default)]
struct Commands {
    ended: Vec<Vec<Word>>,
    /// The words of the last command.
    words: Vec<Word>,
    /// The word that has not ended.
    word: Option<Word>,
}

impl Commands {
    fn is_in_word(&self) -> bool {
        self.word.is_some()
    }

    /// Adds to the word; if there is none, one begins at `at`, even with an empty text.
    fn add(&mut self, text: &str, at: Place) {
        self.word.get_or_insert_with(|| Word { text: String::new(), at }).text.push_str(text);
    }

    fn add_char(&mut self, c: char, at: Place) {
        self.add(c.encode_utf8(&mut [0; 4]), at);
    }

    fn end_word(&mut self) {
        self.words.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.words.is_empty() {
            self.ended.push(std::mem::take(&mut self.words));
        }
    }

    fn end(mut self) -> Vec<Vec<Word>> {
        self.end_command();
        self.ended
    }
}

/// The words of a POSIX shell.
struct Posix<'a> {
    chars: &'a [Char],
    at: usize,
}

impl Posix<'_> {
    fn next(&mut self) -> Option<Char> {
        let next = self.chars.get(self.at).copied();
        self.at += 1;
        next
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).map(|(c, _)| *c)
    }

    fn commands(mut self) -> Result<Vec<Vec<Word>>, SyntaxError> {
        let mut commands = Commands::default();
        while let Some((c, place)) = self.next() {
            match c {
                '\n' | ';' => commands.end_command(),
                '&' if self.peek() == Some('&') => {
                    self.next();
                    commands.end_command();
                }
                c if c.is_whitespace() => commands.end_word(),
                '#' if !commands.is_in_word() => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.next();
                    }
                }
                '\\' => {
                    let rest = self.chars.get(self.at..).unwrap_or_default();
                    let blanks = rest.iter().take_while(|(c, _)| *c == ' ' || *c == '\t').count();
                    if blanks > 0 && rest.get(blanks).is_none_or(|(c, _)| *c == '\n') {
                        return Err(
                            place.wrong("a blank behind this backslash ends the command here: remove the blank")
                        );
                    }
                    if let Some((c, _)) = self.next().filter(|(c, _)| *c != '\n') {
                        commands.add_char(c, place);
                    }
                }
                // Quotes that are translated are quotes.
                '$' if self.peek() == Some('"') => {}
                '$' if self.peek() == Some('\'') => {
                    self.next();
                    commands.add(&self.ansi(place)?, place);
                }
                '\'' => commands.add(&self.single(place)?, place),
                '"' => commands.add(&self.double(place)?, place),
                '$' | '`' if is_expanded(c, self.peek()) => return Err(variable(place)),
                '~' if !commands.is_in_word() && self.peek().is_none_or(|c| c == '/' || c.is_whitespace()) => {
                    return Err(variable(place));
                }
                '|' | '<' | '>' | '(' | ')' => {
                    return Err(place.wrong(format!(
                        "`{c}` is the shell's: only curl commands are read here; quote it if it belongs to a word"
                    )));
                }
                '&' => return Err(place.wrong("`&` ends a command here: put the URL into quotes")),
                c => commands.add_char(c, place),
            }
        }
        Ok(commands.end())
    }

    fn single(&mut self, begin: Place) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some(('\'', _)) => return Ok(text),
                Some((c, _)) => text.push(c),
                None => return Err(begin.wrong("this quote has no end")),
            }
        }
    }

    fn double(&mut self, begin: Place) -> Result<String, SyntaxError> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some(('"', _)) => return Ok(text),
                Some(('\\', _)) => match self.next() {
                    Some((c @ ('"' | '\\' | '$' | '`'), _)) => text.push(c),
                    Some(('\n', _)) => {}
                    Some((c, _)) => text.extend(['\\', c]),
                    None => return Err(begin.wrong("this quote has no end")),
                },
                Some((c @ ('$' | '`'), place)) if is_expanded(c, self.peek()) => return Err(variable(place)),
                Some((c, _)) => text.push(c),
                None => return Err(begin.wrong("this quote has no end")),
            }
        }
    }

    /// `$'…'`, with the escapes of C.
    fn ansi(&mut self, begin: Place) -> Result<String, SyntaxError> {
        let mut bytes = Vec::new();
        let push = |bytes: &mut Vec<u8>, c: char| bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        loop {
            let Some((c, _)) = self.next() else { return Err(begin.wrong("this quote has no end")) };
            if c == '\'' {
                return String::from_utf8(bytes).map_err(|_| begin.wrong("this is not UTF-8: give the body by @FILE"));
            }
            if c != '\\' {
                push(&mut bytes, c);
                continue;
            }
            let Some((c, place)) = self.next() else { return Err(begin.wrong("this quote has no end")) };
            match c {
                'n' => bytes.push(b'\n'),
                'r' => bytes.push(b'\r'),
                't' => bytes.push(b'\t'),
                'b' => bytes.push(8),
                'f' => bytes.push(12),
                'v' => bytes.push(11),
                'a' => bytes.push(7),
                'e' | 'E' => bytes.push(27),
                'c' => {
                    let control = self.next().map_or(0, |(c, _)| c as u32 & 0x1f);
                    bytes.push(u8::try_from(control).unwrap_or_default());
                }
                'x' => bytes.push(u8::try_from(self.number(16, 2)).unwrap_or_default()),
                'u' | 'U' => {
                    let mut unit = self.number(16, if c == 'u' { 4 } else { 8 });
                    // Browsers write a character beyond U+FFFF as two halves.
                    if (0xd800..0xdc00).contains(&unit) && self.peek() == Some('\\') {
                        self.at += 2;
                        let low = self.number(16, 4);
                        unit = 0x1_0000 + ((unit - 0xd800) << 10) + low.wrapping_sub(0xdc00);
                    }
                    push(&mut bytes, char::from_u32(unit).ok_or_else(|| place.wrong("this is not a character"))?);
                }
                '0'..='7' => {
                    self.at -= 1;
                    bytes.push(u8::try_from(self.number(8, 3) & 0xff).unwrap_or_default());
                }
                c @ ('\\' | '\'' | '"' | '?') => push(&mut bytes, c),
                c => {
                    bytes.push(b'\\');
                    push(&mut bytes, c);
                }
            }
        }
    }

    /// The number that the next digits are, of which there are at most `most`.
    fn number(&mut self, base: u32, most: usize) -> u32 {
        let mut number = 0;
        for _ in 0..most {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(base)) else { break };
            number = number * base + digit;
            self.at += 1;
        }
        number
    }
}

/// Whether a shell puts a value in the place of what begins with `c`.
fn is_expanded(c: char, next: Option<char>) -> bool {
    c == '`' || next.is_some_and(|next| next.is_ascii_alphanumeric() || "_{(@*#?$!".contains(next))
}

fn variable(place: Place) -> SyntaxError {
    place.wrong("the shell would put a value here: write {{NAME}} and give it by --var NAME=VALUE, or quote it by '…'")
}

/// What cmd hands on: a caret stands for the character behind it, and joins lines.
fn without_carets(chars: &[Char]) -> Result<Vec<Char>, SyntaxError> {
    let mut kept = Vec::new();
    // Within quotes a caret is a caret.
    let mut is_quoted = false;
    let mut chars = chars.iter().copied().peekable();
    while let Some((c, place)) = chars.next() {
        if c != '^' || is_quoted {
            is_quoted ^= c == '"';
            let rest: String =
                chars.clone().map(|(c, _)| c).take_while(|c| c.is_ascii_alphanumeric() || "_%".contains(*c)).collect();
            if c == '%' && rest.starts_with(|c: char| c.is_ascii_alphabetic()) && rest.contains('%') {
                return Err(variable(place));
            }
            kept.push((c, place));
            continue;
        }
        match chars.next() {
            // A line break within the text of a word is a caret and two of them.
            Some(('\n', _)) => {
                if chars.peek().is_some_and(|(c, _)| *c == '\n') {
                    kept.extend(chars.next());
                }
            }
            escaped => kept.extend(escaped),
        }
    }
    Ok(kept)
}

/// The words of a program on Windows: quotes group, and backslashes escape before quotes only.
fn of_windows(chars: &[Char]) -> Result<Vec<Vec<Word>>, SyntaxError> {
    let mut commands = Commands::default();
    let mut quote = None;
    let mut at = 0;
    while let Some(&(c, place)) = chars.get(at) {
        at += 1;
        match c {
            '\\' => {
                let run = chars[at..].iter().take_while(|(c, _)| *c == '\\').count() + 1;
                at += run - 1;
                let is_before_quote = chars.get(at).is_some_and(|(c, _)| *c == '"');
                commands.add(&"\\".repeat(if is_before_quote { run / 2 } else { run }), place);
                if is_before_quote && run % 2 == 1 {
                    commands.add("\"", place);
                    at += 1;
                }
            }
            // Two quotes within quotes are one.
            '"' if quote.is_some() && chars.get(at).is_some_and(|(c, _)| *c == '"') => {
                commands.add("\"", place);
                at += 1;
            }
            '"' => {
                commands.add("", place);
                quote = if quote.is_some() { None } else { Some(place) };
            }
            '\n' | '&' if quote.is_none() => commands.end_command(),
            c if c.is_whitespace() && quote.is_none() => commands.end_word(),
            c => commands.add_char(c, place),
        }
    }
    match quote {
        Some(place) => Err(place.wrong("this quote has no end")),
        None => Ok(commands.end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Vec<String>> {
        let commands = commands(text).unwrap().into_iter();
        commands.map(|command| command.into_iter().map(|word| word.text).collect()).collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        for (text, wanted) in [
            (r"curl 'a b' c\ d", vec![vec!["curl", "a b", "c d"]]),
            (
                "curl a \\\n  -d 'x\ny' # why\n\ncurl b; curl c && curl d",
                vec![vec!["curl", "a", "-d", "x\ny"], vec!["curl", "b"], vec!["curl", "c"], vec!["curl", "d"]],
            ),
            (r#"-d "{\"a\": \"\$x\"}" '$y' a'"'b"#, vec![vec!["-d", r#"{"a": "$x"}"#, "$y", "a\"b"]]),
            (r"$'it\'s \u00e9\n\x41\101\ud83d\ude00\u0021'", vec![vec!["it's \u{e9}\nAA\u{1f600}!"]]),
            ("a#b ''", vec![vec!["a#b", ""]]),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        for (text, wanted) in [
            ("curl \"http://h/\n$HOST\"", (2, 1)),
            ("curl 'x", (1, 6)),
            ("curl `date`", (1, 6)),
            ("curl a | jq", (1, 8)),
            ("curl h?a=1&b=2", (1, 11)),
        ] {
            let mistake = commands(text).unwrap_err();
            assert_eq!((mistake.line, mistake.column), wanted, "{text}");
        }
    }

    #[test]
    fn words_are_those_of_cmd() {
        let begin = "curl ^\"http://h/a?x=1^&y=^%^20^\" ^\n  -H ^\"accept: */*^\" ^\n";
        let text = format!("{begin}  --data-raw ^\"^{{^\\^\"a^\\^\":^\\^\"b c^\\^\"^}}^\"");
        assert_eq!(
            read(&text),
            [["curl", "http://h/a?x=1&y=%20", "-H", "accept: */*", "--data-raw", "{\"a\":\"b c\"}"]]
        );
        let text = "curl \"http://h/\" ^\n  --data-raw \"{\\\"a\\\":1}\"";
        assert_eq!(read(text), [["curl", "http://h/", "--data-raw", "{\"a\":1}"]]);
        let mistake = commands("curl ^\"x").unwrap_err();
        assert_eq!((mistake.line, mistake.column), (1, 7));
    }
}
