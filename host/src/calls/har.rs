//! A HAR, as browsers save what they sent.

use serde::Deserialize;

use super::{Call, Mistake, check};

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<Header>,
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct PostData {
    #[serde(default)]
    text: String,
}

/// Headers that belong to the browser's connection, and would be wrong on ours.
const NOT_OURS: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "te", "upgrade"];

pub(super) fn parse(text: &str) -> Result<Vec<Call>, Mistake> {
    let har: Har = serde_json::from_str(text).map_err(|error| {
        let problem = error.to_string();
        let problem = problem.split(" at line ").next().unwrap_or_default();
        Mistake::new(error.line(), error.column().max(1), format!("not a HAR: {problem}"))
    })?;
    let calls = har.log.entries.into_iter().map(|Entry { request }| {
        // HTTP/2 writes its own fields as headers that begin with a colon.
        let ours = |header: &Header| {
            !header.name.starts_with(':') && !NOT_OURS.contains(&header.name.to_ascii_lowercase().as_str())
        };
        let headers = request.headers.into_iter().filter(ours).map(|header| (header.name, header.value)).collect();
        let body = request.post_data.map(|data| data.text).unwrap_or_default();
        let call = Call { method: request.method, url: request.url, headers, body, ..Call::default() };
        let at = text.find(&call.url).unwrap_or(0);
        let line = text[..at].lines().count().max(1);
        let column = at - text[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
        check(&call, line, column).map(|()| call)
    });
    calls.collect()
}
