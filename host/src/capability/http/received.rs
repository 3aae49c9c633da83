//! A response's body on its way to the guest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Response, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;
use wasmtime_wasi_http::Error;

use super::connect::{Connection, Target};
use super::failure::of_request;
use super::pool;
use super::streams::Stream;
use super::timed::TimedRequest;

/// How a body has to end. hyper takes a stream of HTTP/2 that is reset without an error for one that has ended.
#[derive(Clone, Copy)]
pub(super) struct Length {
    /// What the head says, if the body is there at all.
    said: Option<u64>,
    /// Whether the server has to say that it has ended. If the request has a body, a server may cut that short.
    must_end: bool,
}

impl Length {
    pub(super) fn of(response: &Response<Incoming>, method: &Method, has_body: bool) -> Self {
        let is_http2 = response.version() == Version::HTTP_2;
        let is_there = method != Method::HEAD && ![204, 304].contains(&response.status().as_u16());
        let said = response.headers().get(CONTENT_LENGTH).filter(|_| is_http2 && is_there);
        let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
        Self { said, must_end: is_http2 && !has_body }
    }
}

/// A response's body. At its end the request is counted, and the connection is kept for the next one.
pub(super) struct Received {
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
    pub(super) fn new(
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
            timed.fail();
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
        if self.timed.as_ref().is_some_and(TimedRequest::is_given_up) {
            self.fail();
        }
        // If the rest of the body has already arrived, hyper reads it; otherwise hyper closes the connection.
        self.keep();
    }
}
