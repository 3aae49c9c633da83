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
mod names;
mod objects;
mod postman;
mod responses;
mod script;
mod template;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

pub use check::is_http;
use names::Names;
pub use names::{Origin, Use};
pub use template::{Made, Part, Place, Template};

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
    /// Whether it leaves out the client's name.
    #[serde(skip)]
    pub is_nameless: bool,
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
    fn new(name: impl Into<String>, value: Template) -> Self {
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
            is_nameless: false,
            at: Place::START,
            values: Vec::new(),
        }
    }
}

impl Call {
    /// The value of the header `name`.
    fn header(&self, name: &str) -> Option<&Template> {
        self.headers.iter().find(|header| header.is(name)).map(|header| &header.value)
    }

    /// How much it takes, in bytes, without what each call takes.
    fn bytes(&self) -> usize {
        let headers = self.headers.iter().map(|header| header.name.len() + header.value.bytes_held());
        let capture = self.capture.iter().map(|(name, from)| name.len() + from.len());
        let values = self.values.iter().map(Use::bytes_held);
        let own = [self.name.len(), self.method.len(), self.url.bytes_held(), self.body.bytes_held()];
        headers.chain(capture).chain(values).chain(own).sum()
    }

    /// Introduces the client by its name, unless the call does or has left that out.
    pub fn introduce(&mut self) {
        if !self.is_nameless {
            self.default_header("User-Agent", USER_AGENT);
        }
    }

    /// Adds a header, unless there is one of that name.
    fn default_header(&mut self, name: &str, value: &str) {
        if self.header(name).is_none() {
            self.headers.push(Header::new(name, Template::text(value)).at(self.at));
        }
    }
}

/// By what name calls introduce the client, unless they say it themselves.
pub const USER_AGENT: &str = concat!("gorgon/", env!("CARGO_PKG_VERSION"));

/// What a file of calls says.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The calls, in the order in which a flow plays them.
    pub calls: Vec<Call>,
    /// What was left out, and what is missing, each a sentence.
    pub notes: Vec<String>,
    /// How much the calls take.
    bytes: usize,
}

impl Parsed {
    /// Adds a call, unless there are too many: each takes some hundred bytes of memory.
    fn add(&mut self, call: Call) -> Result<(), SyntaxError> {
        /// How many calls a file may have.
        const MOST: usize = 200_000;
        if self.calls.len() == MOST {
            let remedy = "write one call, with {{NAME}} where they differ, and the values into a file for --data";
            return Err(call.at.wrong(format!("it has more than 200,000 calls: {remedy}")));
        }
        self.bytes = self.bytes.saturating_add(call.bytes());
        if self.bytes > MOST_BYTES {
            let remedy = "send fewer of them (--only, --skip), or put what they share into one call";
            let most = MOST_BYTES >> 20;
            return Err(call.at.wrong(format!("up to here the calls take more than {most} MiB together: {remedy}")));
        }
        self.calls.push(call);
        Ok(())
    }
}

/// How much all calls may take together, in bytes. A body or a value that several share counts for each.
const MOST_BYTES: usize = 128 << 20;

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
    /// The hosts and ports that were asked about so far.
    pub seen: RefCell<BTreeSet<(String, u16)>>,
    /// Reads a file that the file of calls names.
    pub read: &'a dyn Fn(&str) -> io::Result<Vec<u8>>,
}

