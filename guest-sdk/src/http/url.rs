//! As much of a URL as a request needs: a crate that knows all of them would weigh more than all the rest of a task.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode};

/// An absolute `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) is_tls: bool,
    /// Host and, where it is not the scheme's own, port.
    pub(super) authority: String,
    /// Path and query, from the slash on.
    pub(super) path: String,
    /// `NAME:PASSWORD`, decoded.
    credentials: Option<Vec<u8>>,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{}` is no URL: write http://HOST/PATH or https://HOST/PATH", without_credentials(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let is_tls = scheme.eq_ignore_ascii_case("https");
        if !is_tls && !scheme.eq_ignore_ascii_case("http") {
            return Err(wrong());
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (credentials, authority) = match authority.rsplit_once('@') {
            Some((credentials, authority)) => (Some(decoded(credentials)), authority),
            None => (None, authority),
        };
        let authority = authority.strip_suffix(':').unwrap_or(authority);
        if authority.is_empty() || authority.contains(char::is_whitespace) {
            return Err(wrong());
        }
        if let Some((host, port)) = authority.rsplit_once(':')
            && (!host.contains(':') || host.ends_with(']'))
            && port.parse::<u16>().is_err()
        {
            let text = without_credentials(text);
            return Err(format!("`{text}` is no URL: its port `{port}` is not a number up to 65535"));
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            is_tls,
            authority: authority.to_ascii_lowercase(),
            path: if path.contains(' ') { [slash, &path.replace(' ', "%20")].concat() } else { [slash, path].concat() },
            credentials,
        })
    }

    pub(super) fn take_credentials(&mut self) -> Option<Vec<u8>> {
        self.credentials.take()
    }

    /// Where `target`, found in a response from here, leads to.
    pub(super) fn join(&self, target: &str) -> Result<Self, String> {
        // A scheme ends before anything else does: in `/login?next=https://host/` there is none.
        let scheme_end = target.find([':', '/', '?', '#']).filter(|&at| at > 0 && target[at..].starts_with(':'));
        if scheme_end.is_some() {
            return Self::parse(target);
        }
        let scheme = if self.is_tls { "https" } else { "http" };
        if let Some(rest) = target.strip_prefix("//") {
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let path = self.path.split('?').next().unwrap_or_default();
        let path = match target.chars().next() {
            Some('/') => target.to_owned(),
            Some('?') => format!("{path}{target}"),
            None | Some('#') => self.path.clone(),
            _ => format!("{}/{target}", path.rsplit_once('/').map_or("", |(directory, _)| directory)),
        };
        Self::parse(&format!("{scheme}://{}{}", self.authority, without_dots(&path)))
    }

    pub(super) fn is_same_origin(&self, other: &Self) -> bool {
        (self.is_tls, &self.authority) == (other.is_tls, &other.authority)
    }

    /// The host alone.
    pub(super) fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => &self.authority,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// A URL with what it cannot have escaped: blanks, controls, bytes beyond ASCII, and what browsers escape in a path.
pub(super) fn escaped(url: &[u8]) -> String {
    const NOT_IN_URLS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');
    percent_encode(url, NOT_IN_URLS).to_string()
}

/// The name and the password of a URL, decoded, with a colon between them.
fn decoded(credentials: &str) -> Vec<u8> {
    let (name, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    [decoded(name), b":".to_vec(), decoded(password)].concat()
}

fn without_dots(path: &str) -> String {
    let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
    let mut parts: Vec<&str> = Vec::new();
    let pieces: Vec<&str> = path.split('/').skip(1).collect();
    for (i, piece) in pieces.iter().enumerate() {
        let is_last = i + 1 == pieces.len();
        match *piece {
            "." if is_last => parts.push(""),
            "." => {}
            ".." => {
                parts.pop();
                if is_last {
                    parts.push("");
                }
            }
            piece => parts.push(piece),
        }
    }
    format!("/{}{query}", parts.join("/"))
}

/// All but what RFC 3986 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `text` as a part of a query or a form.
pub(super) fn encode(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, RESERVED)
}

/// The text without what it has in front of a host: a name, and a password.
fn without_credentials(text: &str) -> String {
    match text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://***@{rest}"),
        None => text.to_owned(),
    }
}
