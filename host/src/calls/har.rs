//! A HAR, in which browsers and proxies save their requests. It is a recording: its text is never a template, its
//! entries are in the order of time, and each redirect is an entry of its own.

use std::collections::BTreeMap;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::json::Source;
use super::template::{Place, Template};
use super::{Call, Context, Header, Parsed, SyntaxError, check, form};

#[derive(Deserialize)]
struct Har<'a> {
    #[serde(borrow)]
    log: Log<'a>,
}

#[derive(Deserialize)]
struct Log<'a> {
    creator: Option<Creator>,
    #[serde(borrow)]
    entries: Option<Vec<&'a RawValue>>,
}

/// The recorder.
#[derive(Deserialize)]
struct Creator {
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    request: Option<Request<'a>>,
    response: Option<Response>,
    started_date_time: Option<String>,
    #[serde(rename = "_fromCache")]
    from_cache: Option<Value>,
    cache: Option<Value>,
    /// As Safari has it: where the response came from.
    #[serde(rename = "_fetchType")]
    fetch_type: Option<String>,
    /// As Playwright has it: the test answered, and not the server.
    #[serde(rename = "_wasFulfilled")]
    was_fulfilled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status: Option<f64>,
    status_text: Option<String>,
    /// As Chrome has it.
    #[serde(rename = "_fetchedViaServiceWorker")]
    by_service_worker: Option<bool>,
}

impl Entry<'_> {
    /// Whether the browser took the response from its cache.
    fn is_cached(&self, recorder: &str) -> bool {
        let is_chromes = self.from_cache.as_ref().is_some_and(|cache| !cache.is_null() && *cache != false);
        let fetched = self.fetch_type.as_deref().unwrap_or_default();
        // Firefox writes the key, and often `null`, for what its cache had. A 304 was asked of the server.
        let is_firefoxs =
            recorder == "Firefox" && self.cache.as_ref().is_some_and(|cache| cache.get("afterRequest").is_some());
        is_chromes || fetched.ends_with("Cache") || is_firefoxs && self.status() != Some(304.0)
    }

    /// Whether no server saw the request, because the browser or its driver answered.
    fn is_answered_within(&self) -> bool {
        // Chrome redirects to https by itself where a site asked for it (HSTS).
        let is_internal = |response: &Response| {
            response.status_text.as_deref() == Some("Internal Redirect") || response.by_service_worker == Some(true)
        };
        self.was_fulfilled == Some(true) || self.response.as_ref().is_some_and(is_internal)
    }

    fn status(&self) -> Option<f64> {
        self.response.as_ref().and_then(|response| response.status)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    method: Option<String>,
    #[serde(borrow)]
    url: Option<&'a RawValue>,
    #[serde(borrow)]
    headers: Option<Vec<&'a RawValue>>,
    query_string: Option<Vec<Field>>,
    cookies: Option<Vec<Field>>,
    body_size: Option<f64>,
    post_data: Option<PostData>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    name: Option<String>,
    value: Option<String>,
    file_name: Option<String>,
    content_type: Option<String>,
    encoding: Option<String>,
}

impl Field {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    fn value(&self) -> &str {
        self.value.as_deref().unwrap_or_default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    mime_type: Option<String>,
    text: Option<String>,
    params: Option<Vec<Field>>,
    encoding: Option<String>,
}

pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<Parsed, SyntaxError> {
    let source = Source::new(text);
    let har: Har<'_> = source.read(text)?;
    let recorder = har.log.creator.and_then(|creator| creator.name).unwrap_or_default();
    let mut entries = Vec::new();
    for raw in har.log.entries.unwrap_or_default() {
        let entry: Entry<'_> = source.read(raw.get())?;
        entries.push((entry.started_date_time.as_deref().and_then(time), entry));
    }
    // Entries without a time stay where they are.
    if entries.iter().all(|(time, _)| time.is_some()) {
        entries.sort_by_key(|(time, _)| *time);
    }
    let (mut parsed, mut passed) = (Parsed::default(), Passed::default());
    for (_, entry) in entries {
        match Recorded::of(entry, &recorder, &source)? {
            Ok(recorded) if !context.is_wanted(&recorded.url) => passed.add("of other hosts (--only, --skip)"),
            Ok(recorded) => {
                let call = recorded.call(&mut parsed.notes)?;
                parsed.add(call)?;
            }
            Err(reason) => passed.add(reason),
        }
    }
    parsed.notes.extend(passed.note());
    Ok(parsed)
}

/// A time as ISO 8601 has it, with any zone and any precision.
fn time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text.trim(), &Iso8601::DEFAULT).ok()
}

