//! A `.http` file, the format of REST clients in editors.
//!
//! Lines that begin with `###` separate requests. Before a request there are comments, definitions (`@name = value`)
//! and directives (`# @name NAME`). After its headers and an empty line comes its body. What editors write into such
//! files and do not send is not sent here either: comments, references to saved responses, response handlers. What
//! changes a request and is not understood is refused.

mod body;
mod directives;

use super::names::{Definition, Names};
use super::template::{Part, Place, Template};
use super::{Call, Context, Header, Parsed, SyntaxError, check, script};
use directives::Directives;

/// A line of the file.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn at(&self, column: usize) -> Place {
        Place { line: self.number, column }
    }

    /// Where its first character is that is not blank.
    fn begin(&self) -> Place {
        self.at(self.text.chars().take_while(|c| c.is_whitespace()).count() + 1)
    }

    fn trimmed(&self) -> &'a str {
        self.text.trim()
    }

    fn is_empty(&self) -> bool {
        self.trimmed().is_empty()
    }

    /// The text of the comment that the line is.
    fn comment(&self) -> Option<&'a str> {
        let text = self.trimmed();
        text.strip_prefix('#').or_else(|| text.strip_prefix("//")).map(str::trim)
    }

    /// The definition that the line is.
    fn definition(&self) -> Option<(String, Definition)> {
        let (name, value) = self.text.trim_start().strip_prefix('@')?.split_once('=')?;
        let column = self.text.len() - value.trim_start().len();
        let column = self.text[..column].chars().count() + 1;
        Some((name.trim().to_owned(), Definition { value: value.trim().to_owned(), at: self.at(column) }))
    }

    /// Whether editors write it into a file behind a request, and never send it.
    fn is_reference(&self) -> bool {
        ["<> ", ">> ", ">>! "].iter().any(|mark| self.text.starts_with(mark))
    }
}

/// How a name gets a value.
pub(super) const WAYS: &str = "define it by `@NAME = …` in the file, --var NAME=…, --env-name, a column of --data, or a \
                               capture of an earlier call with --flow";

/// Reads the calls of a file.
pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<Parsed, SyntaxError> {
    let lines: Vec<Line<'_>> = text.lines().enumerate().map(|(i, text)| Line { number: i + 1, text }).collect();
    let mut parsed = Parsed::default();
    let mut names = context.names(WAYS);
    let blocks: Vec<&[Line<'_>]> = blocks(&lines);
    for (name, definition) in blocks.iter().flat_map(|block| preamble(block)).filter_map(Line::definition) {
        names.defined.entry(name).or_default().push(definition);
    }
    let directives: Vec<Directives> =
        blocks.iter().map(|block| Directives::of(preamble(block), context)).collect::<Result<_, SyntaxError>>()?;
    names.capturable = directives.iter().flat_map(|of| of.capture.keys().cloned()).collect();
    names.capturable.extend(script::kept(text));
    for (lines, directives) in blocks.iter().zip(directives) {
        let Some(parts) = parts(lines)? else { continue };
        let name = directives.name.clone();
        if directives.disabled {
            let line = parts.request.number;
            parsed.notes.push(format!("line {line}: a request with `@disabled` was passed over"));
            continue;
        }
        if directives.has_timeout {
            let line = parts.request.number;
            parsed.notes.push(format!("line {line}: its time-out is not taken from the file: --timeout is for that"));
        }
        let block = Block { title: title(lines), parts, directives, context, names: &names };
        let call = block.call(&mut parsed.notes)?;
        if context.is_flow {
            names.captured.extend(call.capture.keys().cloned());
            names.answered.extend(name);
        } else {
            names.capturable.extend(call.capture.keys().cloned());
        }
        parsed.add(call)?;
    }
    Ok(parsed)
}

/// The lines between separators; each block begins with its separator, except for the first one.
fn blocks<'a, 'l>(lines: &'a [Line<'l>]) -> Vec<&'a [Line<'l>]> {
    let mut blocks = Vec::new();
    let mut begin = 0;
    for (i, line) in lines.iter().enumerate().skip(1) {
        if line.text.starts_with("###") {
            blocks.push(&lines[begin..i]);
            begin = i;
        }
    }
    blocks.push(&lines[begin..]);
    blocks
}

