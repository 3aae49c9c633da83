//! HTTP requests that block until their response is there, as a flow reads best.
//!
//! ```no_run
//! use gorgon_guest::http;
//!
//! #[gorgon_guest::operation]
//! fn order(n: u64) -> Result<u16, http::Error> {
//!     let created = http::post("http://127.0.0.1:8080/objects").json(&format!("object {n}")).send()?;
//!     let id: u64 = created.json()?;
//!     let read = http::get(&format!("http://127.0.0.1:8080/objects/{id}")).send()?;
//!     Ok(read.status())
//! }
//! ```
//!
//! A status that tells of an error is a response like any other; [`Response::ok`] makes it an error. Redirects are
//! followed, cookies are kept for the instance, bodies are read to their end, so that the connection is there for the
//! next request. Whatever a request reaches must have been granted by `--allow`, each redirect by itself.
//!
//! With the feature `decode`, bodies in gzip, deflate, brotli and zstd are asked for and decoded. Without it a server
//! is not asked for them, and a body is what the server sent.
//!
//! In a native `cargo test` the same requests are sent by the machine itself.

mod cookies;
#[cfg(feature = "decode")]
mod decode;
mod url;

#[cfg_attr(target_family = "wasm", path = "component.rs")]
#[cfg_attr(not(target_family = "wasm"), path = "native.rs")]
mod transport;

use std::cell::OnceCell;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use cookies::{clear as clear_cookies, kept as cookies};
use url::Url;

/// As many as a browser follows before it speaks of a loop, more or less.
const MAX_REDIRECTS: usize = 20;

/// A GET request, to be given headers and sent.
pub fn get(url: &str) -> Request {
    request("GET", url)
}

/// A DELETE request, to be given headers and sent.
pub fn delete(url: &str) -> Request {
    request("DELETE", url)
}

/// A POST request, to be given what it carries and sent.
pub fn post(url: &str) -> Request {
    request("POST", url)
}

/// A PUT request, to be given what it carries and sent.
pub fn put(url: &str) -> Request {
    request("PUT", url)
}

/// A PATCH request, to be given what it carries and sent.
pub fn patch(url: &str) -> Request {
    request("PATCH", url)
}

/// A request of any method.
pub fn request(method: &str, url: &str) -> Request {
    Request {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Ok(Vec::new()),
        template: None,
        redirects: MAX_REDIRECTS,
        added: Added::Usual,
        wanted: Wanted::Body,
    }
}

/// What the client by which requests introduce themselves is called.
const USER_AGENT: &str = concat!("gorgon/", env!("CARGO_PKG_VERSION"));

/// Which headers are added to those that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    /// The client's name, and what it decodes.
    Usual,
    Nothing,
}

/// What is kept of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Body,
    /// Only its status and its headers.
    Head,
}

/// A request that is being made.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: Result<Vec<u8>, String>,
    template: Option<String>,
    redirects: usize,
    added: Added,
    wanted: Wanted,
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Carries these bytes.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(bytes.into());
        self
    }

    /// Carries a value as JSON.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(value).map_err(|error| format!("its body cannot be written as JSON: {error}"));
        self.header("content-type", "application/json")
    }

    /// Carries the fields of a form.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let encoded: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", url::encode(name), url::encode(value))).collect();
        self.header("content-type", "application/x-www-form-urlencoded").body(encoded.join("&"))
    }

    /// Adds fields to the URL's query.
    pub fn query(mut self, fields: &[(&str, &str)]) -> Self {
        for (name, value) in fields {
            let sign = if self.url.contains('?') { '&' } else { '?' };
            self.url = format!("{}{sign}{}={}", self.url, url::encode(name), url::encode(value));
        }
        self
    }

    /// Authenticates by a name and a password.
    pub fn basic_auth(self, user: &str, password: &str) -> Self {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        self.header("authorization", &format!("Basic {credentials}"))
    }

    /// Authenticates by a token.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// Times the request as a span called `METHOD template`, such as `GET /objects/{id}`.
    pub fn span(mut self, template: &str) -> Self {
        self.template = Some(template.to_owned());
        self
    }

    /// Follows at most this many redirects; past the last one the redirect itself is the response.
    pub fn redirects(mut self, most: usize) -> Self {
        self.redirects = most;
        self
    }

    /// Adds no header to those that were given, neither `user-agent` nor `accept-encoding`.
    pub fn as_given(mut self) -> Self {
        self.added = Added::Nothing;
        self
    }

    /// Receives the body of the response to its end and keeps none of it, however long it is.
    pub fn discard_body(mut self) -> Self {
        self.wanted = Wanted::Head;
        self
    }

    /// Sends it, and reads the whole response.
    pub fn send(mut self) -> Result<Response, Error> {
        let template = self.template.take();
        let _span = template.as_ref().map(|template| crate::span(&format!("{} {template}", self.method)));
        match self.send_and_follow() {
            Ok(response) => Ok(Response { template, ..response }),
            Err(error) => Err(Error { url: template.unwrap_or(error.url), ..error }),
        }
    }

    fn send_and_follow(self) -> Result<Response, Error> {
        let Self { mut method, url, mut headers, body, redirects, added, wanted, template: _ } = self;
        let error = |method: &str, url: &str, cause: String| Error { method: method.into(), url: url.into(), cause };
        let mut body = body.map_err(|cause| error(&method, &url, cause))?;
        is_length_of(&headers, &body).map_err(|cause| error(&method, &url, cause))?;
        if added == Added::Usual {
            add(&mut headers, "user-agent", USER_AGENT);
            #[cfg(feature = "decode")]
            if wanted == Wanted::Body {
                add(&mut headers, "accept-encoding", decode::ACCEPTED);
            }
        }
        let mut at = Url::parse(&url).map_err(|cause| error(&method, &url, cause))?;
        if let Some(credentials) = at.take_credentials() {
            headers.push(("authorization".into(), format!("Basic {}", STANDARD.encode(credentials))));
        }
        for followed in 0.. {
            let is_cookie = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("cookie");
            let own = headers.iter().find(is_cookie).map(|(_, value)| value.as_str());
            let cookies = cookies::merged(own, &at);
            let mut sent: Vec<_> = headers.iter().filter(|header| !is_cookie(header)).cloned().collect();
            sent.extend(cookies.map(|cookies| ("cookie".to_owned(), cookies)));
            let received = transport::send(&method, &at, &sent, &body, wanted)
                .map_err(|cause| error(&method, &at.to_string(), cause))?;
            received.headers.get("set-cookie").iter().for_each(|cookie| cookies::keep(&at, cookie));
            let target = received.redirect().filter(|_| followed < redirects);
            let Some(next) = target.map(|target| at.join(&target)) else {
                #[cfg(feature = "decode")]
                let received = received.decoded().map_err(|cause| error(&method, &at.to_string(), cause))?;
                let (template, url, headers) = (None, OnceCell::new(), OnceCell::new());
                return Ok(Response { method, at, received, template, url, headers });
            };
            let next = next.map_err(|cause| error(&method, &at.to_string(), cause))?;
            let is_read = matches!(method.as_str(), "GET" | "HEAD");
            if received.status == 303 && !is_read || matches!(received.status, 301 | 302) && method == "POST" {
                // As browsers do it: what was asked for is to be read elsewhere.
                method = "GET".into();
                body = Vec::new();
                headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
            }
            if !next.is_same_origin(&at) {
                let is_of_origin = |name: &str| ["authorization", "cookie", "host"].contains(&name);
                headers.retain(|(name, _)| !is_of_origin(&name.to_ascii_lowercase()));
            }
            at = next;
        }
        unreachable!("a redirect too many is the response")
    }
}

