//! The HTTP client of a thread: sends requests over kept connections, and receives the responses.

use std::error::Error as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use h2::Reason;
use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::connect::Connection;
use super::replay::Replay;
use super::{pool, shown, within};
use crate::capability::network::{Exchanges, Network};
use crate::network::Destination;
use crate::plan::KeepAlive;

/// How long a kept connection may take to finish with the previous response, whose end has already arrived. If it takes
/// longer, a request on it was never written to its end, and the connection is useless to others.
const FINISHING: Duration = Duration::from_millis(20);

/// A server that refuses a request this many times does not want it.
const MOST_REFUSALS: u32 = 16;

/// Sends a request, if its destination is granted, over a kept connection or a new one.
pub(super) fn send(
    network: Arc<Network>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> impl Future<Output = Result<Response<WasiBody>, Error>> {
    let to = destination(request.uri());
    // An async block, because the future of an async function would hold the request twice.
    async move {
        let to = to?;
        if !network.permits(&to) {
            return Err(Error::HttpRequestDenied);
        }
        let is_kept = network.http.keep_alive == KeepAlive::Kept;
        let is_shown = network.exchanges == Exchanges::Shown;
        if is_shown {
            request = request.map(shown::body);
        }
        let mut timed = TimedRequest::new(network.clone());
        let mut replay = None;
        let mut refusals = 0;
        loop {
            let (mut connection, is_new) = pool::obtain(&network, &to, options.connect_timeout).await?;
            // A kept connection may still be finishing with the previous response, or may have been closed by now.
            let patience = if is_new { None } else { Some(FINISHING) };
            match connection.ready_within(patience).await {
                Some(Ok(())) => {}
                Some(Err(error)) if is_new => return Err(describe(&error)),
                _ => continue,
            }
            if connection.shared().is_some() && replay.is_none() {
                let (replayed, first) = Replay::of(request);
                (replay, request) = (Some(Box::new(replayed)), first);
            }
            if is_shown {
                shown::request(&request, connection.shared().is_some());
            }
            timed.sent = Some(Instant::now());
            let exchanged = pin!(connection.exchange(request));
            let exchanged = within(options.first_byte_timeout, exchanged).await;
            match exchanged.ok_or(Error::ConnectionReadTimeout)? {
                Ok(response) => {
                    timed.answered(response.status(), is_new);
                    let after = is_kept.then_some((to, connection));
                    let pause = options.between_bytes_timeout;
                    let response = response.map(|body| Received::new(body, timed, after, pause).boxed_unsync());
                    return Ok(if is_shown { shown::response(response) } else { response });
                }
                Err(mut error) => match error.take_message() {
                    // The request was not sent: the connection was closed at that moment.
                    Some(unsent) if !is_new => request = unsent,
                    _ => {
                        let error = error.error();
                        refusals += 1;
                        let is_worth_it = is_refusal(error) && refusals < MOST_REFUSALS;
                        let again = replay.as_ref().filter(|_| is_worth_it).and_then(|replay| replay.again());
                        request = again.ok_or_else(|| describe(error))?;
                    }
                },
            }
        }
    }
}

fn destination(uri: &Uri) -> Result<Destination, Error> {
    let scheme = uri.scheme_str().ok_or(Error::HttpRequestUriInvalid)?;
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    Destination::of_http(scheme, authority.host(), authority.port_u16()).ok_or(Error::HttpRequestUriInvalid)
}

type Exchanged = Result<Response<Incoming>, TrySendError<Request<WasiBody>>>;

impl Connection {
    /// Waits until a request can be sent; `None` if that takes longer than `most`.
    async fn ready_within(&mut self, most: Option<Duration>) -> Option<hyper::Result<()>> {
        let mut ready = pin!(async {
            match self {
                Self::Http1(sender) => sender.ready().await,
                Self::Http2(sender) => sender.ready().await,
            }
        });
        // The connection is nearly always ready, and then needs no timer.
        match ready.as_mut().now_or_never() {
            Some(ready) => Some(ready),
            None => within(most, ready).await,
        }
    }

    /// Sends a request, and returns the head of its response.
    fn exchange(&mut self, mut request: Request<WasiBody>) -> impl Future<Output = Exchanged> + use<> {
        match self {
            Self::Http1(sender) => {
                let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
                if let Some(authority) = authority.filter(|_| !request.headers().contains_key(HOST))
                    && let Ok(host) = HeaderValue::from_maybe_shared(Bytes::from(authority))
                {
                    request.headers_mut().insert(HOST, host);
                }
                // The server gets only the path; the rest of the URI was for the client.
                let path = request.uri().path_and_query().cloned();
                *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
                Either::Left(sender.try_send_request(request))
            }
            Self::Http2(sender) => {
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

/// A request, which is counted when this is dropped: at the end of its response, or when the task gives it up.
struct TimedRequest {
    network: Arc<Network>,
    /// When it was last sent; `None` if it has had no connection yet.
    sent: Option<Instant>,
    first_byte_ns: u64,
    connection: AnsweredBy,
    is_success: bool,
}

/// The connection over which the response came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AnsweredBy {
    Nobody,
    NewConnection,
    KeptConnection,
}

impl TimedRequest {
    fn new(network: Arc<Network>) -> Self {
        Self { network, sent: None, first_byte_ns: 0, connection: AnsweredBy::Nobody, is_success: false }
    }

    fn answered(&mut self, status: StatusCode, is_new: bool) {
        self.first_byte_ns = self.sent.map_or(0, nanos_since);
        self.connection = if is_new { AnsweredBy::NewConnection } else { AnsweredBy::KeptConnection };
        // As k6 tells them apart.
        self.is_success = (200..400).contains(&status.as_u16());
    }
}

impl Drop for TimedRequest {
    fn drop(&mut self) {
        let &mut Self { sent, first_byte_ns, connection, is_success, .. } = self;
        self.network.count(|counts| {
            counts.requests += 1;
            counts.failed += u64::from(!is_success);
            counts.reused += u64::from(connection == AnsweredBy::KeptConnection);
            if connection != AnsweredBy::Nobody {
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

/// A response's body. At its end the request is counted, and the connection is kept for the next one.
struct Received {
    body: Incoming,
    /// `None` after the end.
    timed: Option<TimedRequest>,
    after: Option<(Destination, Connection)>,
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
        timed: TimedRequest,
        after: Option<(Destination, Connection)>,
        pause: Option<Duration>,
    ) -> Self {
        let pause = pause.map(|most| BytesTimeout { most, over: Box::pin(tokio::time::sleep(most)) });
        let mut received = Self { body, timed: Some(timed), after, pause };
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
        drop(self.timed.take());
        if let Some((to, connection)) = self.after.take() {
            pool::keep(&to, connection);
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
                Poll::Ready(Some(Err(describe(&error))))
            }
            Poll::Ready(None) => {
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
        // If the rest of the body has already arrived, hyper reads it; otherwise hyper closes the connection.
        self.keep();
    }
}

/// The error that a task gets for a transport error.
pub(super) fn describe(error: &hyper::Error) -> Error {
    // The server has reset the stream, or is about to close the connection.
    if cause::<h2::Error>(error).is_some_and(|error| error.is_reset() || error.is_go_away()) {
        return Error::ConnectionTerminated;
    }
    match cause::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted) => {
            Error::ConnectionTerminated
        }
        Some(io::ErrorKind::UnexpectedEof) => Error::HttpResponseIncomplete,
        _ if error.is_incomplete_message() => Error::HttpResponseIncomplete,
        _ if error.is_timeout() => Error::ConnectionReadTimeout,
        _ if error.is_canceled() || error.is_closed() => Error::ConnectionTerminated,
        _ => Error::HttpProtocolError,
    }
}

/// Whether the server says, over HTTP/2, that it has not processed the request.
fn is_refusal(error: &hyper::Error) -> bool {
    let refusal = |error: &h2::Error| match error.reason() {
        Some(Reason::REFUSED_STREAM) => error.is_reset(),
        // Requests that the server does process end without an error.
        Some(Reason::NO_ERROR) => error.is_go_away(),
        _ => false,
    };
    cause::<h2::Error>(error).is_some_and(|error| error.is_remote() && refusal(error))
}

/// The first error of type `E` in the chain of sources.
fn cause<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    std::iter::successors(error.source(), |&error| error.source()).find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_future_is_small() {
        let network = Network::new(Default::default(), Default::default(), Default::default());
        let body =
            http_body_util::Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync();
        let future = send(network, Request::new(body), RequestOptions::default());
        let bytes = std::mem::size_of_val(&future);
        assert!(bytes < 1_024, "{bytes} bytes are copied several times for each request");
    }
}
