//! Zipkin's JSON, version 2, in a POST.

use super::{Sender, http};
use crate::{
    client::Client,
    retry::Failure,
    settings::{Remote, SettingsError},
    span::{Attribute, Kind, Span, Value},
};
use bytes::Bytes;
use rr_common::COMPATIBLE_VERSION;
use serde_json::{Map, Value as Json, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) struct Zipkin(Client);

impl Zipkin {
    pub(super) fn new(remote: &Remote) -> Result<Self, SettingsError> {
        Client::new(remote).map(Self)
    }

    pub(super) async fn send(&mut self, sender: &Sender, spans: &[Span]) -> Result<(), Failure> {
        let all: Vec<_> = spans.iter().map(|span| model(sender, span)).collect();
        let body = serde_json::to_vec(&all).map_err(Failure::for_good)?;
        let answer = self.0.post("application/json", false, Bytes::from(body)).await?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(http::refused(&answer)),
        }
    }
}

fn model(sender: &Sender, span: &Span) -> Json {
    let service = sender.resource.get("service.name").map(|name| name.to_lowercase());
    let took = span.end.duration_since(span.start).unwrap_or_default();
    let mut model = json!({
        "traceId": span.place.trace.to_string(),
        "id": span.place.span.to_string(),
        "name": span.name.to_lowercase(),
        "timestamp": microseconds(span.start),
        // Zero would mean that it is not known.
        "duration": took.as_micros().max(1).try_into().unwrap_or(u64::MAX),
        "localEndpoint": {"serviceName": service},
        "tags": tags(sender, span),
    });
    if let Some(parent) = span.parent {
        model["parentId"] = parent.to_string().into();
    }
    if span.kind == Kind::Server {
        model["kind"] = "SERVER".into();
    }
    if !span.events.is_empty() {
        let each = span.events.iter().map(|event| {
            let attributes: Map<_, _> = event
                .attributes
                .iter()
                .map(|one| (one.key.to_string(), value(one)))
                .collect();
            let value = match attributes.is_empty() {
                true => event.name.to_string(),
                false => format!("{}: {}", event.name, Json::Object(attributes)),
            };
            json!({"timestamp": microseconds(event.time), "value": value})
        });
        model["annotations"] = each.collect();
    }
    model
}

/// Everything else, as texts.
fn tags(sender: &Sender, span: &Span) -> Json {
    let mut tags = Map::new();
    for attribute in &span.attributes {
        let text = match &attribute.value {
            Value::Text(text) => text.to_string(),
            Value::Int(number) => number.to_string(),
        };
        tags.insert(attribute.key.to_string(), text.into());
    }
    for (key, text) in &sender.resource {
        tags.insert(key.clone(), text.as_str().into());
    }
    if let Some(error) = &span.error {
        tags.insert("otel.status_code".into(), "ERROR".into());
        tags.insert("error".into(), error.as_str().into());
    }
    tags.insert("otel.scope.name".into(), sender.scope.into());
    tags.insert("otel.scope.version".into(), COMPATIBLE_VERSION.into());
    Json::Object(tags)
}

fn value(attribute: &Attribute) -> Json {
    match &attribute.value {
        Value::Text(text) => text.as_ref().into(),
        Value::Int(number) => (*number).into(),
    }
}

fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::{sender, span};

    // OTEL-01
    #[test]
    fn a_span_as_zipkin_reads_it() {
        let tags = json!({
            "http.request.method": "GET", "http.response.status_code": "500", "service.name": "Shop",
            "otel.status_code": "ERROR", "error": "boom",
            "otel.scope.name": "rr-http", "otel.scope.version": COMPATIBLE_VERSION,
        });
        let expected = json!({
            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "id": "00f067aa0ba902b7", "parentId": "0000000000000001",
            "name": "/path?x=1", "kind": "SERVER", "timestamp": 1_795_394_096_847_852u64, "duration": 1845,
            "localEndpoint": {"serviceName": "shop"},
            "annotations": [{"timestamp": 1_795_394_096_848_000u64, "value": "read: {\"http.read_bytes\":3}"}],
            "tags": tags,
        });
        assert_eq!(model(&sender(), &span()), expected);
        let root = Span {
            parent: None,
            kind: Kind::Internal,
            events: Vec::new(),
            ..span()
        };
        let root = model(&sender(), &root);
        let keys = ["parentId", "kind", "annotations"];
        assert!(keys.iter().all(|key| root.get(key).is_none()), "{root}");
    }
}
