//! Spans as messages of OTLP.

use super::Sender;
use crate::{
    proto::{
        AnyValue, Event, ExportTraceServiceRequest, ExportTraceServiceResponse, InstrumentationScope, KeyValue,
        Resource, ResourceSpans, ScopeSpans, Span, Status, any_value,
    },
    span::{self, Attribute, Kind, Value},
};
use rr_common::COMPATIBLE_VERSION;
use std::time::{SystemTime, UNIX_EPOCH};

/// In a span's flags: it is known whether the parent is another program's, and it is.
const PARENT_KNOWN: u32 = 0x100;
const PARENT_REMOTE: u32 = 0x200;
const ERROR: i32 = 2;

/// The request that carries a batch.
pub(super) fn request(sender: &Sender, spans: &[span::Span]) -> ExportTraceServiceRequest {
    let attributes = sender.resource.iter().map(|(key, value)| KeyValue {
        key: key.clone(),
        value: Some(text(value)),
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: attributes.collect(),
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: sender.scope.into(),
                    version: COMPATIBLE_VERSION.into(),
                }),
                spans: spans.iter().map(message).collect(),
            }],
            schema_url: String::new(),
        }],
    }
}

/// Says in the log what a collector did not take; to send it again would not help.
pub(super) fn look_at(response: &ExportTraceServiceResponse) {
    let Some(partial) = &response.partial_success else {
        return;
    };
    if partial.rejected_spans != 0 || !partial.error_message.is_empty() {
        tracing::warn!(
            target: "otel", rejected = partial.rejected_spans, error = partial.error_message,
            "the collector did not take all spans"
        );
    }
}

fn message(span: &span::Span) -> Span {
    let remote = if span.remote_parent { PARENT_REMOTE } else { 0 };
    let parent = span.parent.map(|parent| parent.get().to_be_bytes().to_vec());
    Span {
        trace_id: span.place.trace.get().to_be_bytes().to_vec(),
        span_id: span.place.span.get().to_be_bytes().to_vec(),
        trace_state: span.state.clone(),
        parent_span_id: parent.unwrap_or_default(),
        flags: u32::from(span.flags) | PARENT_KNOWN | remote,
        name: span.name.to_string(),
        kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
        },
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        attributes: attributes(&span.attributes),
        events: span.events.iter().map(event).collect(),
        status: span.error.as_ref().map(|message| Status {
            message: message.clone(),
            code: ERROR,
        }),
    }
}

fn event(event: &span::Event) -> Event {
    Event {
        time_unix_nano: nanoseconds(event.time),
        name: event.name.to_string(),
        attributes: attributes(&event.attributes),
    }
}

fn attributes(all: &[Attribute]) -> Vec<KeyValue> {
    let one = |attribute: &Attribute| KeyValue {
        key: attribute.key.to_string(),
        value: Some(match &attribute.value {
            Value::Text(value) => text(value),
            Value::Int(value) => AnyValue {
                value: Some(any_value::Value::IntValue(*value)),
            },
        }),
    };
    all.iter().map(one).collect()
}

fn text(value: &str) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(value.to_owned())),
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::{sender, span};
    use prost::Message;

    // OTEL-01
    #[test]
    fn a_span_keeps_everything_on_the_wire() {
        let sent = request(&sender(), &[span()]);
        let read = ExportTraceServiceRequest::decode(sent.encode_to_vec().as_slice());
        assert_eq!(read.as_ref(), Ok(&sent));
        let of = &sent.resource_spans[0];
        assert_eq!(
            of.resource.as_ref().map(|r| r.attributes[0].key.as_str()),
            Some("service.name")
        );
        let span = &of.scope_spans[0].spans[0];
        assert_eq!(
            (span.trace_id.len(), span.span_id.len(), span.parent_span_id.len()),
            (16, 8, 8)
        );
        assert_eq!(span.span_id, 0x00f0_67aa_0ba9_02b7u64.to_be_bytes());
        assert_eq!((span.kind, span.flags, span.trace_state.as_str()), (2, 0x301, "a=b"));
        assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_845_940);
        assert_eq!(span.status.as_ref().map(|status| status.code), Some(ERROR));
        assert_eq!((span.attributes.len(), span.events.len()), (2, 1));
    }
}
