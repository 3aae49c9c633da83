//! `gorgon:task/current`: the spans of the running operation, and its `fail`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::{Linker, Resource, ResourceType};

use crate::capability::guest::Guest;
use crate::capability::tracing::{self, RequestTrace, Trace};
use crate::clock::Clock;
use crate::guest_text::cut_owned;
use crate::metrics::{SpanIndex, Spans};
use crate::trace::{SpanId, TraceId};

/// How many spans an instance may have open. A task that never ends them must not exhaust the memory.
const MAX_OPEN_SPANS: usize = 1_000;

/// What the running operation has reported about itself.
pub struct Current {
    clock: Clock,
    /// The spans that have not ended, in the order in which they were started.
    open: Vec<OpenSpan>,
    /// The handle of the next span.
    next: u32,
    spans: Spans,
    /// The span that ended last: where it was recorded, and whether it has failed.
    last: Option<(SpanIndex, bool)>,
    /// For the requests of the next span, as most spans have one and nobody else holds it afterwards.
    spare: Option<RequestFailed>,
    failure: Option<String>,
    /// Whether requests say to which trace they belong.
    tells: bool,
    trace: Option<Box<Trace>>,
}

/// A span that was started and has not ended.
struct OpenSpan {
    handle: u32,
    name: String,
    started_ns: u64,
    failed: bool,
    /// Whether a request in it has failed; `None` if none was sent.
    requests: Option<RequestFailed>,
    /// Its identifier, if the operation is traced.
    id: Option<SpanId>,
}

/// Tells a span that a request in it has failed, which may be known only after the span has ended.
#[derive(Clone, Debug, Default)]
pub struct RequestFailed(Arc<AtomicBool>);

impl RequestFailed {
    /// Notes that the request has failed.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The same for another span, if no request can tell this one any more.
    fn again(mut self) -> Option<Self> {
        *Arc::get_mut(&mut self.0)?.get_mut() = false;
        Some(self)
    }

    fn is_noted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A span, to wasmtime.
enum SpanHandle {}

impl Current {
    /// Nothing reported yet. `tells` says whether requests have a `traceparent`.
    pub fn new(clock: Clock, tells: bool) -> Self {
        Self {
            clock,
            open: Vec::new(),
            next: 0,
            spans: Spans::default(),
            last: None,
            spare: None,
            failure: None,
            tells,
            trace: None,
        }
    }

    /// The next operation is traced. Whoever counts it takes its trace.
    pub fn trace_next(&mut self) {
        self.trace = Some(Box::new(Trace::begin(&self.clock)));
    }

    /// The trace of the operation that has ended, if it was traced.
    pub fn take_trace(&mut self) -> Option<Box<Trace>> {
        self.trace.take()
    }

    /// Forgets what the previous operation reported.
    #[inline]
    pub fn clear(&mut self) {
        if !self.spans.is_empty() {
            self.spans.clear();
        }
        (self.last, self.failure) = (None, None);
    }

    /// The spans that have ended.
    pub fn spans(&self) -> &Spans {
        &self.spans
    }

    /// The reason that the operation gave for its failure; the first, if it gave several.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// What a request that is sent now tells if it fails: it is a part of the span that was started last.
    pub fn request(&mut self) -> Option<RequestFailed> {
        let span = self.open.last_mut()?;
        Some(span.requests.get_or_insert_with(|| self.spare.take().unwrap_or_default()).clone())
    }

    /// Traces a request that is sent now, if the operation is traced, and lets it say so if it has to.
    pub fn trace_request<B>(&self, request: &mut http::Request<B>) -> Option<Box<RequestTrace>> {
        if self.trace.is_none() && !self.tells {
            return None;
        }
        let id = SpanId::random();
        let trace = self.trace.as_ref();
        if self.tells {
            tracing::tell(request, trace.map_or_else(TraceId::random, |trace| trace.id), id, trace.is_some());
        }
        let trace = trace?;
        Some(trace.request(request, id, self.parent(trace), &self.clock))
    }

    /// The span that is open, or the whole operation.
    fn parent(&self, trace: &Trace) -> SpanId {
        self.open.last().and_then(|span| span.id).unwrap_or(trace.root)
    }

    /// The operation has failed: so have the spans that are open, or else the one that ended last. What was wrong with
    /// a response is seen only after its span has ended.
    pub fn failed(&mut self) {
        if let Some((index, failed @ false)) = self.last.as_mut().filter(|_| self.open.is_empty()) {
            *failed = true;
            self.spans.failed(*index);
        }
        self.open.iter_mut().for_each(|span| span.failed = true);
    }

    /// Ends the spans that are open, because the operation did not return. It ended at `end_ns` by `clock`, which is
    /// not the one that times spans.
    pub fn give_up(&mut self, end_ns: u64, clock: &Clock) {
        let now_ns = (end_ns as i64 + self.clock.ahead_of_ns(clock)).max(0) as u64;
        for span in std::mem::take(&mut self.open) {
            self.record(OpenSpan { failed: true, ..span }, now_ns);
        }
    }

    fn start(&mut self, name: String) -> wasmtime::Result<Resource<SpanHandle>> {
        if self.open.len() == MAX_OPEN_SPANS {
            wasmtime::bail!("more than {MAX_OPEN_SPANS} spans are open: end a span, or drop it, before starting more");
        }
        let (handle, name) = (self.next, cut_owned(name));
        let id = self.trace.as_ref().map(|_| SpanId::random());
        self.next = handle.wrapping_add(1);
        self.open.reserve(1);
        // The clock is read last, so that the span does not include its bookkeeping.
        let started_ns = self.clock.elapsed_ns();
        self.open.push(OpenSpan { handle, name, started_ns, failed: false, requests: None, id });
        Ok(Resource::new_own(handle))
    }

