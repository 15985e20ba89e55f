//! Traces end to end (OTEL-01, HTTP-31): from a client's headers through PHP to the log and to a collector.
//!
//! - [`trace`]: what is in the spans, in PHP's headers and in the log
//! - [`exporters`]: the ways to send them
//! - [`outage`]: collectors that are down, silent or refuse, and the end of the server

#![allow(clippy::unwrap_used)]

mod exporters;
mod outage;
mod trace;

use bytes::Bytes;
use http::Request;
use rr_tests::collector::{Collector, Seen};
use rr_tests::wait::{SOON, eventually, holds_within};
use rr_tests::{Reply, Server};
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const WAIT: &str = "wait for a worker";
const PARENT: &str = "00f067aa0ba902b7";

/// A server that traces; the batches leave quickly.
fn traced(otel: Value, more: Value) -> Server {
    let mut settings = json!({
        "http": {"middleware": ["otel"]},
        "otel": otel,
        "supervisor": {"plugins": {"http": {"env": {"OTEL_BSP_SCHEDULE_DELAY": "50"}}}},
    });
    rr_tests::server::merge(&mut settings, more);
    Server::http(settings)
}

/// The `otel` section for a collector of OTLP in the clear.
fn otlp(collector: &Collector) -> Value {
    json!({"endpoint": collector.address().to_string(), "insecure": true})
}

fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.client().send(request.body(Bytes::new()).unwrap())
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// The headers that PHP saw.
fn seen_by_php(reply: &Reply) -> Value {
    let dump: Value = serde_json::from_slice(&reply.body).unwrap();
    dump["header"].clone()
}

/// The spans that came, once there are this many. A busy machine may let any request wait for its worker: those spans are
/// left out.
#[track_caller]
fn spans(collector: &Collector, count: usize) -> Vec<Seen> {
    let all = || {
        let mut all = collector.spans();
        all.retain(|span| span.name != WAIT);
        all
    };
    let came = holds_within(SOON, || all().len() >= count);
    assert!(came, "{count} spans: {:?}", all());
    all()
}

fn find<'a>(spans: &'a [Seen], name: &str) -> &'a Seen {
    let found = spans.iter().find(|span| span.name == name);
    found.unwrap_or_else(|| panic!("no span {name}: {spans:?}"))
}
