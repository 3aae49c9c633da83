//! A request that can be sent again if the server has not processed it.
//!
//! A server may end a connection at any time, such as after a thousand requests, and then refuses requests that were
//! already on their way. RFC 9113 (6.8 and 8.7) promises that such requests can safely be sent again.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use wasmtime_wasi_http::{Error, WasiBody};

/// How much of a body is remembered, in bytes. A longer body cannot be sent again.
const MOST_REMEMBERED: usize = 64 << 10;

/// What is needed to send a request again.
pub(super) struct Replay {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// `None` if the request has no body.
    body: Option<Arc<Mutex<Remembered>>>,
}

/// A body, and the part of it that has been sent.
struct Remembered {
    body: WasiBody,
    sent: Vec<Bytes>,
    bytes: usize,
    /// Whether everything that was sent is remembered.
    is_whole: bool,
    /// How many times the body was sent again. An earlier sending gets no more of it.
    times: u32,
}

impl Replay {
    /// Wraps `request` so that it is remembered while it is sent.
    pub(super) fn of(request: Request<WasiBody>) -> (Self, Request<WasiBody>) {
        let method = request.method().clone();
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        if request.body().is_end_stream() {
            return (Self { method, uri, headers, body: None }, request);
        }
        let body = Remembered { body: request.into_body(), sent: Vec::new(), bytes: 0, is_whole: true, times: 0 };
        let replay = Self { method, uri, headers, body: Some(Arc::new(Mutex::new(body))) };
        let request = replay.request();
        (replay, request)
    }

    /// The same request once more; `None` if not all of it is remembered.
    pub(super) fn again(&self) -> Option<Request<WasiBody>> {
        if let Some(body) = &self.body {
            let mut body = lock(body);
            body.times += 1;
            if !body.is_whole {
                return None;
            }
        }
        Some(self.request())
    }

    fn request(&self) -> Request<WasiBody> {
        let body = match &self.body {
            None => Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync(),
            Some(body) => Sending { time: lock(body).times, at: 0, body: body.clone() }.boxed_unsync(),
        };
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// One sending of a body, from its beginning.
struct Sending {
    body: Arc<Mutex<Remembered>>,
    time: u32,
    /// How many of the remembered frames it has sent.
    at: usize,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let body = self.body.clone();
        let mut body = lock(&body);
        if body.times != self.time {
            return Poll::Ready(None);
        }
        if let Some(sent) = body.sent.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(sent.clone()))));
        }
        let frame = ready!(Pin::new(&mut body.body).poll_frame(context));
        match frame.as_ref().and_then(|frame| frame.as_ref().ok()).map(Frame::data_ref) {
            Some(Some(data)) if body.is_whole && body.bytes + data.len() <= MOST_REMEMBERED => {
                body.bytes += data.len();
                body.sent.push(data.clone());
                self.at += 1;
            }
            // The body is too long, or has trailers.
            Some(_) => {
                body.is_whole = false;
                body.sent.clear();
                self.at = 0;
            }
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let body = lock(&self.body);
        self.at >= body.sent.len() && body.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let body = lock(&self.body);
        let remembered = body.sent.iter().skip(self.at).map(|sent| sent.len() as u64).sum::<u64>();
        let rest = body.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(remembered + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(remembered + upper);
        }
        hint
    }
}

/// One thread polls a body, and nothing that holds the lock panics.
fn lock(body: &Mutex<Remembered>) -> MutexGuard<'_, Remembered> {
    body.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn post(body: WasiBody) -> Request<WasiBody> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("http://host/path");
        request.headers_mut().insert("x", "y".parse().unwrap());
        request
    }

    fn of_frames(frames: &[usize]) -> WasiBody {
        let frames: Vec<_> = frames.iter().map(|&length| Ok(Frame::data(Bytes::from(vec![b'.'; length])))).collect();
        StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
    }

    fn read(body: WasiBody) -> usize {
        body.collect().now_or_never().unwrap().unwrap().to_bytes().len()
    }

    #[test]
    fn a_request_is_the_same_however_much_of_it_had_been_sent() {
        for polls in 0..4 {
            let (replay, mut first) = Replay::of(post(of_frames(&[3, 4, 5])));
            for _ in 0..polls {
                first.body_mut().frame().now_or_never().unwrap();
            }
            let again = replay.again().unwrap();
            assert_eq!(
                (again.method(), again.uri(), &again.headers()["x"]),
                (first.method(), first.uri(), &"y".parse().unwrap())
            );
            assert!(first.body_mut().frame().now_or_never().unwrap().is_none(), "the first sending gets no more");
            let twice = replay.again().unwrap();
            assert_eq!(read(twice.into_body()), 12);
        }
    }

    #[test]
    fn a_replayed_body_keeps_its_length() {
        let whole = Full::new(Bytes::from_static(b"12345")).map_err(|never| match never {}).boxed_unsync();
        let (replay, first) = Replay::of(post(whole));
        assert_eq!(first.body().size_hint().exact(), Some(5));
        assert_eq!(read(first.into_body()), 5);
        let again = replay.again().unwrap();
        assert_eq!(again.body().size_hint().exact(), Some(5));
        assert!(!again.body().is_end_stream());
    }

    #[test]
    fn a_body_too_long_to_be_remembered_is_sent_once() {
        let (replay, mut first) = Replay::of(post(of_frames(&[MOST_REMEMBERED, 1])));
        first.body_mut().frame().now_or_never().unwrap();
        assert!(replay.again().is_some());
        let (replay, first) = Replay::of(post(of_frames(&[MOST_REMEMBERED, 1])));
        assert_eq!(read(first.into_body()), MOST_REMEMBERED + 1);
        assert!(replay.again().is_none());
    }
}
