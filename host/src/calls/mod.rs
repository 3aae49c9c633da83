//! Reads HTTP calls from a file: a list of URLs, JSON lines, a `.http` file or a HAR.
//!
//! Pure: text goes in, calls come out. Errors name the file, line and column. What is sent holds nothing unfilled: each
//! `{{name}}` has its value already, or is a place for a value that the run is sure to have, or is refused.

mod check;
mod curl;
mod foreign;
mod form;
mod har;
mod http_file;
mod json;
mod lines;
mod objects;
mod postman;
mod responses;
mod script;
mod template;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use template::Names;
pub use template::{Made, Origin, Part, Place, Template, Use};

/// A request, as the task that plays it gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// The name of its span, after the method; by default the URL's path.
    pub name: String,
    /// The method.
    pub method: String,
    /// The URL.
    pub url: Template,
    /// The headers, in their order.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Template,
    /// The values to capture from the response, by name: a JSON pointer (`/id`), `header NAME`, or `regex PATTERN`,
    /// whose first group is taken.
    pub capture: BTreeMap<String, String>,
    /// Whether redirects are followed.
    pub follows: bool,
    /// The status that the response must have; without one, any below 400.
    pub expected: Option<u16>,
    /// Whether it was recorded: then cookies that a server has set since count, and not those of the recording.
    pub recorded: bool,
    /// Where it is in its file.
    #[serde(skip)]
    pub at: Place,
    /// The values that took places in it, and where they came from.
    #[serde(skip)]
    pub values: Vec<Use>,
}

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Header {
    /// Its name, as it is sent.
    pub name: String,
    /// Its value.
    pub value: Template,
    /// Where it is in its file.
    #[serde(skip)]
    at: Place,
}

impl Header {
    /// A header without a place in a file.
    pub fn new(name: impl Into<String>, value: Template) -> Self {
        Self { name: name.into(), value, at: Place::START }
    }

    fn at(self, at: Place) -> Self {
        Self { at, ..self }
    }

    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl Default for Call {
    fn default() -> Self {
        Self {
            name: String::new(),
            method: "GET".into(),
            url: Template::default(),
            headers: Vec::new(),
            body: Template::default(),
            capture: BTreeMap::new(),
            follows: true,
            expected: None,
            recorded: false,
            at: Place::START,
            values: Vec::new(),
        }
    }
}

impl Call {
    /// The call, if it can be sent, with its URL as a browser writes it; otherwise why it cannot.
    pub fn checked(mut self) -> Result<Self, String> {
        check::call(&mut self).map_err(|mistake| mistake.problem)?;
        if self.name.is_empty() {
            self.name = path_of(&self.url.shown());
        }
        Ok(self)
    }

    /// The value of the header `name`.
    fn header(&self, name: &str) -> Option<&Template> {
        self.headers.iter().find(|header| header.is(name)).map(|header| &header.value)
    }

    /// Adds a header, unless there is one of that name.
    fn default_header(&mut self, name: &str, value: &str) {
        if self.header(name).is_none() {
            self.headers.push(Header::new(name, Template::text(value)).at(self.at));
        }
    }
}

/// What a file of calls says.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The calls, in the order in which a flow plays them.
    pub calls: Vec<Call>,
    /// What was left out, and what is missing, each a sentence.
    pub notes: Vec<String>,
}

/// What is known besides the file.
pub struct Context<'a> {
    /// Values from the command line.
    pub given: &'a [(String, String)],
    /// Values from an environment file.
    pub environment: &'a [(String, String)],
    /// The columns of `--data`.
    pub columns: &'a [String],
    /// Whether each operation plays all calls, so that later ones can use what earlier ones captured.
    pub is_flow: bool,
    /// Hosts whose calls are wanted; all if there are none.
    pub only: &'a [String],
    /// Hosts whose calls are not wanted.
    pub skip: &'a [String],
    /// Reads a file that the file of calls names.
    pub read: &'a dyn Fn(&str) -> io::Result<Vec<u8>>,
}

impl Context<'_> {
    fn names(&self) -> Names<'_> {
        Names { given: self.given, environment: self.environment, columns: self.columns, ..Names::default() }
    }

    /// Whether calls to the host of `url` are wanted.
    fn is_wanted(&self, url: &str) -> bool {
        let parsed = url::Url::parse(url).ok();
        let host = parsed.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        let port = parsed.as_ref().and_then(url::Url::port_or_known_default).unwrap_or_default();
        let is = |wanted: &String| match wanted.to_ascii_lowercase() {
            wanted if wanted.starts_with("*.") => host.strip_suffix(&wanted[2..]).is_some_and(|sub| sub.ends_with('.')),
            wanted => wanted == host || wanted == format!("{host}:{port}"),
        };
        (self.only.is_empty() || self.only.iter().any(is)) && !self.skip.iter().any(is)
    }
}

