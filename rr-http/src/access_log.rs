//! The request log: one line for each request that reaches PHP's door, `http log` or, with `access_logs`, the longer
//! `http access log`. Fields, names and their order are the reference's. Nothing is done when the level is off.

use crate::{connection::Connection, request};
use http::{header, request::Parts};
use rr_common::telemetry::{
    request::{Access, Request},
    trace::Place,
};
use std::time::{Duration, SystemTime};

/// What a request's line will say; the rest is known at its end.
#[derive(Debug)]
pub(crate) struct Record {
    start: SystemTime,
    method: String,
    uri: String,
    remote: String,
    long: Option<Long>,
}

/// What only the longer line has.
#[derive(Debug)]
struct Long {
    query: String,
    content_len: i64,
    host: String,
    user_agent: String,
    referer: String,
}

impl Record {
    /// The beginning of a line; `None` if nobody wants it.
    pub(crate) fn begin(connection: &Connection, head: &Parts) -> Option<Self> {
        if !tracing::enabled!(target: "http", tracing::Level::INFO) {
            return None;
        }
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        // An absolute-form target is both; otherwise the path is.
        let uri = match head.uri.scheme() {
            Some(_) if head.version < http::Version::HTTP_2 => head.uri.to_string(),
            _ => path.to_owned(),
        };
        Some(Self {
            start: SystemTime::now(),
            method: head.method.to_string(),
            uri,
            remote: connection.peer.to_string(),
            long: connection.app.settings.access_logs.then(|| Long::new(head)),
        })
    }

    /// Writes the line.
    pub(crate) fn write(&self, status: u16, elapsed: Duration, read: u64, written: u64, place: Option<Place>) {
        let access = self.long.as_ref().map(|long| Access {
            query: &long.query,
            content_len: long.content_len,
            host: &long.host,
            user_agent: long.user_agent.as_bytes(),
            referer: long.referer.as_bytes(),
        });
        let request = Request {
            status,
            method: &self.method,
            uri: &self.uri,
            url: &self.uri,
            remote_address: &self.remote,
            read_bytes: read,
            write_bytes: written,
            start: self.start,
            elapsed,
            access,
            place,
        };
        request.log("http");
    }
}

impl Long {
    fn new(head: &Parts) -> Self {
        let text = |name| {
            head.headers
                .get(name)
                .map_or(String::new(), |value: &http::HeaderValue| {
                    String::from_utf8_lossy(value.as_bytes()).into_owned()
                })
        };
        let declared = head
            .headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
        Self {
            query: head.uri.query().unwrap_or_default().to_owned(),
            content_len: declared.unwrap_or(if chunked { -1 } else { 0 }),
            host: request::host(head).to_owned(),
            user_agent: text(header::USER_AGENT),
            referer: text(header::REFERER),
        }
    }
}
