//! The HTTP client of a thread: sends requests over kept connections, and receives the responses.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::header::{CONTENT_LENGTH, HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::connect::{Connection, Target};
use super::failure::{Unprocessed, gone_away, is_end, of_request, told, unprocessed};
use super::pool::{self, Which};
use super::replay::Replay;
use super::streams::{Stream, Streams};
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
        timed.is_granted = true;
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

/// A request, which is counted when this is dropped: at the end of its response, or when the task gives it up.
struct TimedRequest {
    network: Arc<Network>,
    /// When it was first sent; `None` if it has had no connection yet.
    sent: Option<Instant>,
    /// How often it was sent.
    times: u32,
    /// `None` without a response.
    first_byte_ns: Option<u64>,
    /// Whether it was last sent over a kept connection.
    is_reused: bool,
    is_success: bool,
    /// Others are not counted.
    is_granted: bool,
    /// The span that it is a part of.
    span: Option<RequestFailed>,
    /// What a trace has of it.
    trace: Option<Box<RequestTrace>>,
}

impl TimedRequest {
    fn new(network: Arc<Network>, (span, trace): (Option<RequestFailed>, Option<Box<RequestTrace>>)) -> Self {
        let (is_reused, is_success, is_granted) = (false, false, false);
        Self { network, sent: None, times: 0, first_byte_ns: None, is_reused, is_success, is_granted, span, trace }
    }

    fn send(&mut self, is_new: bool) {
        self.sent.get_or_insert_with(Instant::now);
        self.times += 1;
        self.is_reused = !is_new;
    }

    /// It was not sent after all.
    fn unsend(&mut self) {
        self.times -= 1;
        if self.times == 0 {
            (self.sent, self.is_reused) = (None, false);
        }
    }

    fn answered(&mut self, status: StatusCode) {
        self.first_byte_ns = self.sent.map(nanos_since);
        // As k6 tells them apart.
        self.is_success = (200..400).contains(&status.as_u16());
        if let Some(trace) = &mut self.trace {
            trace.answered(status, self.is_success);
        }
        self.tell_span();
    }

    /// The span of a request can end before the request has.
    fn tell_span(&self) {
        self.span.iter().filter(|_| !self.is_success).for_each(RequestFailed::note);
    }
}

impl Drop for TimedRequest {
    fn drop(&mut self) {
        self.tell_span();
        if !self.is_granted {
            return;
        }
        let &mut Self { sent, times, first_byte_ns, is_reused, is_success, .. } = self;
        self.network.count(|counts| {
            counts.requests += 1;
            counts.sent += u64::from(times);
            counts.repeated += u64::from(times.saturating_sub(1));
            counts.failed += u64::from(!is_success);
            counts.reused += u64::from(is_reused);
            if let Some(first_byte_ns) = first_byte_ns {
                counts.first_byte.record(first_byte_ns);
            }
            if let Some(sent) = sent {
                counts.duration.record(nanos_since(sent));
            }
        });
    }
}

fn nanos_since(instant: Instant) -> u64 {
    instant.elapsed().as_nanos() as u64
}

/// How a body has to end. hyper takes a stream of HTTP/2 that is reset without an error for one that has ended.
#[derive(Clone, Copy)]
struct Length {
    /// What the head says, if the body is there at all.
    said: Option<u64>,
    /// Whether the server has to say that it has ended. If the request has a body, a server may cut that short.
    must_end: bool,
}

impl Length {
    fn of(response: &Response<Incoming>, method: &Method, has_body: bool) -> Self {
        let is_http2 = response.version() == Version::HTTP_2;
        let is_there = method != Method::HEAD && ![204, 304].contains(&response.status().as_u16());
        let said = response.headers().get(CONTENT_LENGTH).filter(|_| is_http2 && is_there);
        let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
        Self { said, must_end: is_http2 && !has_body }
    }
}

/// A response's body. At its end the request is counted, and the connection is kept for the next one.
struct Received {
    body: Incoming,
    length: Length,
    /// How many bytes have come.
    bytes: u64,
    /// `None` after the end.
    timed: Option<TimedRequest>,
    /// Its stream of HTTP/2.
    stream: Option<Stream>,
    after: Option<(Arc<Target>, Connection)>,
    pause: Option<BytesTimeout>,
}

/// The time-out for the next bytes.
struct BytesTimeout {
    most: Duration,
    over: Pin<Box<Sleep>>,
}

impl Received {
    fn new(
        body: Incoming,
        length: Length,
        timed: TimedRequest,
        stream: Option<Stream>,
        after: Option<(Arc<Target>, Connection)>,
        pause: Option<Duration>,
    ) -> Self {
        let pause = pause.map(|most| BytesTimeout { most, over: Box::pin(tokio::time::sleep(most)) });
        let mut received = Self { body, length, bytes: 0, timed: Some(timed), stream, after, pause };
        if received.body.is_end_stream() {
            received.keep();
        }
        received
    }

    /// Ends the request without a whole response.
    fn fail(&mut self) {
        if let Some(mut timed) = self.timed.take() {
            timed.is_success = false;
        }
    }

    fn keep(&mut self) {
        drop((self.timed.take(), self.stream.take()));
        if let Some((target, connection)) = self.after.take() {
            pool::keep(&target, connection);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if self.body.is_end_stream() {
                    self.keep();
                }
                if let Some(pause) = &mut self.pause {
                    pause.over.as_mut().reset(tokio::time::Instant::now() + pause.most);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.after = None;
                self.fail();
                Poll::Ready(Some(Err(of_request(&error))))
            }
            Poll::Ready(None) => {
                let Length { said, must_end } = self.length;
                let is_cut = must_end && !self.body.is_end_stream();
                if self.timed.is_some() && (is_cut || said.is_some_and(|said| said != self.bytes)) {
                    self.fail();
                    return Poll::Ready(Some(Err(Error::HttpResponseIncomplete)));
                }
                self.keep();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let Some(pause) = &mut self.pause else { return Poll::Pending };
                pause.over.as_mut().poll(context).map(|()| {
                    self.fail();
                    Some(Err(Error::ConnectionReadTimeout))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.timed.as_ref().is_some_and(|timed| timed.network.is_giving_up()) {
            self.fail();
        }
        // If the rest of the body has already arrived, hyper reads it; otherwise hyper closes the connection.
        self.keep();
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