/// What came back, read to its end.
#[derive(Debug)]
struct Received {
    status: u16,
    headers: transport::Headers,
    body: Vec<u8>,
}

/// Adds a header, unless there is one of that name.
fn add(headers: &mut Vec<(String, String)>, name: &str, value: &str) {
    if !headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
        headers.push((name.to_owned(), value.to_owned()));
    }
}

/// Checks a length that was given by hand: a server would wait for the rest of the body, or take what is left over for
/// the next request.
fn is_length_of(headers: &[(String, String)], body: &[u8]) -> Result<(), String> {
    let given = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match given {
        Some((_, length)) if length.trim().parse() != Ok(body.len()) => Err(format!(
            "its content-length is `{length}`, and its body has {} bytes: leave the header out",
            body.len()
        )),
        _ => Ok(()),
    }
}

impl Received {
    /// Itself with its body decoded, if the encoding is known.
    #[cfg(feature = "decode")]
    fn decoded(mut self) -> Result<Self, String> {
        if !self.body.is_empty() {
            let encodings = self.headers.get("content-encoding").join(",");
            if let Some(body) = decode::decoded(&encodings, &self.body)? {
                self.body = body;
            }
        }
        Ok(self)
    }

    /// Where it leads, with the bytes that a URL cannot have escaped, as browsers do it.
    fn redirect(&self) -> Option<String> {
        let is_redirect = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        let target = is_redirect.then(|| self.headers.first("location")).flatten()?;
        Some(url::escaped(target.trim_ascii())).filter(|target| !target.is_empty())
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub struct Response {
    method: String,
    at: Url,
    received: Received,
    template: Option<String>,
    // Put together when they are first asked for: most operations never do.
    url: OnceCell<String>,
    headers: OnceCell<Vec<(String, String)>>,
}

impl Response {
    /// Its status, such as 200.
    pub fn status(&self) -> u16 {
        self.received.status
    }

    /// Where it came from, after all redirects.
    pub fn url(&self) -> &str {
        self.url.get_or_init(|| self.at.to_string())
    }

    /// A header's value, whatever the case of its name; the first, where there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers; a value that is no text is left out.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.headers.get_or_init(|| self.received.headers.all());
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Its body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received.body).into_owned()
    }

    /// Its body.
    pub fn bytes(&self) -> &[u8] {
        &self.received.body
    }

    /// Its body, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.received.body)
            .map_err(|error| self.error(format!("its response is not that JSON: {error}")))
    }

    /// Itself where its status is below 400, else an error.
    pub fn ok(self) -> Result<Self, Error> {
        if self.status() < 400 { Ok(self) } else { Err(self.error(format!("status {}", self.status()))) }
    }

    fn error(&self, cause: String) -> Error {
        let url = self.template.as_deref().unwrap_or_else(|| self.url());
        Error { method: self.method.clone(), url: url.to_owned(), cause }
    }
}

/// Why a request had no response, or not the one that was expected. Its text begins with the cause. It names the
/// request by the template of its span if there is one, so that errors of requests of one kind are one result in the
/// report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    method: String,
    /// Or the template of the request's span.
    url: String,
    cause: String,
}

impl Error {
    /// What went wrong, without the request.
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.cause, self.method, self.url)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