/// The lines of a block before its request.
fn preamble<'a, 'l>(block: &'a [Line<'l>]) -> &'a [Line<'l>] {
    let is_before = |line: &&Line<'_>| line.is_empty() || line.comment().is_some() || line.definition().is_some();
    &block[..block.iter().take_while(is_before).count()]
}

/// The title of a block: the text of its separator.
fn title<'l>(block: &[Line<'l>]) -> &'l str {
    let title = block.first().and_then(|line| line.text.strip_prefix("###"));
    title.map_or("", |title| title.trim_start_matches('#').trim())
}

/// What stands in a block, by the lines.
struct Parts<'a, 'l> {
    request: Line<'l>,
    /// Lines that continue the URL.
    url: Vec<Line<'l>>,
    headers: Vec<Line<'l>>,
    body: &'a [Line<'l>],
}

/// Words with which lines of other kinds of files and clients begin.
const FOREIGN: [(&str, &str); 7] = [
    (
        "curl",
        "curl command lines are a file of their own: gorgon http reads it if its name does not end with .http or .rest",
    ),
    ("CONNECT", "a request with CONNECT opens a tunnel, and a load has none"),
    ("WEBSOCKET", "web sockets are not supported"),
    ("GRPC", "gRPC is not supported"),
    ("import", "imports are not supported: put the requests into one file"),
    ("run", "`run` plays requests of other files: put them into one file"),
    ("client.", "scripts are not supported: give values by --var, or by `# @capture`"),
];

/// What the block has; `None` if it has no request.
fn parts<'a, 'l>(block: &'a [Line<'l>]) -> Result<Option<Parts<'a, 'l>>, SyntaxError> {
    let rest = &block[preamble(block).len()..];
    let Some((&request, rest)) = rest.split_first() else { return Ok(None) };
    if is_status_line(request.trimmed()) {
        // A response that was pasted into the file.
        return Ok(None);
    }
    let begins = |begin: &str| request.trimmed().replace(' ', "").starts_with(begin);
    if begins("<{%") || begins("{{@") || request.trimmed() == "{{" || request.trimmed().starts_with("< ") {
        return Err(request.begin().wrong("a script before a request is not supported: give its values by --var"));
    }
    let word = request.trimmed().split_whitespace().next().unwrap_or_default();
    if let Some((_, problem)) =
        FOREIGN.iter().find(|(foreign, _)| word == *foreign || foreign.ends_with('.') && word.starts_with(foreign))
    {
        return Err(request.begin().wrong(*problem));
    }
    if !is_request(request.trimmed()) {
        return Err(not_a_request(&request));
    }
    let head = rest.iter().take_while(|line| !line.is_empty() && !is_after_headers(line)).count();
    let (head, body) = rest.split_at(head);
    let (mut url, mut headers) = (Vec::new(), Vec::new());
    for line in head.iter().filter(|line| line.comment().is_none()) {
        let is_indented = line.text.starts_with(char::is_whitespace) && !looks_like_a_header(line);
        if headers.is_empty() && (is_indented || line.text.starts_with(['?', '&'])) {
            url.push(*line);
        } else if is_request_line(line.trimmed()) {
            return Err(second_request(line));
        } else {
            headers.push(*line);
        }
    }
    let begun = body.iter().take_while(|line| line.is_empty()).count();
    Ok(Some(Parts { request, url, headers, body: &body[begun..] }))
}

fn second_request(line: &Line<'_>) -> SyntaxError {
    line.begin().wrong("this is a second request: write a line with `###` before it")
}

/// The lines from one separator to the next, and what is known about them.
struct Block<'a, 'l> {
    title: &'l str,
    parts: Parts<'a, 'l>,
    directives: Directives,
    context: &'a Context<'a>,
    names: &'a Names<'a>,
}

