//! `wasi:http/outgoing-handler`, and the future response that it returns.
//!
//! wasi-http's handler would spawn two tasks for each request. Here the instance itself sends and awaits a request
//! without a body. Only a request whose body is still to be written needs a task that drives it meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::uri::Scheme;
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime_wasi::p2::{Pollable, subscribe};
use wasmtime_wasi_http::p2::bindings::http::types::{self, DnsErrorPayload, ErrorCode, TlsAlertReceivedPayload};
use wasmtime_wasi_http::p2::body::HostIncomingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{Error, FieldMap, RequestOptions, WasiBody};

use super::{client, failure};
use crate::capability::guest::Guest;

type Sent = Result<Response<WasiBody>, Error>;

/// A future response.
enum Promised {
    OnItsWay(Pin<Box<dyn Future<Output = Sent> + Send>>),
    Here(Sent),
    Taken,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Promised {
    async fn ready(&mut self) {
        if let Self::OnItsWay(response) = self {
            *self = Self::Here(response.await);
        }
    }
}

/// Replaces wasi-http's handler by this one.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.resource("future-incoming-response", ResourceType::host::<Promised>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Promised>::new_own(rep))?;
        Ok(())
    })?;
    types
        .func_wrap("[method]future-incoming-response.subscribe", |mut store, (promised,): (Resource<Promised>,)| {
            Ok((subscribe(&mut store.data_mut().table, promised)?,))
        })?;
    types.func_wrap("[method]future-incoming-response.get", |mut store, (promised,): (Resource<Promised>,)| {
        Ok((get(store.data_mut(), &promised)?,))
    })?;
    let mut handler = linker.instance("wasi:http/outgoing-handler@0.2.12")?;
    handler.func_wrap("handle", |mut store, (request, options): (Resource<HostOutgoingRequest>, _)| {
        Ok((handle(store.data_mut(), request, options)?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

fn handle(
    guest: &mut Guest,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> wasmtime::Result<Result<Resource<Promised>, ErrorCode>> {
    let options = match options {
        Some(options) => guest.table.delete(options)?,
        None => RequestOptions::default(),
    };
    let request = guest.table.delete(request)?;
    let has_body = request.body.is_some();
    let mut request = match made(request) {
        Ok(request) => request,
        Err(code) => return Ok(Err(code)),
    };
    let trace = guest.current.trace_request(&mut request);
    let (network, span) = (guest.network.clone(), guest.current.request());
    let mut response: Pin<Box<dyn Future<Output = Sent> + Send>> =
        Box::pin(client::send(network, request, options, (span, trace)));
    let promised = if has_body {
        // The guest writes the body next, and a task must read it.
        Promised::OnItsWay(Box::pin(wasmtime_wasi::runtime::spawn(response)))
    } else {
        // Poll once, so that the request is sent. The guest polls again when it waits for the response.
        match response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(sent) => Promised::Here(sent),
            Poll::Pending => Promised::OnItsWay(response),
        }
    };
    Ok(Ok(guest.table.push(promised)?))
}

/// Builds the request to send.
fn made(request: HostOutgoingRequest) -> Result<Request<WasiBody>, ErrorCode> {
    let HostOutgoingRequest { method, scheme, authority, path_with_query, headers, body } = request;
    let headers = HeaderMap::from(headers);
    if body.is_none() && headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
        return Err(ErrorCode::HttpRequestBodySize(None));
    }
    // Anything else that this header says is between two ends of a connection.
    let is_known = |value: &HeaderValue| {
        ["close", "keep-alive"].iter().any(|known| value.as_bytes().eq_ignore_ascii_case(known.as_bytes()))
    };
    if !headers.get_all(CONNECTION).iter().all(is_known) {
        let text = "`Connection` may be `close` or `keep-alive`: the host writes the rest";
        return Err(ErrorCode::InternalError(Some(text.into())));
    }
    let scheme = match scheme {
        Some(types::Scheme::Http) => Scheme::HTTP,
        None | Some(types::Scheme::Https) => Scheme::HTTPS,
        Some(types::Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError),
    };
    let uri = Uri::builder()
        .scheme(scheme)
        .authority(authority.unwrap_or_default())
        .path_and_query(path_with_query.unwrap_or_else(|| "/".into()))
        .build()
        .map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
    let nothing = || Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync();
    let mut made = Request::new(body.unwrap_or_else(nothing));
    *made.method_mut() = method.try_into().map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    *made.uri_mut() = uri;
    *made.headers_mut() = headers;
    Ok(made)
}

type Got = Option<Result<Result<Resource<HostIncomingResponse>, ErrorCode>, ()>>;

fn get(guest: &mut Guest, promised: &Resource<Promised>) -> wasmtime::Result<Got> {
    let promised = guest.table.get_mut(promised)?;
    let sent = match std::mem::replace(promised, Promised::Taken) {
        Promised::Here(sent) => sent,
        Promised::Taken => return Ok(Some(Err(()))),
        on_its_way @ Promised::OnItsWay(_) => {
            *promised = on_its_way;
            return Ok(None);
        }
    };
    let response = match sent {
        Ok(response) => response,
        Err(error) => return Ok(Some(Ok(Err(code(error))))),
    };
    let (parts, body) = response.into_parts();
    let response = HostIncomingResponse {
        status: parts.status.as_u16(),
        headers: FieldMap::new_immutable(&mut guest.http.hooks, parts.headers),
        body: Some(HostIncomingBody::new(body)),
    };
    Ok(Some(Ok(Ok(guest.table.push(response)?))))
}

/// The `wasi:http` code for an error.
fn code(error: Error) -> ErrorCode {
    match error {
        Error::DnsError { rcode, info_code } => ErrorCode::DnsError(DnsErrorPayload { rcode, info_code }),
        Error::TlsAlertReceived { alert_id, alert_message } => {
            ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload { alert_id, alert_message })
        }
        Error::HttpRequestDenied => ErrorCode::HttpRequestDenied,
        Error::HttpRequestUriInvalid => ErrorCode::HttpRequestUriInvalid,
        Error::HttpResponseIncomplete => ErrorCode::HttpResponseIncomplete,
        Error::HttpProtocolError => ErrorCode::HttpProtocolError,
        Error::ConnectionRefused => ErrorCode::ConnectionRefused,
        Error::ConnectionTerminated => ErrorCode::ConnectionTerminated,
        Error::ConnectionTimeout => ErrorCode::ConnectionTimeout,
        Error::ConnectionReadTimeout => ErrorCode::ConnectionReadTimeout,
        Error::ConnectionLimitReached => ErrorCode::ConnectionLimitReached,
        Error::DestinationIpUnroutable => ErrorCode::DestinationIpUnroutable,
        Error::TlsCertificateError => ErrorCode::TlsCertificateError,
        Error::TlsProtocolError => ErrorCode::TlsProtocolError,
        Error::Hyper(error) => code(failure::of_request(&error)),
        Error::InternalError(text) => ErrorCode::InternalError(text),
        other => ErrorCode::InternalError(Some(other.to_string())),
    }
}
