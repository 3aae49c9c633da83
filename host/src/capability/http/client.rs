//! The HTTP client of a thread: connections that are kept, requests that go out over them.
//!
//! A connection belongs to the thread that opened it, and so does the runtime that drives it: no request crosses
//! threads, and nothing here is locked.

use std::cell::RefCell;
use std::error::Error as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::connect::{Connection, connect};
use crate::capability::network::{Network, count};
use crate::network::Destination;
use crate::plan::KeepAlive;

thread_local! {
    /// By destination: of the few that a task has, the right one is found sooner by looking than by hashing.
    static KEPT: RefCell<Vec<(Destination, Vec<Connection>)>> = const { RefCell::new(Vec::new()) };
}

/// How long a kept connection may take to finish with the response before: its end is there already. One that takes longer
/// waits for a request that somebody has not written to its end, and is of no use to others.
const FINISHING: Duration = Duration::from_millis(20);

/// Sends a request to where it was granted, over a connection that is there or a new one.
pub(super) async fn send(
    network: &Arc<Network>,
    mut request: Request<WasiBody>,
    options: RequestOptions,
) -> Result<Response<WasiBody>, Error> {
    let to = destination(request.uri())?;
    if !network.permits(&to) {
        return Err(Error::HttpRequestDenied);
    }
    let is_kept = network.http.keep_alive == KeepAlive::Kept;
    loop {
        let (mut connection, is_new) = match is_kept.then(|| take(&to)).flatten() {
            Some(connection) => (connection, false),
            // On a task of its own, as it is rare and large: its stack would be the instance's, and its state a part of
            // every request's future.
            None => {
                let opening = open(network.clone(), to.clone(), options.connect_timeout);
                (wasmtime_wasi::runtime::spawn(opening).await?, true)
            }
        };
        // It may still be finishing with the response before, and it may have been closed by now.
        let patience = if is_new { None } else { Some(FINISHING) };
        match connection.ready_within(patience).await {
            Some(Ok(())) => {}
            Some(Err(error)) if is_new => return Err(describe(&error)),
            _ => continue,
        }
        let begin = Instant::now();
        let sent = within(options.first_byte_timeout, connection.exchange(request)).await;
        match sent.ok_or(Error::ConnectionReadTimeout)? {
            Ok(response) => {
                count(|counts| {
                    counts.requests += 1;
                    counts.reused += u64::from(!is_new);
                    counts.first_byte.record(begin.elapsed().as_nanos() as u64);
                });
                let after = is_kept.then_some((to, connection));
                return Ok(
                    response.map(|body| Received::new(body, after, options.between_bytes_timeout).boxed_unsync())
                );
            }
            Err(mut error) => match error.take_message() {
                // It went nowhere: the connection was closed at the very moment.
                Some(unsent) if !is_new => request = unsent,
                _ => return Err(describe(error.error())),
            },
        }
    }
}

fn destination(uri: &Uri) -> Result<Destination, Error> {
    let scheme = uri.scheme_str().ok_or(Error::HttpRequestUriInvalid)?;
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    Destination::of_http(scheme, authority.host(), authority.port_u16()).ok_or(Error::HttpRequestUriInvalid)
}

async fn open(network: Arc<Network>, to: Destination, timeout: Option<Duration>) -> Result<Connection, Error> {
    let begin = Instant::now();
    let connection = within(timeout, connect(&network, &to)).await.ok_or(Error::ConnectionTimeout)??;
    count(|counts| {
        counts.opened += 1;
        counts.connect.record(begin.elapsed().as_nanos() as u64);
    });
    Ok(connection)
}

/// The connection used last, of those to `to` that are still open.
fn take(to: &Destination) -> Option<Connection> {
    KEPT.with_borrow_mut(|kept| {
        let (_, kept) = kept.iter_mut().find(|(destination, _)| destination == to)?;
        loop {
            let connection = kept.pop()?;
            if connection.is_closed() {
                continue;
            }
            // Any number of requests share one of HTTP/2.
            if let Connection::Http2(sender) = &connection {
                kept.push(Connection::Http2(sender.clone()));
            }
            return Some(connection);
        }
    })
}

fn keep(to: Destination, connection: Connection) {
    KEPT.with_borrow_mut(|kept| {
        let at = kept.iter().position(|(destination, _)| *destination == to).unwrap_or_else(|| {
            kept.push((to, Vec::new()));
            kept.len() - 1
        });
        let (_, kept) = &mut kept[at];
        let is_shared = |connection: &Connection| matches!(connection, Connection::Http2(_));
        if !(is_shared(&connection) && kept.iter().any(is_shared)) {
            kept.push(connection);
        }
    });
}

