//! A span for the tests of exporters and of the queue.
#![allow(clippy::unwrap_used)]

use super::Sender;
use crate::span::{Attribute, Event, Kind, Span};
use rr_common::telemetry::trace::{Place, SpanId, TraceId};
use std::time::{Duration, UNIX_EPOCH};

pub(crate) fn span() -> Span {
    Span {
        place: Place {
            trace: TraceId::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).unwrap(),
            span: SpanId::new(0x00f0_67aa_0ba9_02b7).unwrap(),
        },
        parent: SpanId::new(1),
        remote_parent: true,
        flags: 1,
        state: "a=b".into(),
        name: "/Path?x=1".into(),
        kind: Kind::Server,
        start: UNIX_EPOCH + Duration::from_nanos(1_795_394_096_847_852_827),
        end: UNIX_EPOCH + Duration::from_nanos(1_795_394_096_849_698_767),
        attributes: vec![
            Attribute::text("http.request.method", "GET"),
            Attribute::int("http.response.status_code", 500),
        ],
        events: vec![Event {
            time: UNIX_EPOCH + Duration::from_nanos(1_795_394_096_848_000_000),
            name: "read".into(),
            attributes: vec![Attribute::int("http.read_bytes", 3)],
        }],
        error: Some("boom".into()),
    }
}

pub(crate) fn sender() -> Sender {
    Sender {
        resource: [("service.name".to_owned(), "Shop".to_owned())].into(),
        scope: "rr-http",
    }
}
