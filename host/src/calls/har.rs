//! A HAR, in which browsers save their requests.

use serde::Deserialize;

use super::{Call, SyntaxError, check, is_of_connection};

#[derive(Deserialize)]
struct Har {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<HarEntry>,
}

#[derive(Deserialize)]
struct HarEntry {
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
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct PostData {
    #[serde(default)]
    text: String,
    #[serde(default)]
    params: Vec<Header>,
}

pub(super) fn parse(text: &str) -> Result<Vec<Call>, SyntaxError> {
    let har: Har = serde_json::from_str(text).map_err(|error| {
        let problem = error.to_string();
        let problem = problem.split(" at line ").next().unwrap_or_default();
        SyntaxError::new(error.line(), error.column().max(1), format!("not a HAR: {problem}"))
    })?;
    // Browsers also save web sockets and data: URLs.
    let requests = har.log.entries.into_iter().map(|entry| entry.request);
    let http = requests.filter(|request| request.url.starts_with("http://") || request.url.starts_with("https://"));
    let calls = http.map(|request| {
        let headers = request.headers.into_iter().filter(|header| !is_of_connection(&header.name));
        let headers = headers.map(|header| (header.name, header.value)).collect();
        let body = request.post_data.map(PostData::body).unwrap_or_default();
        let call = Call { method: request.method, url: request.url, headers, body, ..Call::default() };
        match check(&call, 1, 1) {
            Ok(()) => Ok(call),
            Err(mistake) => {
                let at = text.find(&call.url).unwrap_or(0);
                let line = text[..at].matches('\n').count() + 1;
                let column = at - text[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
                Err(SyntaxError { line, column, ..mistake })
            }
        }
    });
    calls.collect()
}

impl PostData {
    /// The body that was sent: text, or the fields of a form.
    fn body(self) -> String {
        if !self.text.is_empty() {
            return self.text;
        }
        let fields = self.params.iter().map(|Header { name, value }| (name, value));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
    }
}