type Exchanged = Result<Response<Incoming>, TrySendError<Request<WasiBody>>>;

impl Connection {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    /// Waits until a request can be sent; `None` where that takes longer than it may.
    async fn ready_within(&mut self, most: Option<Duration>) -> Option<hyper::Result<()>> {
        let mut ready = pin!(async {
            match self {
                Self::Http1(sender) => sender.ready().await,
                Self::Http2(sender) => sender.ready().await,
            }
        });
        // Nearly always it is, and no timer is needed.
        match ready.as_mut().now_or_never() {
            Some(ready) => Some(ready),
            None => within(most, ready).await,
        }
    }

    /// Sends a request and waits for the head of its response.
    async fn exchange(&mut self, mut request: Request<WasiBody>) -> Exchanged {
        match self {
            Self::Http1(sender) => {
                let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
                if let Some(authority) = authority.filter(|_| !request.headers().contains_key(HOST))
                    && let Ok(host) = HeaderValue::from_maybe_shared(Bytes::from(authority))
                {
                    request.headers_mut().insert(HOST, host);
                }
                // A server is sent the path alone; the rest was for us.
                let path = request.uri().path_and_query().cloned();
                *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
                sender.try_send_request(request).await
            }
            Self::Http2(sender) => {
                // HTTP/2 says it in the request's head.
                if let Some(host) = request.headers_mut().remove(HOST)
                    && let Ok(authority) = Authority::try_from(host.as_bytes())
                {
                    let mut parts = request.uri().clone().into_parts();
                    parts.authority = Some(authority);
                    if let Ok(uri) = Uri::from_parts(parts) {
                        *request.uri_mut() = uri;
                    }
                }
                sender.try_send_request(request).await
            }
        }
    }
}

/// A response's body; at its end the connection is kept for the next request.
struct Received {
    body: Incoming,
    after: Option<(Destination, Connection)>,
    pause: Option<Pause>,
}

/// How long the next bytes may take.
struct Pause {
    most: Duration,
    over: Pin<Box<Sleep>>,
}

impl Received {
    fn new(body: Incoming, after: Option<(Destination, Connection)>, pause: Option<Duration>) -> Self {
        let pause = pause.map(|most| Pause { most, over: Box::pin(tokio::time::sleep(most)) });
        let mut received = Self { body, after, pause };
        if received.body.is_end_stream() {
            received.keep();
        }
        received
    }

    fn keep(&mut self) {
        if let Some((to, connection)) = self.after.take() {
            keep(to, connection);
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
                Poll::Ready(Some(Err(describe(&error))))
            }
            Poll::Ready(None) => {
                self.keep();
                Poll::Ready(None)
            }
            Poll::Pending => match &mut self.pause {
                Some(pause) => pause.over.as_mut().poll(context).map(|()| Some(Err(Error::ConnectionReadTimeout))),
                None => Poll::Pending,
            },
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
        // What was not read hyper reads to its end where that is there already, and otherwise closes the connection.
        self.keep();
    }
}

/// What `future` gives; nothing where it takes longer than it may.
async fn within<T>(most: Option<Duration>, future: impl Future<Output = T>) -> Option<T> {
    let future = pin!(future);
    match most {
        None => Some(future.await),
        Some(most) => Box::pin(tokio::time::timeout(most, future)).await.ok(),
    }
}

/// A transport's error as tasks are told of it.
pub(super) fn describe(error: &hyper::Error) -> Error {
    let mut cause = error.source();
    let mut io = None;
    while let Some(error) = cause {
        io = io.or(error.downcast_ref::<io::Error>());
        // A stream that was reset, or a connection that the server is about to close.
        if error.downcast_ref::<h2::Error>().is_some_and(|error| error.is_reset() || error.is_go_away()) {
            return Error::ConnectionTerminated;
        }
        cause = error.source();
    }
    match io.map(io::Error::kind) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_future_is_small() {
        let network = Network::new(Default::default(), Default::default(), Default::default());
        let body =
            http_body_util::Empty::new().map_err(|never: std::convert::Infallible| match never {}).boxed_unsync();
        let future = send(&network, Request::new(body), RequestOptions::default());
        let bytes = std::mem::size_of_val(&future);
        assert!(bytes < 4_096, "{bytes} bytes are copied several times for each request");
    }
}
