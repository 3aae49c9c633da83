//! A request, timed and counted: by its thread, by its span, and by its trace.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;

use crate::capability::current::RequestFailed;
use crate::capability::network::Network;
use crate::capability::tracing::RequestTrace;

/// A request, which is counted when this is dropped: at the end of its response, or when the task gives it up.
pub(super) struct TimedRequest {
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
    pub(super) fn new(
        network: Arc<Network>,
        (span, trace): (Option<RequestFailed>, Option<Box<RequestTrace>>),
    ) -> Self {
        let (is_reused, is_success, is_granted) = (false, false, false);
        Self { network, sent: None, times: 0, first_byte_ns: None, is_reused, is_success, is_granted, span, trace }
    }

    pub(super) fn send(&mut self, is_new: bool) {
        self.sent.get_or_insert_with(Instant::now);
        self.times += 1;
        self.is_reused = !is_new;
    }

    /// It was not sent after all.
    pub(super) fn unsend(&mut self) {
        self.times -= 1;
        if self.times == 0 {
            (self.sent, self.is_reused) = (None, false);
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.first_byte_ns = self.sent.map(nanos_since);
        // As k6 tells them apart.
        self.is_success = (200..400).contains(&status.as_u16());
        if let Some(trace) = &mut self.trace {
            trace.answered(status);
        }
        self.tell_span();
    }

    /// Its destination is granted.
    pub(super) fn grant(&mut self) {
        self.is_granted = true;
    }

    /// It has failed after all: its response did not come whole.
    pub(super) fn fail(&mut self) {
        self.is_success = false;
    }

    /// Whether the task gives up all of its requests.
    pub(super) fn is_given_up(&self) -> bool {
        self.network.is_giving_up()
    }

    /// The span of a request can end before the request has.
    fn tell_span(&self) {
        self.span.iter().filter(|_| !self.is_success).for_each(RequestFailed::note);
    }
}

impl Drop for TimedRequest {
    fn drop(&mut self) {
        self.tell_span();
        if let Some(trace) = self.trace.as_mut().filter(|_| !self.is_success) {
            trace.fail();
        }
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
