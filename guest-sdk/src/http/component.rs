//! Requests of a task, sent by its host: `wasi:http`.

use wasip2::http::outgoing_handler::{self, ErrorCode, OutgoingRequest};
use wasip2::http::types::{Fields, IncomingResponse, Method, OutgoingBody, Scheme};
use wasip2::io::streams::StreamError;

use super::url::Url;
use super::{Received, Wanted};

/// What is read at once.
const CHUNK: u64 = 64 << 10;

/// What `blocking-write-and-flush` takes at once, by its definition.
const WRITE: usize = 4_096;

/// A response's headers, which the host keeps.
#[derive(Debug)]
pub(super) struct Headers {
    fields: Fields,
    // A response must not be dropped before its headers; fields are dropped in this order.
    _response: IncomingResponse,
}

impl Headers {
    /// The values of one header that are text.
    pub(super) fn get(&self, name: &str) -> Vec<String> {
        self.fields.get(name).into_iter().filter_map(|value| String::from_utf8(value).ok()).collect()
    }

    /// The bytes of the first value of a header.
    pub(super) fn first(&self, name: &str) -> Option<Vec<u8>> {
        self.fields.get(name).into_iter().next()
    }

    /// Every header whose value is text.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let text = |(name, value)| Some((name, String::from_utf8(value).ok()?));
        self.fields.entries().into_iter().filter_map(text).collect()
    }
}

pub(super) fn send(
    method: &str,
    url: &Url,
    headers: &[(String, String)],
    body: &[u8],
    wanted: Wanted,
) -> Result<Received, String> {
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).map_err(|error| format!("its header `{name}`: {error}"))?;
    }
    let has_length = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    // Some servers insist on a length wherever there could be a body.
    if !has_length && (!body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH")) {
        let length = body.len().to_string();
        fields.append("content-length", length.as_bytes()).map_err(|error| format!("its length: {error}"))?;
    }
    let request = OutgoingRequest::new(fields);
    let wrong = |part: &str| format!("its {part} cannot be sent");
    if method != "GET" {
        request.set_method(&of_name(method)).map_err(|()| wrong("method"))?;
    }
    let scheme = if url.is_tls { Scheme::Https } else { Scheme::Http };
    request.set_scheme(Some(&scheme)).map_err(|()| wrong("scheme"))?;
    request.set_authority(Some(&url.authority)).map_err(|()| wrong("host"))?;
    request.set_path_with_query(Some(&url.path)).map_err(|()| wrong("path"))?;
    let outgoing = match body {
        [] => None,
        _ => Some(request.body().map_err(|()| wrong("body"))?),
    };
    let response = outgoing_handler::handle(request, None).map_err(|error| named(&error, url))?;
    if let Some(outgoing) = outgoing {
        write(outgoing, body)?;
    }
    response.subscribe().block();
    let response = match response.get() {
        Some(Ok(response)) => response.map_err(|error| named(&error, url))?,
        _ => return Err("the host gave no response".into()),
    };
    read(response, wanted)
}

/// A method other than GET, which is what a request has from the start.
fn of_name(method: &str) -> Method {
    match method {
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        other => Method::Other(other.to_owned()),
    }
}

fn write(outgoing: OutgoingBody, body: &[u8]) -> Result<(), String> {
    let stream = outgoing.write().map_err(|()| "its body cannot be written")?;
    for chunk in body.chunks(WRITE) {
        // A server may answer, and close, before it has read everything; then the response says more.
        if stream.blocking_write_and_flush(chunk).is_err() {
            break;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(outgoing, None);
    Ok(())
}

fn read(response: IncomingResponse, wanted: Wanted) -> Result<Received, String> {
    let status = response.status();
    let fields = response.headers();
    let body = response.consume().map_err(|()| "its response has no body")?;
    let stream = body.stream().map_err(|()| "its response's body is read by somebody else")?;
    let mut bytes = Vec::new();
    let mut count = 0;
    loop {
        let read = match wanted {
            Wanted::Body => stream.blocking_read(CHUNK).map(|chunk| {
                let read = chunk.len() as u64;
                if bytes.is_empty() {
                    bytes = chunk;
                } else {
                    bytes.extend(chunk);
                }
                read
            }),
            Wanted::Head => stream.blocking_skip(CHUNK),
        };
        match read {
            Ok(read) => count += read,
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                let error = error.to_debug_string();
                // What the host says in words of its own is not an error of the host.
                let error = error.strip_prefix("internal error: ").unwrap_or(&error);
                return Err(format!("{error}, after {count} bytes of the body"));
            }
        }
    }
    drop((stream, body));
    Ok(Received { status, headers: Headers { fields, _response: response }, body: bytes })
}

fn named(error: &ErrorCode, url: &Url) -> String {
    match error {
        ErrorCode::HttpRequestDenied => {
            let scheme = if url.is_tls { "https" } else { "http" };
            format!("not granted: run with --allow {scheme}://{}", url.authority)
        }
        error => describe(error),
    }
}

/// An error in words, with what the host says of it.
fn describe(error: &ErrorCode) -> String {
    match error {
        ErrorCode::DnsTimeout => "the name's look-up timed out".into(),
        ErrorCode::DnsError(payload) => payload.rcode.clone().unwrap_or_else(|| "the name has no address".into()),
        ErrorCode::ConnectionRefused => "connection refused".into(),
        ErrorCode::ConnectionTerminated => "connection closed".into(),
        ErrorCode::ConnectionTimeout => "connecting timed out".into(),
        ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => "the response timed out".into(),
        ErrorCode::ConnectionLimitReached => "too many connections: raise the limit of open files (ulimit -n)".into(),
        ErrorCode::HttpResponseIncomplete => "incomplete HTTP response".into(),
        ErrorCode::HttpProtocolError => "the response is not HTTP".into(),
        ErrorCode::TlsCertificateError => "the server's certificate is not trusted".into(),
        ErrorCode::TlsProtocolError => "TLS failed".into(),
        ErrorCode::TlsAlertReceived(alert) => {
            let name = alert.alert_message.as_deref().unwrap_or("unknown");
            format!(
                "the server refuses TLS: {name}{}",
                alert.alert_id.map(|id| format!(" (alert {id})")).unwrap_or_default()
            )
        }
        ErrorCode::DestinationIpUnroutable => "no route to the host".into(),
        ErrorCode::InternalError(Some(text)) => text.clone(),
        other => format!("{other:?}"),
    }
}