/// How many entries were passed over, by the reason.
#[derive(Default)]
struct Passed(BTreeMap<&'static str, usize>);

impl Passed {
    fn add(&mut self, reason: &'static str) {
        *self.0.entry(reason).or_default() += 1;
    }

    fn note(self) -> Option<String> {
        let parts: Vec<_> = self.0.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        (!parts.is_empty()).then(|| format!("passed over: {}", parts.join(", ")))
    }
}

/// A request that was recorded, with what is needed of its response.
struct Recorded {
    method: String,
    url: String,
    headers: Vec<(Field, Place)>,
    query: Vec<Field>,
    cookies: Vec<Field>,
    body_size: f64,
    post_data: Option<PostData>,
    status: Option<u16>,
    at: Place,
}

impl Recorded {
    /// The request of an entry, or why it is not played.
    fn of(entry: Entry<'_>, recorder: &str, source: &Source<'_>) -> Result<Result<Self, &'static str>, SyntaxError> {
        let (status, is_cached, is_within) = (entry.status(), entry.is_cached(recorder), entry.is_answered_within());
        let Some(request) = entry.request else { return Ok(Err("without a request")) };
        let (Some(method), Some(raw)) = (request.method, request.url) else {
            return Ok(Err("without a URL or a method"));
        };
        let url: String = source.read(raw.get())?;
        let mut headers = Vec::new();
        for raw in request.headers.unwrap_or_default() {
            if raw.get() != "null" {
                headers.push((source.read::<Field>(raw.get())?, source.place(raw.get())));
            }
        }
        let is_upgrade = headers.iter().any(|(field, _)| {
            field.name().eq_ignore_ascii_case("upgrade") && !field.value().to_ascii_lowercase().starts_with("h2c")
        });
        Ok(match () {
            () if method.eq_ignore_ascii_case("CONNECT") => Err("that opened a tunnel (CONNECT)"),
            () if !check::is_http(&url) => Err("that are not HTTP (web sockets, data: and the like)"),
            () if is_upgrade || status == Some(101.0) => Err("that changed the protocol"),
            () if is_cached => Err("from the browser's cache"),
            () if is_within => Err("that the browser answered itself"),
            () if status.is_some_and(|status| status <= 0.0) => Err("that were blocked, or got no response"),
            () => Ok(Self {
                method,
                url,
                headers,
                query: request.query_string.unwrap_or_default(),
                cookies: request.cookies.unwrap_or_default(),
                body_size: request.body_size.unwrap_or_default(),
                post_data: request.post_data,
                status: status.filter(|status| (100.0..600.0).contains(status)).map(|status| status as u16),
                at: source.place(raw.get()),
            }),
        })
    }

    fn call(self, notes: &mut Vec<String>) -> Result<Call, SyntaxError> {
        let Self { method, mut url, headers: fields, query, cookies, body_size, post_data, status, at } = self;
        url.truncate(url.find('#').unwrap_or(url.len()));
        if !query.is_empty() && !url.contains('?') {
            let fields = query.iter().map(|field| (field.name(), field.value()));
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            url = format!("{url}?{query}");
        }
        let is_cookie = |field: &Field| field.name().eq_ignore_ascii_case("cookie");
        let has_length = fields.iter().any(|(field, _)| {
            field.name().eq_ignore_ascii_case("content-length")
                && field.value().trim().parse::<u64>().is_ok_and(|size| size > 0)
        });
        // A connection can have more fields of its own (RFC 9110, section 7.6.1).
        let connection = fields.iter().filter(|(field, _)| field.name().eq_ignore_ascii_case("connection"));
        let named: Vec<String> = connection
            .flat_map(|(field, _)| field.value().split(',').map(|name| name.trim().to_ascii_lowercase()))
            .collect();
        let is_kept = |field: &Field| {
            let name = field.name().to_ascii_lowercase();
            let is_host = name == "host" && (field.value() == authority(&url) || field.value().is_empty());
            !check::is_of_connection(&name, "") && !is_cookie(field) && !is_host && !named.contains(&name)
        };
        let kept = fields.iter().filter(|(field, _)| is_kept(field));
        let mut headers: Vec<_> =
            kept.map(|(field, at)| Header::new(field.name(), Template::text(field.value())).at(*at)).collect();
        // HTTP/2 may split cookies over several fields (RFC 9113, section 8.2.3).
        let sent = fields.iter().filter(|(field, _)| is_cookie(field)).map(|(field, _)| field.value().to_owned());
        let mut sent: Vec<String> = sent.collect();
        if sent.is_empty() {
            sent = cookies
                .iter()
                .filter(|cookie| !cookie.name().is_empty())
                .map(|cookie| format!("{}={}", cookie.name(), cookie.value()))
                .collect();
        }
        if !sent.is_empty() {
            headers.push(Header::new("cookie", Template::text(sent.join("; "))).at(at));
        }
        let sent_kind = headers.iter().find(|header| header.is("content-type")).map(|header| header.value.shown());
        let is_text = post_data.as_ref().is_some_and(|data| data.encoding.as_deref() != Some("base64"));
        let before = headers.len();
        headers.retain(|header| !(is_text && header.is("content-encoding")));
        if headers.len() < before {
            notes.push(format!(
                "line {}: content-encoding is left out, because the recording has the body decoded",
                at.line
            ));
        }
        let (body, kind) = match post_data {
            Some(data) => data.body(sent_kind, at, notes)?,
            None => (Template::default(), None),
        };
        if body.is_empty() && (body_size > 0.0 || has_length) {
            notes.push(format!("line {}: the recording has no body for {method} {url}, which had one", at.line));
        }
        let mut call = Call {
            method,
            url: Template::text(url),
            headers,
            body,
            follows: false,
            expected: status,
            recorded: true,
            at,
            ..Call::default()
        };
        if let Some(kind) = kind.filter(|_| !call.body.is_empty()) {
            call.headers.retain(|header| !header.is("content-type"));
            call.default_header("content-type", &kind);
        }
        check::call(&mut call)?;
        Ok(call)
    }
}

