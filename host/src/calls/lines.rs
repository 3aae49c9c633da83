//! One call per line: a URL, a method and a URL, or a JSON object. As vegeta has it, headers and the file of a body may
//! stand in the lines behind; as siege has it, a word may be defined above, and a body may stand behind the URL. `#`
//! begins a comment.

use super::json::Source;
use super::names::Names;
use super::template::{Place, Template};
use super::{Call, Context, Header, Parsed, SyntaxError, check, objects};

/// A line that is not blank, and where it begins.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    at: Place,
}

pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<Parsed, SyntaxError> {
    let objects = text.lines().map(str::trim).filter(|line| is_object(line));
    let mut reader = objects::Reader::new(Source::new(text), context, objects);
    let mut defined: Vec<(&str, &str)> = Vec::new();
    let mut parsed = Parsed::default();
    let lines = text.lines().enumerate().map(|(i, line)| {
        let column = line.chars().take_while(|c| c.is_whitespace()).count() + 1;
        Line { text: line.trim(), at: Place { line: i + 1, column } }
    });
    // The call to which headers and a body belong.
    let mut open = false;
    for line in lines {
        let (text, at) = (line.text, line.at);
        if text.is_empty() {
            open = false;
        } else if text.starts_with('#') {
        } else if is_object(text) {
            parsed.add(reader.call(text)?)?;
            open = false;
        } else if let Some((name, value)) = definition(text) {
            defined.push((name, value));
        } else if let Some(call) = parsed.calls.last_mut().filter(|_| open)
            && let Some(more) = More::of(text)
        {
            more.add(call, at, &reader, &mut parsed.notes)?;
        } else {
            parsed.add(one(line, &defined, context, &reader.names)?)?;
            open = true;
        }
    }
    parsed.calls.iter_mut().try_for_each(check::call)?;
    parsed.notes.extend(reader.notes);
    Ok(parsed)
}

fn is_object(line: &str) -> bool {
    line.starts_with('{') && !line.starts_with("{{")
}

/// `NAME=VALUE`, for `$(NAME)` in the lines below.
fn definition(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (name, value.trim()))
}

/// What belongs to the call above.
enum More<'a> {
    Header(&'a str, &'a str),
    Body(&'a str),
}

impl<'a> More<'a> {
    fn of(text: &'a str) -> Option<Self> {
        if let Some(path) = text.strip_prefix('@') {
            return Some(Self::Body(path.trim()));
        }
        let (name, value) = text.split_once(':')?;
        let is_header = check::is_token(name) && !value.starts_with("//");
        is_header.then(|| Self::Header(name, value.trim()))
    }

    fn add(
        self,
        call: &mut Call,
        at: Place,
        reader: &objects::Reader<'_, '_>,
        notes: &mut Vec<String>,
    ) -> Result<(), SyntaxError> {
        let (context, names) = (reader.context, &reader.names);
        match self {
            Self::Header(name, value) if check::is_of_connection(name, value) => {
                notes.extend(check::left_out(name, value, at.line));
            }
            Self::Header(name, value) => {
                call.headers.push(Header::new(name, names.fill(value, at)?).at(at));
            }
            Self::Body(path) => call.body = file(path, at, context, names)?,
        }
        call.values.extend(names.take_used());
        Ok(())
    }
}

fn file(path: &str, at: Place, context: &Context<'_>, names: &Names<'_>) -> Result<Template, SyntaxError> {
    let path = &names.known(path, at)?;
    let bytes = (context.read)(path).map_err(|error| at.wrong(format!("cannot read `{path}`: {error}")))?;
    Ok(Template::bytes(bytes))
}

