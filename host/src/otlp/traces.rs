//! Traced operations as OTLP traces: a span for the operation, one for each of its spans, one for each request.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::{number, resource, scope, text};
use crate::guest_text::line;
use crate::metrics::Outcome;
use crate::report::words;
use crate::trace::{TracedOperation, TracedSpan};

/// The traces of operations of `task`.
pub(super) fn request(task: &str, traced: &[TracedOperation]) -> ExportTraceServiceRequest {
    let spans =
        traced.iter().flat_map(|of| [operation(of)].into_iter().chain(of.spans.iter().map(|span| part(of, span))));
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans: spans.collect(), ..ScopeSpans::default() }];
    let resource = Some(resource(Some(task), None));
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
    }
}

fn operation(of: &TracedOperation) -> Span {
    let mut attributes = vec![
        number("gorgon.number", of.number),
        text("gorgon.result", &of.result),
        text("gorgon.outcome", &words::outcome(of.outcome).replace(' ', "_")),
    ];
    if of.left_out > 0 {
        attributes.push(number("gorgon.spans_left_out", of.left_out));
    }
    let failed = of.outcome != Outcome::Ok;
    let why = of.reason.as_deref().unwrap_or(&of.result);
    let (id, times) = (of.root.bytes().to_vec(), (of.start_ns, of.end_ns));
    Span {
        status: Some(status(failed, why)),
        ..span(of, id, Vec::new(), ("operation", SpanKind::Internal), times, attributes)
    }
}

fn part(of: &TracedOperation, part: &TracedSpan) -> Span {
    let (kind, attributes) = match &part.request {
        None => (SpanKind::Internal, Vec::new()),
        Some(request) => {
            let status = request.status.map(|status| number("http.response.status_code", status.into()));
            let asked = [text("http.request.method", &part.name), text("url.full", &request.url)];
            (SpanKind::Client, asked.into_iter().chain(status).collect())
        }
    };
    let (id, parent) = (part.id.bytes().to_vec(), part.parent.bytes().to_vec());
    Span {
        status: Some(status(part.failed, "")),
        ..span(of, id, parent, (&part.name, kind), (part.start_ns, part.end_ns), attributes)
    }
}

fn span(
    of: &TracedOperation,
    span_id: Vec<u8>,
    parent_span_id: Vec<u8>,
    (name, kind): (&str, SpanKind),
    (start, end): (u64, u64),
    attributes: Vec<KeyValue>,
) -> Span {
    Span {
        trace_id: of.trace.bytes().to_vec(),
        span_id,
        parent_span_id,
        name: line(name),
        kind: kind.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes,
        ..Span::default()
    }
}

fn status(failed: bool, why: &str) -> Status {
    let code = if failed { StatusCode::Error } else { StatusCode::Unset };
    Status { code: code.into(), message: if failed { line(why) } else { String::new() } }
}