    /// Ends a span, unless it has ended.
    fn end(&mut self, handle: u32, now_ns: u64) {
        if let Some(place) = self.open.iter().rposition(|span| span.handle == handle) {
            let span = self.open.remove(place);
            self.record(span, now_ns);
        }
    }

    fn record(&mut self, span: OpenSpan, now_ns: u64) {
        let failed = span.failed || span.requests.as_ref().is_some_and(RequestFailed::is_noted);
        let index = self.spans.record(&span.name, now_ns - span.started_ns);
        if let (Some(trace), Some(id)) = (&self.trace, span.id) {
            trace.span(id, self.parent(trace), &span.name, (span.started_ns, now_ns), failed);
        }
        if failed {
            self.spans.failed(index);
        }
        self.last = Some((index, failed));
        self.spare = span.requests.and_then(RequestFailed::again).or(self.spare.take());
    }
}

/// Links `gorgon:task/current`.
pub fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut current = linker.instance("gorgon:task/current@0.1.0")?;
    current.resource("span", ResourceType::host::<SpanHandle>(), |mut store, handle| {
        let current = &mut store.data_mut().current;
        let now_ns = current.clock.elapsed_ns();
        current.end(handle, now_ns);
        Ok(())
    })?;
    current.func_wrap("[static]span.start", |mut store, (name,): (String,)| {
        Ok((store.data_mut().current.start(name)?,))
    })?;
    current.func_wrap("[method]span.end", |mut store, (span,): (Resource<SpanHandle>,)| {
        let current = &mut store.data_mut().current;
        let now_ns = current.clock.elapsed_ns();
        current.end(span.rep(), now_ns);
        Ok(())
    })?;
    current.func_wrap("fail", |mut store, (reason,): (String,)| {
        let current = &mut store.data_mut().current;
        current.failed();
        current.failure.get_or_insert_with(|| cut_owned(reason));
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the spans, with their number and how many of them failed.
    fn counted(current: &Current) -> Vec<(String, u64, u64)> {
        let counted = |of: &crate::metrics::Span| (of.name.raw().to_owned(), of.latency.count(), of.failed);
        current.spans().iter().map(counted).collect()
    }

    fn current() -> Current {
        Current::new(Clock::new(), false)
    }

    fn start(current: &mut Current, name: &str) -> u32 {
        current.start(name.to_owned()).unwrap().rep()
    }

    #[test]
    fn a_failure_belongs_to_the_open_spans_or_else_to_the_last_one() {
        let mut current = current();
        let log_in = start(&mut current, "log in");
        current.end(log_in, 1_000_000_000);
        let (shop, pay) = (start(&mut current, "shop"), start(&mut current, "pay"));
        current.end(pay, 2_000_000_000);
        current.failed();
        current.end(shop, 3_000_000_000);
        // All that follows is told again: by `fail`, by the result, by a trap.
        current.failed();
        current.end(shop, 4_000_000_000);
        let expected = [("log in", 0), ("pay", 0), ("shop", 1)];
        assert_eq!(counted(&current), expected.map(|(name, failed)| (name.to_owned(), 1, failed)));
        current.clear();
        let log_in = start(&mut current, "log in");
        current.end(log_in, 5_000_000_000);
        current.failed();
        current.failed();
        assert_eq!(counted(&current), [("log in".to_owned(), 1, 1)]);
    }

    #[test]
    fn a_request_that_fails_belongs_to_the_span_that_was_started_last() {
        let mut current = current();
        assert!(current.request().is_none(), "no span is open");
        let (shop, pay) = (start(&mut current, "shop"), start(&mut current, "pay"));
        let (first, second) = (current.request().unwrap(), current.request().unwrap());
        first.note();
        second.note();
        current.end(pay, 1_000_000_000);
        let again = start(&mut current, "pay");
        current.request().unwrap();
        for span in [again, shop] {
            current.end(span, 2_000_000_000);
        }
        assert_eq!(counted(&current), [("pay".to_owned(), 2, 1), ("shop".to_owned(), 1, 0)]);
    }

    #[test]
    fn spans_of_an_operation_that_did_not_return_are_counted() {
        let mut current = current();
        let shop = start(&mut current, "shop");
        start(&mut current, "pay");
        // The run began later than the clock of its spans.
        let clock = current.clock.since(crate::clock::system_monotonic() + std::time::Duration::from_millis(50));
        current.give_up(1_000_000_000, &clock);
        let took = current.spans().iter().map(|span| span.latency.max().unwrap_or_default());
        assert!(took.min().unwrap() >= 1_040_000_000);
        current.end(shop, 2_000_000_000);
        assert_eq!(counted(&current), [("shop".to_owned(), 1, 1), ("pay".to_owned(), 1, 1)]);
    }

    #[test]
    fn only_so_many_spans_are_open() {
        let mut current = current();
        let first = start(&mut current, "first");
        for _ in 1..MAX_OPEN_SPANS {
            start(&mut current, "more");
        }
        assert!(current.start("one more".into()).is_err());
        current.end(first, 1_000_000_000);
        start(&mut current, "one more");
    }
}
