//! The body of a request: lines, files, the parts of a form.

use percent_encoding::AsciiSet;
use serde_json::value::RawValue;

use super::{Line, is_request_line, second_request};
use crate::calls::names::Names;
use crate::calls::script::Script;
use crate::calls::template::{Part, Place, Template};
use crate::calls::{Call, Context, SyntaxError};

/// The lines of a body that are sent, and the scripts behind it.
pub(super) fn split<'l>(
    lines: &[Line<'l>],
    call: &Call,
    notes: &mut Vec<String>,
) -> Result<(Vec<Line<'l>>, Vec<Script>), SyntaxError> {
    let (mut sent, mut scripts) = (Vec::new(), Vec::new());
    let kind = call.header("content-type").map(Template::shown).unwrap_or_default().to_ascii_lowercase();
    let is_markdown = kind.contains("markdown");
    let is_text = ["text/", "yaml", "octet-stream"].iter().any(|of| kind.contains(of));
    let mut passed_over = Vec::new();
    let mut lines = lines.iter();
    while let Some(line) = lines.next() {
        if let Some(begin) = line.text.strip_prefix('>').map(str::trim_start).and_then(|text| text.strip_prefix("{%")) {
            let mut text = begin.to_owned();
            while !text.contains("%}") {
                let Some(next) = lines.next() else {
                    return Err(line.begin().wrong("this script has no end: write `%}` behind it"));
                };
                text.push('\n');
                text.push_str(next.text);
            }
            let end = text.find("%}").unwrap_or(text.len());
            scripts.push(Script { text: text[..end].to_owned(), at: line.begin(), is_before: false });
        } else if let Some(path) = line.text.strip_prefix("> ") {
            return Err(line.begin().wrong(format!(
                "the script `{}` is not read: capture values by `# @capture NAME = /JSON/POINTER`, and remove this line",
                path.trim()
            )));
        } else if line.text.starts_with("?? ") {
            notes.push(format!("line {}: a test of httpyac was passed over", line.number));
        } else if line.comment().is_some() && !is_markdown {
            passed_over.push((line.number, sent.len()));
        } else if !line.is_reference() {
            sent.push(*line);
        }
    }
    // In text, a line that editors take for a comment may be meant to be sent. Behind the body it is none of it.
    let within = passed_over.iter().find(|(_, before)| sent[*before..].iter().any(|line| !line.is_empty()));
    if let Some((number, _)) = within.filter(|_| is_text) {
        notes.push(format!("line {number}: this is a comment, as editors read it, and is not sent"));
    }
    while sent.last().is_some_and(Line::is_empty) {
        sent.pop();
    }
    // Definitions that end a body behind an empty line are meant for the next requests.
    let ending = sent.iter().rev().take_while(|line| line.is_empty() || line.definition().is_some()).count();
    let mut behind = sent[sent.len() - ending..].iter().skip_while(|line| !line.is_empty());
    if let Some(line) = behind.find(|line| !line.is_empty()) {
        return Err(line.begin().wrong("this is a definition behind a body: write it before the request"));
    }
    let begin = sent.iter().take_while(|line| line.is_empty()).count();
    Ok((sent.split_off(begin), scripts))
}

/// What is sent for `lines`, the body of `call`.
pub(super) fn read(
    lines: &[Line<'_>],
    call: &Call,
    context: &Context<'_>,
    names: &Names<'_>,
) -> Result<Template, SyntaxError> {
    let kind = call.header("content-type").map(Template::shown).unwrap_or_default().to_ascii_lowercase();
    let is_form = kind.starts_with("application/x-www-form-urlencoded");
    let newline = match () {
        () if kind.starts_with("multipart/") => "\r\n",
        () if is_form => "",
        () => "\n",
    };
    let mut body = Template::default();
    for (i, line) in lines.iter().enumerate() {
        // The body of a batch has requests.
        if newline != "\r\n" && is_request_line(line.text) {
            return Err(second_request(line));
        }
        let is_typed = is_form || ["json", "xml"].iter().any(|of| kind.contains(of));
        if is_typed && line.text.starts_with('@') && line.definition().is_some() {
            return Err(line.begin().wrong("this is a definition behind a body: write it before the request"));
        }
        if i > 0 {
            let before = lines[i - 1].trimmed();
            if is_form
                && !before.ends_with('&')
                && !line.trimmed().starts_with('&')
                && !line.is_empty()
                && !before.is_empty()
            {
                return Err(line.begin().wrong("a line of a form begins with `&`, or the line before ends with it"));
            }
            body.append(Template::text(newline));
        }
        match file(line) {
            Some((encoding, path)) => body.append(included(line, encoding, path, context, names)?),
            None if is_form => body.append(form_line(line, names)?),
            None => body.append(names.fill(line.text, line.at(1))?),
        }
    }
    // Each line of JSON lines ends.
    if kind.contains("ndjson") && !lines.is_empty() {
        body.append(Template::text(newline));
    }
    Ok(body)
}

/// A line of a form. Editors trim its names and values, and encode what a URL cannot have.
fn form_line(line: &Line<'_>, names: &Names<'_>) -> Result<Template, SyntaxError> {
    let mut body = Template::default();
    let text = line.trimmed();
    for (i, field) in text.split('&').enumerate() {
        body.append(Template::text(if i > 0 { "&" } else { "" }));
        let at = line.begin();
        let before = field.as_ptr() as usize - text.as_ptr() as usize;
        let at = Place { column: at.column + text[..before].chars().count(), ..at };
        let (name, value) = field.split_once('=').map_or((field, None), |(name, value)| (name, Some(value.trim())));
        let written = value.map_or_else(|| name.trim().to_owned(), |value| format!("{}={value}", name.trim()));
        let filled = names.fill(&written, at)?.map(|text| encoded(&text));
        // What the run puts in stays in its place.
        let parts = filled.0.into_iter().map(|part| match part {
            part @ (Part::Text(_) | Part::Bytes(_)) => part,
            value => Part::Form(Box::new(value)),
        });
        body.append(Template(parts.collect()));
    }
    Ok(body)
}

/// The text with what a URL cannot have percent-encoded. What is encoded already stays.
fn encoded(text: &str) -> String {
    const NOT_IN_URLS: &AsciiSet = &percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'\\')
        .add(b'^')
        .add(b'`')
        .add(b'{')
        .add(b'|')
        .add(b'}');
    percent_encoding::utf8_percent_encode(text, NOT_IN_URLS).to_string()
}

