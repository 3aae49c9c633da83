//! The HTTP client of a thread: sends requests over kept connections.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::Either;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::connect::{Connection, Target};
use super::failure::{Unprocessed, gone_away, is_end, of_request, told, unprocessed};
use super::pool::{self, Which};
use super::received::{Length, Received};
use super::replay::Replay;
use super::streams::{Stream, Streams};
use super::timed::TimedRequest;
use super::{shown, within};
use crate::capability::current::RequestFailed;
use crate::capability::network::{Exchanges, Network};
use crate::capability::tracing::RequestTrace;
use crate::network::{Destination, Host, Protocol};
use crate::plan::KeepAlive;

/// How long a kept connection may take to finish with the previous response, whose end has already arrived. If it takes
/// longer, a request on it was never written to its end, and the connection is useless to others.
const FINISHING: Duration = Duration::from_millis(20);

/// A server that refuses a request this many times does not want it.
const MOST_REFUSALS: u32 = 16;

/// Sends a request, if its destination is granted, over a kept connection or a new one.
///
/// The future of an async function would hold the request twice.
pub(super) fn send(
    network: Arc<Network>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
    tells: (Option<RequestFailed>, Option<Box<RequestTrace>>),
) -> impl Future<Output = Result<Response<WasiBody>, Error>> {
    let mut timed = TimedRequest::new(network.clone(), tells);
    async move {
        let target = permitted(&network, &request)?;
        timed.grant();
        let is_kept = network.http.keep_alive == KeepAlive::Kept;
        let is_shown = network.exchanges == Exchanges::Shown;
        if is_shown {
            request = request.map(shown::body);
        }
        let mut which = Which::Any;
        let mut replay = None;
        let mut refusals = 0;
        loop {
            let (mut connection, is_new) = pool::obtain(&network, &target, which, options.connect_timeout).await?;
            // A kept connection may still be finishing with the previous response, or may have been closed by now.
            let patience = if is_new { None } else { Some(FINISHING) };
            match connection.ready_within(patience).await {
                Some(Ok(())) => {}
                Some(Err(error)) if is_new => return Err(of_request(&error)),
                _ => continue,
            }
            let stream = match connection.streams().map(Streams::take) {
                Some(None) => match Box::pin(connection.freed(&network)).await {
                    Some(stream) => Some(stream),
                    None => continue,
                },
                free => free.flatten(),
            };
            let is_repeatable = stream.is_some() || !is_new && is_idempotent(request.method());
            if is_repeatable && replay.is_none() {
                let (replayed, first) = Replay::of(request);
                (replay, request) = (Some(Box::new(replayed)), first);
            }
            if is_shown {
                shown::request(&request, connection.version());
            }
            timed.send(is_new);
            let (method, has_body) = (request.method().clone(), !request.body().is_end_stream());
            let exchanged = pin!(connection.exchange(request, &target.host));
            let exchanged = within(options.first_byte_timeout, exchanged).await;
            // Awaiting inside of this would keep its values in the future.
            let failure = match exchanged.ok_or(Error::ConnectionReadTimeout)? {
                Ok(response) => {
                    timed.answered(response.status());
                    let length = Length::of(&response, &method, has_body);
                    let after = is_kept.then_some((target, connection));
                    let pause = options.between_bytes_timeout;
                    let response =
                        response.map(|body| Received::new(body, length, timed, stream, after, pause).boxed_unsync());
                    return Ok(if is_shown { shown::response(response) } else { response });
                }
                Err(mut error) => match error.take_message() {
                    // The request was not sent: the connection was closed at that moment.
                    Some(unsent) if !is_new => {
                        timed.unsend();
                        request = unsent;
                        continue;
                    }
                    _ => error.into_error(),
                },
            };
            let may_repeat = match unprocessed(&failure) {
                Some(Unprocessed::NeedsHttp1) if refusals == 0 => {
                    pool::need_http1(&target);
                    true
                }
                Some(_) => refusals + 1 < MOST_REFUSALS,
                None => {
                    // The server closed the connection before it got the request. It is repeated once, over a
                    // connection for which this cannot be.
                    which = Which::New;
                    is_repeatable && connection.is_silent() && is_end(&failure)
                }
            };
            refusals += 1;
            request = match replay.as_ref().filter(|_| may_repeat).and_then(|replay| replay.again()) {
                Some(again) => again,
                None => return Err(Box::pin(connection.explained(&failure)).await),
            };
        }
    }
}

/// The target of the last request of a thread, which is nearly always that of the next one.
#[derive(Debug)]
pub(crate) struct Recent {
    scheme: Scheme,
    authority: Authority,
    target: Arc<Target>,
}

