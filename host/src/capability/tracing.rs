//! The trace of a running operation: which spans and requests it had, and when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{HeaderName, HeaderValue};
use http::{Request, StatusCode};

use crate::clock::Clock;
use crate::guest_text::cut;
use crate::trace::{MOST_SPANS, SpanId, TraceId, TracedRequest, TracedSpan, traceparent};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The trace of the running operation, and what it takes to extend it.
pub struct Trace {
    /// Its identifier.
    pub id: TraceId,
    /// The span of the whole operation.
    pub root: SpanId,
    ended: Arc<Mutex<Ended>>,
    clock: Clock,
    /// What the clock's zero is since 1970, in nanoseconds.
    zero_ns: u64,
}

/// What has ended.
#[derive(Default)]
struct Ended {
    spans: Vec<TracedSpan>,
    left_out: u64,
}

impl Ended {
    fn push(&mut self, span: TracedSpan) {
        if self.spans.len() < MOST_SPANS {
            self.spans.push(span);
        } else {
            self.left_out += 1;
        }
    }
}

/// A request on its way. When it is dropped, it has ended.
pub struct RequestTrace {
    ended: Arc<Mutex<Ended>>,
    clock: Clock,
    zero_ns: u64,
    span: TracedSpan,
}

impl Trace {
    pub(super) fn begin(clock: &Clock) -> Self {
        let zero_ns = zero_ns(clock);
        Self { id: TraceId::random(), root: SpanId::random(), ended: Arc::default(), clock: clock.clone(), zero_ns }
    }

    /// A span has ended. Its times are those of the clock.
    pub(super) fn span(&self, id: SpanId, parent: SpanId, name: &str, (start, end): (u64, u64), failed: bool) {
        let (start_ns, end_ns) = (self.zero_ns + start, self.zero_ns + end);
        let span = TracedSpan { id, parent, name: name.to_owned(), start_ns, end_ns, failed, request: None };
        lock(&self.ended).push(span);
    }

    /// A request begins.
    pub(super) fn request<B>(
        &self,
        request: &Request<B>,
        id: SpanId,
        parent: SpanId,
        clock: &Clock,
    ) -> Box<RequestTrace> {
        let uri = request.uri();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // Neither a password nor a query is kept.
        let host = authority.rsplit('@').next().unwrap_or_default();
        let url = format!("{}://{host}{}", uri.scheme_str().unwrap_or("http"), uri.path());
        let start_ns = self.zero_ns + clock.elapsed_ns();
        let asked = TracedRequest { url: cut(&url).to_owned(), status: None };
        let name = cut(request.method().as_str()).to_owned();
        let span = TracedSpan { id, parent, name, start_ns, end_ns: start_ns, failed: true, request: Some(asked) };
        Box::new(RequestTrace { ended: self.ended.clone(), clock: clock.clone(), zero_ns: self.zero_ns, span })
    }

    /// What the zero of another clock is since 1970, in nanoseconds, so that its times fit those of the spans.
    pub fn zero_of(&self, clock: &Clock) -> u64 {
        self.zero_ns.saturating_add_signed(self.clock.ahead_of_ns(clock))
    }

    /// The spans and requests that have ended, and how many were left out.
    pub fn take(&self) -> (Vec<TracedSpan>, u64) {
        let Ended { spans, left_out } = std::mem::take(&mut *lock(&self.ended));
        (spans, left_out)
    }
}

impl RequestTrace {
    /// The response has begun.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.span.failed = false;
        if let Some(request) = &mut self.span.request {
            request.status = Some(status.as_u16());
        }
    }

    /// It has failed, by its status or because the response did not come whole.
    pub(super) fn fail(&mut self) {
        self.span.failed = true;
    }
}

impl Drop for RequestTrace {
    fn drop(&mut self) {
        self.span.end_ns = self.zero_ns + self.clock.elapsed_ns();
        lock(&self.ended).push(self.span.clone());
    }
}

/// Says to which trace a request belongs, unless the guest has said so itself.
pub(super) fn tell<B>(request: &mut Request<B>, trace: TraceId, span: SpanId, is_kept: bool) {
    if let Ok(value) = HeaderValue::try_from(traceparent(trace, span, is_kept)) {
        request.headers_mut().entry(TRACEPARENT).or_insert(value);
    }
}

/// What a clock's zero is since 1970, in nanoseconds.
fn zero_ns(clock: &Clock) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).saturating_sub(clock.elapsed_ns())
}

fn lock(ended: &Mutex<Ended>) -> std::sync::MutexGuard<'_, Ended> {
    // Nothing that holds the lock can panic half-way.
    ended.lock().unwrap_or_else(PoisonError::into_inner)
}