/// The encoding and the path of a file that stands for its content: `< PATH`, `<@ PATH`, `<@latin1 PATH`. A file behind
/// `<@` has places for values.
fn file<'l>(line: &Line<'l>) -> Option<(Option<&'l str>, &'l str)> {
    let rest = line.text.strip_prefix('<')?;
    match rest.strip_prefix('@') {
        Some(rest) => {
            let (encoding, path) = rest.split_once(char::is_whitespace)?;
            Some((Some(encoding), path.trim()))
        }
        None => rest.strip_prefix(' ').map(|path| (None, path.trim())),
    }
}

fn included(
    line: &Line<'_>,
    encoding: Option<&str>,
    path: &str,
    context: &Context<'_>,
    names: &Names<'_>,
) -> Result<Template, SyntaxError> {
    let path_at = line.begin();
    let path = names.known(path, path_at)?;
    let bytes = (context.read)(&path).map_err(|error| path_at.wrong(format!("cannot read `{path}`: {error}")))?;
    let Some(encoding) = encoding else { return Ok(Template(vec![Part::Bytes(bytes)])) };
    let text = match encoding.to_ascii_lowercase().as_str() {
        "" | "utf8" | "utf-8" => String::from_utf8(bytes)
            .map_err(|_| path_at.wrong(format!("`{path}` is not UTF-8: name its encoding, as in `<@latin1 {path}`")))?,
        "latin1" | "iso-8859-1" => bytes.iter().map(|&byte| char::from(byte)).collect(),
        other => return Err(path_at.wrong(format!("the encoding `{other}` is not known: there are utf8 and latin1"))),
    };
    names.fill(&text, path_at)
}

/// The body of a GraphQL request: a query, and behind an empty line its variables.
pub(super) fn graphql(body: &Template, request: Line<'_>) -> Result<Template, SyntaxError> {
    let (query, variables) = at_empty_line(body);
    if !query.is_text() {
        return Err(request
            .begin()
            .wrong("a GraphQL query cannot have values that only the run knows: its variables can"));
    }
    let query = query.shown();
    let mut sent = Template::text(format!("{{\"query\":{}", quoted(query.trim_end())));
    if let Some(name) = operation_name(&query) {
        sent.append(Template::text(format!(",\"operationName\":{}", quoted(name))));
    }
    if variables.is_text() && !variables.shown().trim().is_empty() {
        let text = variables.shown();
        serde_json::from_str::<&RawValue>(&text)
            .map_err(|error| request.begin().wrong(format!("the variables of its query are not JSON: {error}")))?;
        sent.append(Template::text(format!(",\"variables\":{}", compact(&text))));
    } else if !variables.is_empty() && !variables.is_text() {
        sent.append(Template::text(",\"variables\":"));
        sent.append(variables);
    }
    sent.append(Template::text("}"));
    Ok(sent)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The parts before and behind the first empty line.
fn at_empty_line(body: &Template) -> (Template, Template) {
    let (mut before, mut after) = (Template::default(), Template::default());
    let mut is_after = false;
    for part in &body.0 {
        match part {
            Part::Text(text) if !is_after && text.contains("\n\n") => {
                let (first, second) = text.split_once("\n\n").unwrap_or_default();
                before.append(Template::text(first));
                after.append(Template::text(second));
                is_after = true;
            }
            part if is_after => after.append(Template(vec![part.clone()])),
            part => before.append(Template(vec![part.clone()])),
        }
    }
    (before, after)
}

/// `Hero` of `query Hero($n: Int!) { … }`.
fn operation_name(query: &str) -> Option<&str> {
    let rest = ["query", "mutation", "subscription"].iter().find_map(|kind| query.trim_start().strip_prefix(kind))?;
    let name = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    Some(&name[..end]).filter(|name| !name.is_empty())
}

/// JSON without blanks between its tokens.
fn compact(json: &str) -> String {
    let (mut is_string, mut is_escaped) = (false, false);
    let keep = |c: &char| {
        let kept = is_string || !c.is_ascii_whitespace();
        (is_string, is_escaped) = match c {
            '"' if !is_escaped => (!is_string, false),
            '\\' => (is_string, !is_escaped),
            _ => (is_string, false),
        };
        kept
    };
    json.chars().filter(keep).collect()
}
