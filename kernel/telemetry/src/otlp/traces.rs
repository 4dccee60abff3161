//! Spans in the form of OTLP.
//! Source: <https://opentelemetry.io/docs/specs/otlp/>.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status};
use prost::Message;

use super::resource::{Resource, attribute, scope};
use super::spans::{Attribute, Kind, Told};

/// A request that sends a batch of spans, as bytes; those of each service as a resource of its own.
pub fn trace_request(batch: &[Told], resource: &Resource) -> Vec<u8> {
    let mut by_service: BTreeMap<&str, Vec<OtlpSpan>> = BTreeMap::new();
    for told in batch {
        by_service.entry(&told.span.service).or_default().push(span(told));
    }
    let of_service = |(service, spans): (&str, Vec<OtlpSpan>)| {
        let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
        ResourceSpans { resource: Some(resource.of(service)), scope_spans, ..ResourceSpans::default() }
    };
    let resource_spans = by_service.into_iter().map(of_service).collect();
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn span(Told { step, span, ended_at, took }: &Told) -> OtlpSpan {
    /// Of a trace's flags, the one that says that it is sampled.
    const SAMPLED: u32 = 1;
    let kind = match span.kind {
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Consumer => SpanKind::Consumer,
        Kind::Internal => SpanKind::Internal,
    };
    let code = if span.has_failed { StatusCode::Error } else { StatusCode::Unset };
    let value = |value: &Attribute| match value {
        Attribute::Text(text) => Value::StringValue(text.clone()),
        Attribute::Whole(number) => Value::IntValue(*number),
    };
    OtlpSpan {
        trace_id: step.trace_id.to_be_bytes().to_vec(),
        span_id: step.span_id.to_be_bytes().to_vec(),
        parent_span_id: step.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: SAMPLED,
        name: span.name.clone(),
        kind: kind.into(),
        start_time_unix_nano: nanos(ended_at.checked_sub(*took).unwrap_or(*ended_at)),
        end_time_unix_nano: nanos(*ended_at),
        attributes: span.attributes.iter().map(|(key, said)| attribute(key, value(said))).collect(),
        status: Some(Status { code: code.into(), ..Status::default() }),
        ..OtlpSpan::default()
    }
}

/// Nanoseconds since 1970, which fit until 2554.
pub(super) fn nanos(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