/// The host of a URL, and its port if the URL names one.
fn authority(url: &str) -> String {
    let parsed = url::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(url::Url::host_str).unwrap_or_default();
    let port = parsed.as_ref().and_then(url::Url::port).map(|port| format!(":{port}")).unwrap_or_default();
    format!("{host}{port}")
}

impl PostData {
    /// The body that was sent, and its type, of which `sent` is the header.
    fn body(
        self,
        sent: Option<String>,
        at: Place,
        notes: &mut Vec<String>,
    ) -> Result<(Template, Option<String>), SyntaxError> {
        let kind = sent.or(self.mime_type).filter(|kind| !kind.is_empty());
        let text = self.text.unwrap_or_default();
        if self.encoding.as_deref() == Some("base64") {
            return Ok((Template::bytes(bytes_of(&text, at)?), kind));
        }
        if !text.is_empty() {
            return Ok((Template::text(text), kind));
        }
        let params = self.params.unwrap_or_default();
        let is_multipart = kind.as_deref().is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/"));
        if params.is_empty() || !is_multipart {
            let fields = params
                .iter()
                .map(|field| (Template::text(decoded(field.name())), Template::text(decoded(field.value()))));
            return Ok((form::urlencoded(fields), kind));
        }
        let mut fields = Vec::new();
        for field in params {
            if field.file_name.is_some() && field.value.is_none() {
                notes.push(format!("line {}: the recording has no content for the file `{}`", at.line, field.name()));
            }
            let value = match field.encoding.as_deref() {
                Some("base64") => Template::bytes(bytes_of(field.value(), at)?),
                _ => Template::text(field.value()),
            };
            fields.push(form::Field {
                name: Template::text(field.name()),
                value,
                file_name: field.file_name,
                content_type: field.content_type,
            });
        }
        let kind = kind.unwrap_or_default();
        if let Some(boundary) = form::boundary_of(&kind) {
            return Ok((form::multipart(&fields, boundary), Some(kind)));
        }
        let boundary = form::boundary(&fields);
        let kind = format!("{}; boundary={boundary}", kind.trim_end_matches(';'));
        Ok((form::multipart(&fields, &boundary), Some(kind)))
    }
}

/// Base64 with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn bytes_of(base64: &str, at: Place) -> Result<Vec<u8>, SyntaxError> {
    let packed: String = base64.split_whitespace().collect();
    LENIENT.decode(packed).map_err(|error| at.wrong(format!("the body of this request is not base64: {error}")))
}

/// Recorders write the fields of a form decoded or encoded. They are decoded once.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let mut escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').map(|(at, _)| is_escape(at));
    let is_encoded = bytes.contains(&b'%') && escapes.all(|is_escape| is_escape) && !bytes.contains(&b' ');
    if !is_encoded {
        return text.to_owned();
    }
    let value = format!("x={}", text.replace('&', "%26"));
    form_urlencoded::parse(value.as_bytes()).next().map_or_else(|| text.to_owned(), |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_zone_and_precision_are_ordered() {
        assert_eq!(time("2024-02-29T12:00:00.5+02:00"), time("2024-02-29T10:00:00.500000Z"));
        assert!(time("2026-11-25T10:00:00.123456789Z") > time("2026-11-25T10:00:00.1234Z"));
        assert!(time("2026-01-01T00:00:00-03:30").is_some());
        for odd in ["", "yesterday", "2026-01-01"] {
            assert_eq!(time(odd), None, "{odd}");
        }
    }

    #[test]
    fn form_values_are_decoded_once() {
        for (text, wanted) in [("a b", "a b"), ("x%26y", "x&y"), ("100%", "100%"), ("a+b", "a+b"), ("a+b%21", "a b!")] {
            assert_eq!(decoded(text), wanted, "{text}");
        }
    }
}