impl<'l> Block<'_, 'l> {
    /// The call of the block.
    fn call(self, notes: &mut Vec<String>) -> Result<Call, SyntaxError> {
        let request = self.parts.request;
        let (method, url, url_at) = request_line(request, notes)?;
        let mut url = self.names.fill_url(&url, url_at)?;
        for line in &self.parts.url {
            url.append(self.names.fill_in_url(without_version(line, notes), line.begin())?);
        }
        let mut headers = Vec::new();
        for line in &self.parts.headers {
            headers.extend(self.header(*line, notes)?);
        }
        url = with_host(url, &mut headers, request)?;
        let kind = take(&mut headers, "x-request-type");
        let is_graphql = method == "GRAPHQL" || kind.is_some_and(|kind| kind.shown().eq_ignore_ascii_case("graphql"));
        let mut call = Call {
            name: self.directives.name.clone().unwrap_or_else(|| self.title.to_owned()),
            method: if is_graphql { "POST".into() } else { method },
            url,
            headers,
            capture: self.directives.capture,
            follows: !self.directives.no_redirect,
            at: request.begin(),
            ..Call::default()
        };
        let (lines, scripts) = body::split(self.parts.body, &call, notes)?;
        for script in scripts {
            call.capture.extend(script.captures(self.context, |_, _| false, notes)?);
        }
        if let Some(line) = lines.first().filter(|line| self.parts.headers.is_empty() && looks_like_a_header(line)) {
            notes.push(format!("line {}: this stands behind an empty line, so it is sent as the body", line.number));
        }
        call.body = body::read(&lines, &call, self.context, self.names)?;
        if is_graphql {
            call.body = body::graphql(&call.body, request)?;
            call.default_header("content-type", "application/json");
        }
        call.values = self.names.take_used();
        check::call(&mut call)?;
        Ok(call)
    }

    /// The header that the line is; `None` if Gorgon writes it itself.
    fn header(&self, line: Line<'_>, notes: &mut Vec<String>) -> Result<Option<Header>, SyntaxError> {
        let text = line.trimmed();
        let is_name = |name: &&str| !name.is_empty() && !name.contains(char::is_whitespace);
        let (name, value) = text.split_once(':').filter(|(name, _)| is_name(name)).ok_or_else(|| {
            line.begin()
                .wrong(format!("`{text}` is not a header: write NAME: VALUE, and an empty line before the body"))
        })?;
        if check::is_of_connection(name, value) {
            notes.extend(check::left_out(name, value, line.number));
            return Ok(None);
        }
        let skipped = text.len() - value.trim_start().len();
        let begin = line.begin();
        let at = Place { column: begin.column + text[..skipped].chars().count(), ..begin };
        let value = self.names.fill(value.trim(), at)?;
        let value = if name.eq_ignore_ascii_case("authorization") { authorization(value, at)? } else { value };
        Ok(Some(Header::new(name, value).at(begin)))
    }
}

/// The method, the URL, and where that is.
fn request_line(line: Line<'_>, notes: &mut Vec<String>) -> Result<(String, String, Place), SyntaxError> {
    let text = without_version(&line, notes);
    let begin = line.begin();
    if is_target(text) {
        return Ok(("GET".into(), text.to_owned(), begin));
    }
    let Some((method, url)) = text.split_once(char::is_whitespace) else { return Err(not_a_request(&line)) };
    let skipped = text.len() - url.trim_start().len();
    let at = Place { column: begin.column + text[..skipped].chars().count(), ..begin };
    let method = check::method_of(method).ok_or_else(|| not_a_request(&line))?;
    Ok((method, url.trim().to_owned(), at))
}