/// The connection that a request needs, if its destination is granted.
fn permitted(network: &Network, request: &Request<WasiBody>) -> Result<Arc<Target>, Error> {
    let (uri, named) = (request.uri(), request.headers().get(HOST));
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
        return Err(Error::HttpRequestUriInvalid);
    };
    let mut recent = network.recent();
    if let Some(recent) = &*recent
        && named.is_none()
        && recent.scheme == *scheme
        && recent.authority.as_str() == authority.as_str()
    {
        return Ok(recent.target.clone());
    }
    let to = Destination::of_http(scheme.as_str(), authority.host(), authority.port_u16());
    let to = to.ok_or(Error::HttpRequestUriInvalid)?;
    if !network.permits(&to) {
        return Err(Error::HttpRequestDenied);
    }
    // TLS asks for the name that the request has in `Host`.
    let name = named.filter(|_| to.protocol == Protocol::Https).and_then(|host| {
        let authority = Authority::try_from(host.as_bytes()).ok()?;
        Some(Host::new(authority.host())).filter(|name| *name != to.host)
    });
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let target = Arc::new(Target { to, name, host });
    if named.is_none() {
        *recent = Some(Recent { scheme: scheme.clone(), authority: authority.clone(), target: target.clone() });
    }
    Ok(target)
}

/// Whether sending a request twice does what sending it once does (RFC 9110, 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE, Method::TRACE].contains(method)
}

type Exchanged = Result<Response<Incoming>, TrySendError<Request<WasiBody>>>;

impl Connection {
    fn version(&self) -> Version {
        match self {
            Self::Http1 { .. } => Version::HTTP_11,
            Self::Http2 { .. } => Version::HTTP_2,
        }
    }

    /// Waits until a request can be sent; `None` if that takes longer than `most`.
    async fn ready_within(&mut self, most: Option<Duration>) -> Option<hyper::Result<()>> {
        let mut ready = pin!(async {
            match self {
                Self::Http1 { sender, .. } => sender.ready().await,
                Self::Http2 { sender, .. } => sender.ready().await,
            }
        });
        // The connection is nearly always ready, and then needs no timer.
        match ready.as_mut().now_or_never() {
            Some(ready) => Some(ready),
            None => within(most, ready).await,
        }
    }

    /// Waits for a free stream, and counts the wait; `None` if the connection has ended.
    async fn freed(&self, network: &Network) -> Option<Stream> {
        let streams = self.streams()?;
        let _counted = StreamWait { network, streams, begin: Instant::now() };
        streams.wait().await
    }

    /// The error for a request on this connection, with what is known about the connection.
    async fn explained(&self, error: &hyper::Error) -> Error {
        if let Self::Http1 { heard, .. } = self
            && !heard.anything()
            && is_end(error)
        {
            return heard.end().unwrap_or_else(|| told("the server closed the connection without an answer"));
        }
        match (of_request(error), self) {
            (Error::ConnectionTerminated, Self::Http2 { streams, heard, .. }) => match streams.ended_with().await {
                Some(reason) => gone_away(reason),
                None => heard.end().unwrap_or(Error::ConnectionTerminated),
            },
            (error, _) => error,
        }
    }

    /// Whether the server has sent nothing, over HTTP/1.1, since the request.
    fn is_silent(&self) -> bool {
        matches!(self, Self::Http1 { heard, .. } if !heard.anything())
    }

    /// Sends a request, and returns the head of its response.
    fn exchange(
        &mut self,
        mut request: Request<WasiBody>,
        host: &HeaderValue,
    ) -> impl Future<Output = Exchanged> + use<> {
        match self {
            Self::Http1 { sender, heard, relay } => {
                request.headers_mut().entry(HOST).or_insert_with(|| host.clone());
                match relay {
                    // A proxy gets the whole URI.
                    Some(relay) => {
                        let authorization = relay.authorization.clone().map(|value| (PROXY_AUTHORIZATION, value));
                        request.headers_mut().extend(authorization);
                    }
                    // The server gets only the path; the rest of the URI was for the client.
                    None => {
                        let path = request.uri().path_and_query().cloned();
                        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
                    }
                }
                heard.forget();
                Either::Left(sender.try_send_request(request))
            }
            Self::Http2 { sender, .. } => {
                // HTTP/2 sends the host in the `:authority` field instead.
                if let Some(host) = request.headers_mut().remove(HOST)
                    && let Ok(authority) = Authority::try_from(host.as_bytes())
                {
                    let mut parts = request.uri().clone().into_parts();
                    parts.authority = Some(authority);
                    if let Ok(uri) = Uri::from_parts(parts) {
                        *request.uri_mut() = uri;
                    }
                }
                Either::Right(sender.try_send_request(request))
            }
        }
    }
}

/// A wait for a stream, which is counted at its end, also if a time-out ends it.
struct StreamWait<'a> {
    network: &'a Network,
    streams: &'a Streams,
    begin: Instant,
}

impl Drop for StreamWait<'_> {
    fn drop(&mut self) {
        // Until the server has spoken, a request waits for the connection. It gets a stream some moments later, if
        // there is one.
        const MOMENTS: Duration = Duration::from_millis(1);
        let Some(settled) = self.streams.settled() else { return };
        let waited = self.begin.max(settled).elapsed();
        if self.begin > settled || waited > MOMENTS {
            self.network.count(|counts| counts.stream_wait.record(waited.as_nanos() as u64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_future_is_small() {
        let network = Network::new(Default::default(), Default::default(), Default::default());
        let body =
            http_body_util::Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync();
        let future = send(network, Request::new(body), RequestOptions::default(), (None, None));
        let bytes = std::mem::size_of_val(&future);
        assert!(bytes < 1_024, "{bytes} bytes are copied several times for each request");
    }
}
