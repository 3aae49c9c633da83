//! Reads HTTP calls from a file: a list of URLs, JSON lines, a `.http` file or a HAR.
//!
//! Pure: text goes in, calls come out. Errors name the file, line and column. The task `calls` receives the calls as
//! rows of data, and decides how to play them.

mod har;
mod http_file;
mod lines;

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The name of its span, after the method; by default the URL's path.
    #[serde(default)]
    pub name: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The URL; `{{name}}` stands for a captured value.
    pub url: String,
    /// The headers in order; in JSON an object.
    #[serde(default, deserialize_with = "in_order")]
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(default)]
    pub body: String,
    /// The values to capture from the response, by name: a JSON pointer (`/id`), `header NAME`, or `regex PATTERN`,
    /// whose first group is taken.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
}

fn get() -> String {
    "GET".into()
}

/// The fields of an object, in their order in the file.
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

/// Headers that belong to a connection and are written by Gorgon. In a HAR they are ignored.
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
    // Recordings list the pseudo-headers of HTTP/2, which begin with a colon.
    header.starts_with(':') || OF_CONNECTIONS.contains(&header.to_ascii_lowercase().as_str())
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

/// Reads the calls in `text`, the content of `path`. The name and the beginning of the file tell its format.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Call>, CallsError> {
    // Some editors put a byte order mark at the beginning of a file.
    let text = text.trim_start_matches('\u{feff}');
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let parsed = match extension.to_ascii_lowercase().as_str() {
        "http" | "rest" => http_file::parse(text),
        "har" => har::parse(text),
        _ if text.trim_start().starts_with('{') && text.contains("\"entries\"") => har::parse(text),
        _ => lines::parse(text),
    };
    let named = |mistake: SyntaxError| CallsError {
        path: path.display().to_string(),
        line: mistake.line,
        column: mistake.column,
        problem: mistake.problem,
    };
    let mut calls = parsed.map_err(named)?;
    if calls.is_empty() {
        return Err(named(SyntaxError::new(1, 1, "the file has no calls: write a URL, or GET URL")));
    }
    for call in calls.iter_mut().filter(|call| call.name.is_empty()) {
        call.name = template(&call.url);
    }
    Ok(calls)
}

/// The path of a URL, without values for its placeholders, so that calls of one kind share a span.
fn template(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or("/").to_owned()
}

/// Checks a request that is at `line` and `column` in its file.
fn check(call: &Call, line: usize, column: usize) -> Result<(), SyntaxError> {
    let wrong = |problem: String| Err(SyntaxError::new(line, column, problem));
    if !call.url.starts_with("http://") && !call.url.starts_with("https://") && !call.url.starts_with("{{") {
        return wrong(format!("`{}` is not a URL: write http://HOST/PATH or https://HOST/PATH", call.url));
    }
    if call.method.is_empty() || !call.method.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') {
        return wrong(format!("`{}` is not a method", call.method));
    }
    if let Some((header, _)) =
        call.headers.iter().find(|(name, _)| is_of_connection(name) && !name.eq_ignore_ascii_case("host"))
    {
        return wrong(format!("the header `{header}` belongs to the connection: leave it out, gorgon writes it"));
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