/// The call of a line.
fn one(
    line: Line<'_>,
    defined: &[(&str, &str)],
    context: &Context<'_>,
    names: &Names<'_>,
) -> Result<Call, SyntaxError> {
    let Line { at, .. } = line;
    let text = substituted(line, defined)?;
    let words = words(&text);
    let column = |word: &str| {
        let before = word.as_ptr() as usize - text.as_ptr() as usize;
        Place { column: at.column + text[..before].chars().count(), ..at }
    };
    let is_url = |word: &str| word.contains("://") || word.starts_with("{{");
    let (method, url, body) = match words[..] {
        [url] => ("GET", url, None),
        [url, "POST" | "PUT"] => (words[1], url, None),
        // siege: everything behind the method is the body.
        [url, method @ ("POST" | "PUT"), first, ..] if is_url(url) => {
            let begin = first.as_ptr() as usize - text.as_ptr() as usize;
            (method, url, Some(text[begin..].trim()))
        }
        [method, url] if !is_url(method) => (method, url, None),
        [method, url, version] if version.starts_with("HTTP/") && !is_url(method) => (method, url, None),
        [url, ..] if is_url(url) => {
            return Err(at.wrong("write one URL a line, without blanks (%20 in a URL)"));
        }
        _ => return Err(at.wrong(format!("`{text}` is not a call: write a URL, METHOD URL, or a JSON object"))),
    };
    if url.contains(",http://") || url.contains(",https://") {
        return Err(column(url).wrong("these are two URLs: write one a line"));
    }
    if method.contains([',', ';', '"', '\'']) || url.starts_with(['"', '\'']) {
        return Err(
            at.wrong("this is a table or has quotes: write a URL, or METHOD URL, one a line and without quotes")
        );
    }
    let Some(method) = check::method_of(method) else {
        return Err(at.wrong(format!("`{method}` is not a method: write a URL, METHOD URL, or a JSON object")));
    };
    let mut call = Call { method, url: names.fill_url(url, column(url))?, at, ..Call::default() };
    if let Some(body) = body {
        call.body = match body.strip_prefix('<') {
            Some(path) => file(path.trim(), column(body), context, names)?,
            None => names.fill(body, column(body))?,
        };
        call.default_header("content-type", "application/x-www-form-urlencoded");
    }
    call.values = names.take_used();
    Ok(call)
}

/// A line has no more words that are defined above, and is not longer with them: otherwise they are defined by each
/// other.
const MOST_REPLACED: usize = 1_000;
const LONGEST: usize = 1 << 20;

/// The line, with what was defined above in the place of `$(NAME)`, and without a comment behind it.
fn substituted(line: Line<'_>, defined: &[(&str, &str)]) -> Result<String, SyntaxError> {
    let mut text = line.text.split(" #").next().unwrap_or_default().trim().to_owned();
    let mut replaced = 0;
    while let Some(open) = text.find("$(").or_else(|| text.find("${")) {
        let close = if text[open..].starts_with("$(") { ')' } else { '}' };
        let column = Place { column: line.at.column + text[..open].chars().count(), ..line.at };
        let Some(end) = text[open..].find(close).map(|end| open + end) else {
            return Err(column.wrong(format!("`{}` has no end", &text[open..open + 2])));
        };
        let name = text[open + 2..end].to_owned();
        let Some((_, value)) = defined.iter().rfind(|(defined, _)| *defined == name) else {
            return Err(column.wrong(format!("`{name}` has no value: write `{name}=VALUE` in a line above")));
        };
        replaced += 1;
        if replaced > MOST_REPLACED || text.len() > LONGEST {
            return Err(column.wrong(format!("`{name}` is defined by itself, or its value is too long")));
        }
        text.replace_range(open..=end, value);
    }
    Ok(text)
}

/// The words between blanks. There may be blanks within `{{…}}`.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut begin, mut depth) = (None, 0_u32);
    for (at, c) in text.char_indices() {
        if text[at..].starts_with("{{") {
            depth += 1;
        } else if text[..at].ends_with("}}") {
            depth = depth.saturating_sub(1);
        }
        match (begin, c.is_whitespace() && depth == 0) {
            (None, false) => begin = Some(at),
            (Some(from), true) => {
                words.push(&text[from..at]);
                begin = None;
            }
            _ => {}
        }
    }
    words.extend(begin.map(|from| &text[from..]));
    words
}
