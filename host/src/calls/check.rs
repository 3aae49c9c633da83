//! Whether a call can be sent, and how its URL is written for that: as a browser would.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::template::{Part, Place, Template};
use super::{Call, Header, SyntaxError};

/// Headers that belong to a connection. Gorgon writes them.
const OF_CONNECTIONS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is not passed on, because it belongs to a connection. Closing one can be asked for.
pub(super) fn is_of_connection(header: &str, value: &str) -> bool {
    let closes = header.eq_ignore_ascii_case("connection") && value.trim().eq_ignore_ascii_case("close");
    // Recordings list the pseudo-headers of HTTP/2, which begin with a colon.
    header.starts_with(':') || OF_CONNECTIONS.contains(&header.to_ascii_lowercase().as_str()) && !closes
}

/// Whether the text is a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// What to say of a header of a connection that is not sent, unless it goes without saying.
pub(super) fn left_out(name: &str, value: &str, line: usize) -> Option<String> {
    let is_plain = ["content-length", "keep-alive"].iter().any(|plain| name.eq_ignore_ascii_case(plain))
        || value.trim().eq_ignore_ascii_case("keep-alive");
    (!is_plain).then(|| format!("line {line}: `{name}` is left out: it belongs to the connection"))
}

/// Checks a call, and escapes what its URL cannot have.
pub(super) fn call(call: &mut Call) -> Result<(), SyntaxError> {
    let at = call.at;
    method(&call.method, at)?;
    let (url, credentials) = url(std::mem::take(&mut call.url), at)?;
    call.url = url;
    if let Some(credentials) = credentials {
        call.default_header("authorization", &format!("Basic {}", STANDARD.encode(credentials)));
    }
    for Header { name, value, at } in &call.headers {
        header(name, value, *at)?;
    }
    for single in ["Host", "Content-Type", "Authorization", "User-Agent"] {
        if let Some(second) = call.headers.iter().filter(|header| header.is(single)).nth(1).filter(|_| !call.recorded) {
            return Err(second.at.wrong(format!("a request has one {single}")));
        }
    }
    join_cookies(&mut call.headers);
    for (name, how) in &call.capture {
        capture(name, how, at)?;
    }
    Ok(())
}

/// Methods that tools write in any case.
const METHODS: [&str; 9] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY"];

/// Other methods: those that are registered (RFC 9110, section 16.1.1), and those of caches and editors.
const RARE_METHODS: &str = "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY LABEL LINK LOCK MERGE MKACTIVITY \
                            MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH REBIND \
                            REPORT SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL \
                            PURGE BAN VIEW NOTIFY SUBSCRIBE UNSUBSCRIBE CURL GRAPHQL";

/// The method that a word of a list or a `.http` file is. Words that are not known need a `-` or a `_`, or any word
/// would be a method.
pub(super) fn method_of(word: &str) -> Option<String> {
    let upper = word.to_ascii_uppercase();
    let is_capital =
        word.starts_with(|c: char| c.is_ascii_uppercase()) && !word.chars().any(|c| c.is_ascii_lowercase());
    let is_known = word.contains(['-', '_']) || RARE_METHODS.split(' ').any(|rare| rare == word);
    (METHODS.contains(&upper.as_str()) || is_token(word) && is_capital && is_known).then_some(upper)
}

/// Joins several `Cookie` headers, of which a request has one (RFC 6265, section 5.4).
fn join_cookies(headers: &mut Vec<Header>) {
    let mut first: Option<usize> = None;
    let mut at = 0;
    while at < headers.len() {
        if !headers[at].is("cookie") {
            at += 1;
        } else if let Some(first) = first {
            let more = headers.remove(at).value;
            headers[first].value.append(Template::text("; "));
            headers[first].value.append(more);
        } else {
            first = Some(at);
            at += 1;
        }
    }
}

fn method(method: &str, at: Place) -> Result<(), SyntaxError> {
    if !is_token(method) || !method.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(at.wrong(format!("`{method}` is not a method")));
    }
    match method {
        "CONNECT" => Err(at.wrong("a request with CONNECT opens a tunnel, and a load has none")),
        "CURL" => Err(at.wrong("this is a curl command line: put such lines into a file of their own")),
        _ => Ok(()),
    }
}

fn header(name: &str, value: &Template, at: Place) -> Result<(), SyntaxError> {
    if !is_token(name) {
        return Err(at.wrong(format!("`{name}` is not the name of a header")));
    }
    let is_wrong = |c: char| c.is_control() && c != '\t';
    let texts = value.0.iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
    match texts.flat_map(|text| text.chars()).find(|&c| is_wrong(c)) {
        Some(c) => Err(at.wrong(format!("the header `{name}` cannot have the character {}", c.escape_unicode()))),
        None => Ok(()),
    }
}

fn capture(name: &str, how: &str, at: Place) -> Result<(), SyntaxError> {
    let is_known = how.is_empty() || how.starts_with('/') || how.starts_with("header ") || how.starts_with("regex ");
    if !is_known {
        let problem = format!("cannot capture `{name}` by `{how}`: write /JSON/POINTER, header NAME or regex PATTERN");
        return Err(at.wrong(problem));
    }
    if let Some(Err(error)) = how.strip_prefix("regex ").map(regex::Regex::new) {
        let error = error.to_string();
        return Err(at.wrong(format!("cannot capture `{name}`: {}", error.lines().last().unwrap_or_default())));
    }
    Ok(())
}