impl Default for Context<'_> {
    fn default() -> Self {
        Self {
            given: &[],
            environment: &[],
            columns: &[],
            is_flow: false,
            only: &[],
            skip: &[],
            seen: RefCell::default(),
            read: &|_| Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Context<'_> {
    /// Names in a file, each of which gets its value by one of these `ways`.
    fn names(&self, ways: &'static str) -> Names<'_> {
        let Self { given, environment, columns, .. } = *self;
        Names { given, environment, columns, ways, ..Names::default() }
    }

    /// Whether calls to the host of `url` are wanted.
    fn is_wanted(&self, url: &str) -> bool {
        let parsed = url::Url::parse(url).ok();
        let host = parsed.as_ref().and_then(url::Url::host_str).unwrap_or_default();
        let port = parsed.as_ref().and_then(url::Url::port_or_known_default).unwrap_or_default();
        self.seen.borrow_mut().insert((host.to_owned(), port));
        let is = |wanted: &String| is_host(wanted, host, port);
        (self.only.is_empty() || self.only.iter().any(is)) && !self.skip.iter().any(is)
    }

    /// What is wrong with the hosts that are wanted or not: one that no call has is mistyped.
    fn wrong_host(&self) -> Option<String> {
        let seen = self.seen.borrow();
        let is_there = |wanted: &&String| !seen.iter().any(|(host, port)| is_host(wanted, host, *port));
        let wrong = self.only.iter().chain(self.skip).find(is_there)?;
        let hosts: Vec<String> =
            seen.iter().map(|(host, _)| host.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        Some(format!(
            "no call is to the host `{wrong}`: there are {}; write HOST, HOST:PORT, or *.DOMAIN for all hosts under a \
             domain",
            hosts.join(", ")
        ))
    }
}

/// Whether `wanted`, of a command line, is this host.
fn is_host(wanted: &str, host: &str, port: u16) -> bool {
    let wanted = wanted.to_ascii_lowercase();
    match wanted.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.')),
        None => wanted == host || wanted == format!("{host}:{port}"),
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
        /// A problem that quotes more than this quotes too much of the file.
        const LONGEST: usize = 400;
        let mut problem = problem.into();
        if problem.chars().count() > LONGEST {
            let from_end = |count: usize| problem.char_indices().rev().nth(count).map_or(0, |(at, _)| at);
            let begin: String = problem.chars().take(LONGEST / 2).collect();
            problem = format!("{begin} … {}", &problem[from_end(LONGEST / 2)..]);
        }
        Self { line, column, problem }
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
    if let Some(at) = text.find('\0').filter(|_| !text.starts_with("\0asm")) {
        return Err(named(Place::START.within(&text, at).wrong("this is no text: save the file as UTF-8")));
    }
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
    finished(parsed.map_err(named)?, context).map_err(named)
}

/// The calls to the URLs of a command line, with the places in them and in `parts` filled; what is wrong, in words.
pub fn of_command_line(urls: &[String], parts: &Parts, context: &Context<'_>) -> Result<Parsed, String> {
    let names = context.names("give it by --var NAME=… or a column of --data");
    let fill = |text: &str| names.fill(text, Place::START);
    let call = |url: &String| -> Result<Call, SyntaxError> {
        let url = names.fill_url(url, Place::START)?;
        let mut call = Call { method: parts.method.clone(), url, ..Call::default() };
        for (name, value) in &parts.headers {
            if check::is_of_connection(name, value) {
                let problem = format!("Gorgon writes the header `{name}` itself");
                return Err(Place::START.wrong(problem));
            }
            call.headers.push(Header::new(name, fill(value)?));
        }
        call.body = match &parts.body {
            Content::Text(text) => fill(text)?,
            Content::Bytes(bytes) => Template::bytes(bytes.clone()),
        };
        call.values = names.take_used();
        check::call(&mut call)?;
        Ok(call)
    };
    let parsed = urls.iter().try_fold(Parsed::default(), |mut parsed, url| {
        parsed.add(call(url)?)?;
        Ok(parsed)
    });
    parsed.and_then(|parsed| finished(parsed, context)).map_err(|mistake| mistake.problem)
}

/// What a command line says about a call, besides its URL.
pub struct Parts {
    /// The method.
    pub method: String,
    /// Names and values of headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Content,
}

/// The content of a body.
pub enum Content {
    /// Text with places for values.
    Text(String),
    /// The bytes of a file.
    Bytes(Vec<u8>),
}

/// What can only be said of all calls together.
fn finished(mut parsed: Parsed, context: &Context<'_>) -> Result<Parsed, SyntaxError> {
    parsed.calls.retain(|call| context.is_wanted(&call.url.shown()));
    if let Some(wrong) = context.wrong_host() {
        return Err(Place::START.wrong(wrong));
    }
    if parsed.calls.is_empty() {
        let passed: String = parsed.notes.iter().map(|note| format!("; {note}")).collect();
        return Err(Place::START.wrong(format!("the file has no calls to play{passed}")));
    }
    responses::capture(&mut parsed.calls);
    for call in &mut parsed.calls {
        if call.name.is_empty() {
            call.name = path_of(&call.url.shown());
        }
    }
    let hints: BTreeSet<&String> =
        parsed.calls.iter().flat_map(|call| &call.values).filter_map(|used| used.hint.as_ref()).collect();
    parsed.notes.extend(hints.into_iter().cloned().collect::<Vec<_>>());
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
