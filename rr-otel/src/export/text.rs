//! Spans as JSON on standard output or error, in the form that RoadRunner prints. For trying things out.

use super::Sender;
use crate::{
    retry::Failure,
    span::{Attribute, Kind, Span, Value},
};
use jiff::Timestamp;
use rr_common::{COMPATIBLE_VERSION, telemetry::stderr};
use serde::Serialize;
use serde_json::{Serializer, Value as Json, json, ser::PrettyFormatter};
use std::{
    io::{self, Write},
    time::SystemTime,
};

/// Where they are written.
pub(super) enum Out {
    Stdout,
    Stderr,
}

impl Out {
    pub(super) fn send(&self, sender: &Sender, spans: &[Span]) -> Result<(), Failure> {
        let mut text = Vec::new();
        for span in spans {
            write(sender, span, &mut text).map_err(Failure::for_good)?;
        }
        let written = match self {
            Self::Stdout => io::stdout().write_all(&text).and_then(|()| io::stdout().flush()),
            Self::Stderr => stderr::write(&text),
        };
        written.map_err(Failure::for_good)
    }
}

/// The reference's names and their order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Printed<'a> {
    name: &'a str,
    span_context: Context,
    parent: Context,
    span_kind: u8,
    start_time: String,
    end_time: String,
    attributes: Option<Vec<Pair>>,
    events: Option<Vec<Json>>,
    links: Option<()>,
    status: Status<'a>,
    resource: Vec<Pair>,
    instrumentation_scope: Scope,
}

#[derive(Serialize)]
struct Context {
    #[serde(rename = "TraceID")]
    trace: String,
    #[serde(rename = "SpanID")]
    span: String,
    #[serde(rename = "TraceFlags")]
    flags: String,
    #[serde(rename = "TraceState")]
    state: String,
    #[serde(rename = "Remote")]
    remote: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pair {
    key: String,
    value: Typed,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Typed {
    r#type: &'static str,
    value: Json,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Status<'a> {
    code: &'static str,
    description: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Scope {
    name: &'static str,
    version: &'static str,
}

fn write(sender: &Sender, span: &Span, out: &mut Vec<u8>) -> io::Result<()> {
    let flags = format!("{:02x}", span.flags);
    let own = Context {
        trace: span.place.trace.to_string(),
        span: span.place.span.to_string(),
        flags: flags.clone(),
        state: span.state.clone(),
        remote: false,
    };
    let parent = match span.parent {
        Some(parent) => Context {
            trace: own.trace.clone(),
            span: parent.to_string(),
            flags,
            state: span.state.clone(),
            remote: span.remote_parent,
        },
        None => Context {
            trace: "0".repeat(32),
            span: "0".repeat(16),
            flags: "00".into(),
            state: String::new(),
            remote: false,
        },
    };
    let events = span.events.iter().map(|event| {
        json!({"Name": event.name, "Attributes": pairs(&event.attributes), "DroppedAttributeCount": 0, "Time": moment(event.time)})
    });
    let resource = sender.resource.iter().map(|(key, value)| Pair {
        key: key.clone(),
        value: typed(&Value::Text(value.clone().into())),
    });
    let printed = Printed {
        name: &span.name,
        span_context: own,
        parent,
        span_kind: match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
        },
        start_time: moment(span.start),
        end_time: moment(span.end),
        attributes: pairs(&span.attributes),
        events: Some(events.collect()).filter(|events: &Vec<_>| !events.is_empty()),
        links: None,
        status: Status {
            code: if span.error.is_some() { "Error" } else { "Unset" },
            description: span.error.as_deref().unwrap_or_default(),
        },
        resource: resource.collect(),
        instrumentation_scope: Scope {
            name: sender.scope,
            version: COMPATIBLE_VERSION,
        },
    };
    printed.serialize(&mut Serializer::with_formatter(
        &mut *out,
        PrettyFormatter::with_indent(b"\t"),
    ))?;
    out.push(b'\n');
    Ok(())
}

fn pairs(attributes: &[Attribute]) -> Option<Vec<Pair>> {
    let pair = |attribute: &Attribute| Pair {
        key: attribute.key.to_string(),
        value: typed(&attribute.value),
    };
    (!attributes.is_empty()).then(|| attributes.iter().map(pair).collect())
}

fn typed(value: &Value) -> Typed {
    match value {
        Value::Text(text) => Typed {
            r#type: "STRING",
            value: text.as_ref().into(),
        },
        Value::Int(number) => Typed {
            r#type: "INT64",
            value: (*number).into(),
        },
    }
}

/// Nanoseconds and UTC.
fn moment(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| String::new(), |time| time.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::export::tests::{sender, span};

    // OTEL-01
    #[test]
    fn a_span_as_the_reference_prints_it() {
        let mut text = Vec::new();
        write(&sender(), &span(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let begin = "{\n\t\"Name\": \"/Path?x=1\",\n\t\"SpanContext\": {\n\t\t\"TraceID\": \"4bf92f3577b34da6a3ce929d0e0e4736\",";
        assert!(text.starts_with(begin), "{text}");
        let read: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(read["Parent"]["SpanID"], "0000000000000001");
        assert_eq!(read["Parent"]["Remote"], true);
        assert_eq!(read["StartTime"], "2026-11-23T00:34:56.847852827Z");
        let status = json!({"Key": "http.response.status_code", "Value": {"Type": "INT64", "Value": 500}});
        assert_eq!(read["Attributes"][1], status);
        assert_eq!(read["Events"][0]["Name"], "read");
        assert_eq!(read["Status"], json!({"Code": "Error", "Description": "boom"}));
        let root = Span { parent: None, ..span() };
        let mut text = Vec::new();
        write(&sender(), &root, &mut text).unwrap();
        let read: Json = serde_json::from_slice(&text).unwrap();
        assert_eq!(read["Parent"]["TraceID"], "0".repeat(32));
    }
}