/// Whether the text begins as a URL that can be called. A scheme has no case.
pub fn is_http(text: &str) -> bool {
    let begins = |scheme: &str| text.get(..scheme.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(scheme));
    begins("http://") || begins("https://")
}

/// The URL as a browser writes it (WHATWG URL): without its fragment, percent-encoded, with an ASCII host.
///
/// A name and a password are returned apart, decoded: they are sent as a header.
fn url(url: Template, at: Place) -> Result<(Template, Option<Vec<u8>>), SyntaxError> {
    let shown = url.shown();
    // Values of the run are stood for by a word that a URL can have anywhere but as a port.
    let (mut text, mut values) = (String::new(), Vec::new());
    for part in url.0 {
        match part {
            Part::Text(part) => text.push_str(&part),
            value => {
                text.push_str(&stand_in(values.len()));
                values.push(value);
            }
        }
    }
    let begins_with_value = shown.starts_with("{{");
    let whole = if begins_with_value { format!("http://{text}") } else { text };
    if !is_http(&whole) {
        return Err(at.wrong(format!("`{shown}` is not a URL: write http://HOST/PATH or https://HOST/PATH")));
    }
    if let Some(c) = whole.chars().find(|c| c.is_control()) {
        return Err(at.wrong(format!("a URL cannot have the character {}", c.escape_unicode())));
    }
    let mut parsed = Url::parse(&whole)
        .map_err(|error| at.wrong(format!("`{shown}` is not a URL: {error}; write http://HOST/PATH")))?;
    parsed.set_fragment(None);
    let credentials = credentials(&mut parsed, at)?;
    let written = parsed.as_str();
    let written = if begins_with_value { &written["http://".len()..] } else { written };
    let mut filled = Template::default();
    let mut rest = written;
    for (i, value) in values.into_iter().enumerate() {
        let stand_in = stand_in(i);
        let Some((before, after)) = rest.split_once(&stand_in) else {
            return Err(at.wrong(format!("`{shown}` has a value at a place where a URL cannot have one")));
        };
        filled.append(Template::text(before));
        filled.append(Template(vec![value]));
        rest = after;
    }
    filled.append(Template::text(rest));
    Ok((filled, credentials))
}

/// Takes the name and the password out of a URL, if it has them. They cannot be values of the run.
fn credentials(url: &mut Url, at: Place) -> Result<Option<Vec<u8>>, SyntaxError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let (name, password) = (url.username().to_owned(), url.password().unwrap_or_default().to_owned());
    let is_known = !name.contains(STAND_IN) && !password.contains(STAND_IN);
    if !is_known || url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return Err(
            at.wrong("a name or a password that is only known in the run cannot be encoded: use --var, or a header")
        );
    }
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    Ok(Some([decoded(&name), b":".to_vec(), decoded(&password)].concat()))
}

/// What a stand-in for a value of the run begins with.
const STAND_IN: &str = "gorgon-value-";

/// What stands for the value `i` while a URL is parsed.
fn stand_in(i: usize) -> String {
    format!("{STAND_IN}{i}-of-the-run")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place = Place { line: 1, column: 1 };

    #[test]
    fn urls_are_written_as_a_browser_does() {
        for (text, wanted) in [
            ("http://h/a?x=1", "http://h/a?x=1"),
            ("http://h", "http://h/"),
            ("http://h/caf\u{e9}?q=\u{65e5}", "http://h/caf%C3%A9?q=%E6%97%A5"),
            ("http://h/a b?c=d e", "http://h/a%20b?c=d%20e"),
            ("http://h/a%20b", "http://h/a%20b"),
            ("http://h/\"<>`{}|", "http://h/%22%3C%3E%60%7B%7D|"),
            ("http://h/b#frag", "http://h/b"),
            ("https://u:p@h:8443/x", "https://h:8443/x"),
            ("http://[::1]:81/", "http://[::1]:81/"),
            ("http://b\u{fc}cher.example:81/x", "http://xn--bcher-kva.example:81/x"),
        ] {
            assert_eq!(url(Template::text(text), AT).unwrap().0.shown(), wanted, "{text}");
        }
        for text in ["h/x", "ftp://h/x", "http:///", "http://h:70000/", "http://a b/", "http://h:x/"] {
            assert!(url(Template::text(text), AT).is_err(), "{text}");
        }
        let value = |name: &str| Part::Column(name.into());
        let text = |text: &str| Part::Text(text.into());
        for (parts, wanted) in [
            (vec![value("base"), text("/a b")], "{{base}}/a%20b"),
            (vec![text("http://h/"), value("id"), text("?q="), value("q"), text("#x")], "http://h/{{id}}?q={{q}}"),
            (vec![text("http://"), value("host"), text(":80/x")], "http://{{host}}/x"),
        ] {
            assert_eq!(url(Template(parts), AT).unwrap().0.shown(), wanted);
        }
        assert!(url(Template(vec![text("http://h:"), value("port"), text("/")]), AT).is_err());
    }

    #[test]
    fn methods_and_headers_are_tokens() {
        assert!(method("M_X", AT).is_ok() && method("REPORT", AT).is_ok());
        for wrong in ["", "G T", "CONNECT", "CURL", "GE\u{e9}"] {
            assert!(method(wrong, AT).is_err(), "{wrong}");
        }
        assert!(header("x-a", &Template::text("b\tc"), AT).is_ok());
        assert!(header("x a", &Template::text("b"), AT).is_err());
        assert!(header("x-a", &Template::text("b\nc"), AT).is_err());
    }
}
