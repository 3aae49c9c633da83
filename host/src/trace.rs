//! Operations of which everything that they did is kept, for traces: one now and then, with its spans and requests.
//!
//! Identifiers are those of W3C Trace Context.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metrics::Outcome;

/// The most spans of one operation that are kept; a trace says how many were left out.
pub const MOST_SPANS: usize = 200;

/// The identifier of a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceId([u8; 16]);

/// The identifier of a span in its trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanId([u8; 8]);

/// A traced operation. Times are nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TracedOperation {
    /// Its trace.
    pub trace: TraceId,
    /// The span that covers all of it.
    pub root: SpanId,
    /// Its number.
    pub number: u64,
    /// When it started.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it returned.
    pub result: String,
    /// Why it failed, if it said so.
    pub reason: Option<String>,
    /// Its spans and requests that have ended, in the order of their ends.
    pub spans: Vec<TracedSpan>,
    /// How many more there were.
    pub left_out: u64,
}

/// A span of a traced operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TracedSpan {
    /// Its identifier.
    pub id: SpanId,
    /// The span that it is a part of.
    pub parent: SpanId,
    /// Its name; of a request, the method.
    pub name: String,
    /// When it started.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// Whether it has failed.
    pub failed: bool,
    /// What was asked, if it is an HTTP request.
    pub request: Option<TracedRequest>,
}

/// An HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedRequest {
    /// Where it went, without the query, which may hold secrets.
    pub url: String,
    /// The status of the response, if there was one.
    pub status: Option<u16>,
}

impl TraceId {
    /// A random one.
    pub fn random() -> Self {
        Self(fastrand::u128(1..).to_be_bytes())
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl SpanId {
    /// A random one.
    pub fn random() -> Self {
        Self(fastrand::u64(1..).to_be_bytes())
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

/// The header `traceparent` of a request, and whether its trace is kept.
pub fn traceparent(trace: TraceId, span: SpanId, is_kept: bool) -> String {
    format!("00-{trace}-{span}-{:02x}", u8::from(is_kept))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_has_the_form_of_w3c() {
        let (trace, span) = (TraceId([0x4b; 16]), SpanId([0x07; 8]));
        assert_eq!(traceparent(trace, span, true), format!("00-{}-{}-01", "4b".repeat(16), "07".repeat(8)));
        assert!(traceparent(trace, span, false).ends_with("-00"));
        assert_ne!(TraceId::random(), TraceId::random());
        assert_ne!(SpanId::random().bytes(), [0; 8]);
    }
}