/// A line of a URL, without the version of HTTP behind it.
fn without_version<'l>(line: &Line<'l>, notes: &mut Vec<String>) -> &'l str {
    let text = line.trimmed();
    let text = text.strip_suffix("(Prior Knowledge)").map_or(text, str::trim_end);
    match text.rsplit_once(char::is_whitespace) {
        Some((before, version)) if version.starts_with("HTTP/") => {
            if !version.starts_with("HTTP/1") {
                notes.push(format!("line {}: the version is not taken from the file: --http2 chooses it", line.number));
            }
            before.trim_end()
        }
        _ => text,
    }
}

/// Whether a line can begin a request: with a URL, or with a method and something without blanks or a URL.
fn is_request(text: &str) -> bool {
    let is_one_word = |url: &str| url.split_whitespace().filter(|word| !word.starts_with("HTTP/")).count() == 1;
    match text.split_once(char::is_whitespace) {
        None => is_target(text),
        Some((method, url)) => {
            is_target(text) || check::is_token(method) && (is_target(url.trim_start()) || is_one_word(url))
        }
    }
}

fn not_a_request(line: &Line<'_>) -> SyntaxError {
    let text = line.trimmed();
    line.begin().wrong(if text.contains(['.', ':']) && !text.contains(' ') {
        format!("`{text}` is not a URL: write http://{text}")
    } else {
        format!("`{text}` is not a request: write METHOD URL")
    })
}

fn looks_like_a_header(line: &Line<'_>) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    line.trimmed().split_once(':').is_some_and(|(name, value)| is_name(name) && !value.starts_with("//"))
}

/// Whether a line behind headers, without an empty line between, is no header.
fn is_after_headers(line: &Line<'_>) -> bool {
    line.text.starts_with("> ") || line.is_reference()
}

fn is_status_line(text: &str) -> bool {
    let status = text.split_once(' ').filter(|(version, _)| version.starts_with("HTTP/"));
    status.is_some_and(|(_, status)| status.trim_start().starts_with(|c: char| c.is_ascii_digit()))
}

/// Whether the text can be the URL of a request.
fn is_target(text: &str) -> bool {
    ["http://", "https://", "/", "{{"].iter().any(|begin| text.starts_with(begin))
}

/// Whether the line is a method and a URL.
fn is_request_line(text: &str) -> bool {
    const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"];
    text.split_once(' ').is_some_and(|(method, url)| METHODS.contains(&method) && is_target(url.trim_start()))
}

/// Removes the header `name`, and returns its value.
fn take(headers: &mut Vec<Header>, name: &str) -> Option<Template> {
    let at = headers.iter().position(|header| header.is(name))?;
    Some(headers.remove(at).value)
}

/// A URL that begins with its path has its host in a header.
fn with_host(url: Template, headers: &mut Vec<Header>, request: Line<'_>) -> Result<Template, SyntaxError> {
    if !matches!(url.0.first(), Some(Part::Text(text)) if text.starts_with('/')) {
        return Ok(url);
    }
    let Some(host) = take(headers, "host") else {
        return Err(request.begin().wrong("the URL has no host: write http://HOST/PATH, or a header Host"));
    };
    let mut whole = Template::text("http://");
    whole.append(host);
    whole.append(url);
    Ok(whole)
}

/// The value of an `Authorization` header. Editors encode a name and a password themselves.
fn authorization(value: Template, at: Place) -> Result<Template, SyntaxError> {
    let shown = value.shown();
    let (scheme, rest) = shown.split_once(char::is_whitespace).unwrap_or((&shown, ""));
    let rest = rest.trim();
    if ["digest", "ntlm", "aws", "negotiate"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Err(at.wrong(format!(
            "the authentication `{scheme}` is not supported: send what it computes, or use Basic or Bearer"
        )));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(value);
    }
    let credentials = match rest.split_once(char::is_whitespace) {
        Some((user, password)) => format!("{user}:{}", password.trim()),
        None if rest.contains(':') => rest.to_owned(),
        // It is encoded already.
        None => return Ok(value),
    };
    let credentials = if value.is_text() { Template::text(credentials) } else { value };
    Template::basic(&credentials, at)
}
