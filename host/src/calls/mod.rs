//! HTTP calls read from a file: a list of URLs, JSON lines, a `.http` file or a HAR.
//!
//! Pure: text in, calls out; what is malformed is named by file, line and column. The calls go to the task `calls` as
//! rows of data; how they are played is its business.

mod har;
mod http_file;
mod lines;

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// One request, as the file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// What its span is called, after the method; the URL's path where the file does not say.
    #[serde(default)]
    pub name: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The URL; `{{name}}` stands for a value captured before.
    pub url: String,
    /// The headers, in order; in JSON an object.
    #[serde(default, deserialize_with = "in_order")]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// What is taken from the response, by name: a JSON pointer (`/id`), `header NAME`, or `regex PATTERN`, of which
    /// the first group counts.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
}

fn get() -> String {
    "GET".into()
}

/// The fields of an object, in the order in which they stand.
fn in_order<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    struct Fields;
    impl<'de> Visitor<'de> for Fields {
        type Value = Vec<(String, String)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of headers")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }
    }
    deserializer.deserialize_map(Fields)
}

/// Headers that belong to a connection, and are ours to write: in a recording they are passed over.
const OF_CONNECTIONS: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn is_of_connection(header: &str) -> bool {
    // HTTP/2 writes its own fields as headers that begin with a colon.
    header.starts_with(':') || OF_CONNECTIONS.contains(&header.to_ascii_lowercase().as_str())
}

/// What is wrong with a file of calls.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {problem}")]
pub struct CallsError {
    path: String,
    line: usize,
    column: usize,
    problem: String,
}

/// A mistake in a text; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mistake {
    line: usize,
    column: usize,
    problem: String,
}

impl Mistake {
    fn new(line: usize, column: usize, problem: impl Into<String>) -> Self {
        Self { line, column, problem: problem.into() }
    }
}

/// Reads the calls in `text`, which is what `path` holds; what it is shows in its name and its beginning.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Call>, CallsError> {
    // Some editors begin a file with a mark of its encoding.
    let text = text.trim_start_matches('\u{feff}');
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let parsed = match extension.to_ascii_lowercase().as_str() {
        "http" | "rest" => http_file::parse(text),
        "har" => har::parse(text),
        _ if text.trim_start().starts_with('{') && text.contains("\"entries\"") => har::parse(text),
        _ => lines::parse(text),
    };
    let named = |mistake: Mistake| CallsError {
        path: path.display().to_string(),
        line: mistake.line,
        column: mistake.column,
        problem: mistake.problem,
    };
    let mut calls = parsed.map_err(named)?;
    if calls.is_empty() {
        return Err(named(Mistake::new(1, 1, "there is no call: write a URL, or GET URL")));
    }
    for call in calls.iter_mut().filter(|call| call.name.is_empty()) {
        call.name = template(&call.url);
    }
    Ok(calls)
}

/// A URL's path, with what was captured left as it is: calls of one kind share a span.
fn template(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or("/").to_owned()
}

/// Checks what a request needs; `line` and `column` say where it stands.
fn check(call: &Call, line: usize, column: usize) -> Result<(), Mistake> {
    let wrong = |problem: String| Err(Mistake::new(line, column, problem));
    if !call.url.starts_with("http://") && !call.url.starts_with("https://") && !call.url.starts_with("{{") {
        return wrong(format!("`{}` is no URL: write http://HOST/PATH or https://HOST/PATH", call.url));
    }
    if call.method.is_empty() || !call.method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') {
        return wrong(format!("`{}` is no method", call.method));
    }
    if let Some((header, _)) =
        call.headers.iter().find(|(name, _)| is_of_connection(name) && !name.eq_ignore_ascii_case("host"))
    {
        return wrong(format!(
            "the header `{header}` belongs to the connection: leave it out, it is written as it must be"
        ));
    }
    for (name, how) in &call.capture {
        let is_known = how.starts_with('/') || how.starts_with("header ") || how.starts_with("regex ");
        if !is_known {
            return wrong(format!(
                "cannot capture `{name}` by `{how}`: write /JSON/POINTER, header NAME or regex PATTERN"
            ));
        }
        if let Some(Err(error)) = how.strip_prefix("regex ").map(regex::Regex::new) {
            return wrong(format!("cannot capture `{name}`: {}", error.to_string().lines().last().unwrap_or_default()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