/// A mistake in a file of calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {problem}")]
pub struct CallsError {
    path: String,
    line: usize,
    column: usize,
    problem: String,
}

/// A mistake in a text. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SyntaxError {
    line: usize,
    column: usize,
    problem: String,
}

impl SyntaxError {
    fn new(line: usize, column: usize, problem: impl Into<String>) -> Self {
        Self { line, column, problem: problem.into() }
    }
}

/// Reads the calls in `bytes`, the content of `path`. The name and the beginning of the file tell its format.
pub fn parse(path: &Path, bytes: &[u8], context: &Context<'_>) -> Result<Parsed, CallsError> {
    let named = |mistake: SyntaxError| CallsError {
        path: path.display().to_string(),
        line: mistake.line,
        column: mistake.column,
        problem: mistake.problem,
    };
    let mut text = decoded(bytes).map_err(named)?;
    if !text.contains('\n') {
        // Line ends of old Macs.
        text = text.replace('\r', "\n");
    }
    let parsed = match Format::of(path, &text).map_err(named)? {
        Format::Http => http_file::parse(&text, context),
        Format::Har => har::parse(&text, context),
        Format::Postman => postman::parse(&text, context),
        Format::Objects => objects::parse(&text, context),
        Format::Curl => curl::parse(&text, context),
        Format::Lines => lines::parse(&text, context),
    };
    let mut parsed = parsed.map_err(named)?;
    parsed.calls.retain(|call| context.is_wanted(&call.url.shown()));
    if parsed.calls.is_empty() {
        let passed: String = parsed.notes.iter().map(|note| format!("; {note}")).collect();
        return Err(named(Place::START.wrong(format!("the file has no calls to play{passed}"))));
    }
    responses::capture(&mut parsed.calls);
    for call in &mut parsed.calls {
        if call.name.is_empty() {
            call.name = path_of(&call.url.shown());
        }
        let before = call.headers.len();
        call.headers.retain(|header| call.capture.is_empty() || !header.is("accept-encoding"));
        if call.headers.len() < before {
            parsed.notes.push(format!(
                "line {}: accept-encoding is left out, because values of the response are captured",
                call.at.line
            ));
        }
    }
    Ok(parsed)
}

/// How a file of calls is written.
enum Format {
    Http,
    Har,
    Postman,
    Objects,
    Curl,
    Lines,
}

impl Format {
    /// The format of a file, by its name and by what it begins with.
    fn of(path: &Path, text: &str) -> Result<Self, SyntaxError> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        if name.ends_with(".http") || name.ends_with(".rest") {
            return Ok(Self::Http);
        }
        let begin = text.trim_start();
        let is_json = begin.starts_with(['{', '[']) && !begin.starts_with("{{");
        let keys = json::keys(text);
        if let Some(refusal) = foreign::refusal(&name, text, keys.as_deref()) {
            return Err(Place::START.wrong(refusal));
        }
        let has = |name: &str| keys.iter().flatten().any(|key| key == name);
        let is_whole = |line: &str| line.starts_with('{') && serde_json::from_str::<&RawValue>(line).is_ok();
        let is_http_line = |line: &str| line.starts_with("###") || line.starts_with('@') && line.contains('=');
        Ok(match () {
            () if name.ends_with(".har") => Self::Har,
            () if has("info") && has("item") || has("collection") => Self::Postman,
            () if has("log") => Self::Har,
            // One object a line is a list, in which there may be URLs too.
            () if is_json && !is_whole(begin.lines().next().unwrap_or_default()) => Self::Objects,
            () if curl::is_curl(text) => Self::Curl,
            () if text.lines().any(is_http_line) => Self::Http,
            () => Self::Lines,
        })
    }
}

/// The text of a file, by its byte order mark if it has one.
fn decoded(bytes: &[u8]) -> Result<String, SyntaxError> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).map_err(|_| SyntaxError::new(1, 1, "the file is not UTF-16, as its first bytes say"))
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let text = std::str::from_utf8(bytes).map_err(|error| {
                let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                SyntaxError::new(line, column, "the file is not UTF-8: save it as UTF-8")
            })?;
            Ok(text.to_owned())
        }
    }
}

/// The path of a URL, without values for its places, so that calls of one kind share a span.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests;
