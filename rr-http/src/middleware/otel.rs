//! `otel`: a request as two spans, and its place in the trace for PHP.
//!
//! The server's span is the whole request, named by its target as in the reference. Below it are the time in which the
//! request waited for a worker, if that was worth mentioning, and the worker's part, `http`: its place is what PHP finds in
//! `traceparent` and `uber-trace-id`, so that spans made in PHP are its children. Attributes follow the semantic conventions
//! of OpenTelemetry, as the reference's do.

use crate::connection::{Connection, Peer};
use http::{Method, Version, header, request::Parts};
use rr_common::telemetry::trace::{Place, Trail};
use rr_otel::{
    Tracer,
    propagate::{self, Parent, SAMPLED},
    span::{Attribute, Kind, Span, cut},
};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Shorter waits for a worker are not worth a span.
const SHORT: Duration = Duration::from_millis(1);

/// A traced request.
#[derive(Debug)]
pub(crate) struct Trace {
    tracer: Tracer,
    place: Place,
    flags: u8,
    parent: Option<Parent>,
    trail: Arc<Trail>,
    /// The same moment on both clocks.
    start: (SystemTime, Instant),
    /// When it was handed to the pool.
    handed: Option<Instant>,
    name: String,
    attributes: Vec<Attribute>,
    error: Option<String>,
    answer: Option<Answer>,
}

/// What is known of an answer at its end.
#[derive(Clone, Copy, Debug)]
struct Answer {
    status: u16,
    read: u64,
    written: u64,
}

impl Drop for Trace {
    /// The request is over: with an answer, or because nobody waits for one any more.
    fn drop(&mut self) {
        if self.flags & SAMPLED != 0 {
            self.finish(Instant::now());
        }
    }
}

impl Trace {
    /// A request begins; the headers that PHP gets from now on say where it is.
    pub(crate) fn begin(tracer: &Tracer, connection: &Connection, head: &mut Parts, started: Instant) -> Self {
        let parent = propagate::extract(&head.headers);
        let (place, flags) = tracer.place(parent.as_ref());
        let below = Place {
            span: tracer.span_id(),
            ..place
        };
        let debug = parent.as_ref().is_some_and(|parent| parent.debug);
        propagate::inject(below, flags, debug, &mut head.headers);
        let recorded = flags & SAMPLED != 0;
        Self {
            tracer: tracer.clone(),
            place,
            flags,
            parent,
            trail: Arc::new(Trail::new(below)),
            start: (SystemTime::now(), started),
            handed: None,
            name: if recorded { target(head) } else { String::new() },
            attributes: if recorded {
                attributes(connection, head)
            } else {
                Vec::new()
            },
            error: None,
            answer: None,
        }
    }

    /// The server's span.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The request goes to the pool, and takes this along.
    pub(crate) fn hand_over(&mut self) -> Arc<Trail> {
        self.handed = Some(Instant::now());
        Arc::clone(&self.trail)
    }

    /// Something went wrong.
    pub(crate) fn failed(&mut self, error: String) {
        self.error = Some(cut(error.into()).into_owned());
    }

    /// How the answer was.
    pub(crate) fn answered(&mut self, status: u16, read: u64, written: u64) {
        self.answer = Some(Answer { status, read, written });
    }

    /// Hands over the spans.
    fn finish(&mut self, end: Instant) {
        let gone = || self.answer.is_none().then(|| "the client is gone".to_owned());
        let error = self.error.take().or_else(gone);
        self.waited(end, error.as_ref());
        if let Some(begun) = self.trail.begun() {
            let worker = self.below("http", self.trail.place(), (begun, end), error.clone());
            self.tracer.finish(worker);
        }
        let mut attributes = std::mem::take(&mut self.attributes);
        if let Some(Answer { status, read, written }) = self.answer {
            let sizes = [("http.request.body.size", read), ("http.response.body.size", written)];
            let told = sizes.into_iter().filter(|(_, size)| *size > 0);
            attributes.extend(told.map(|(key, size)| Attribute::int(key, size)));
            attributes.push(Attribute::int("http.response.status_code", status.into()));
        }
        let failed = self.answer.is_some_and(|answer| answer.status >= 500);
        let name = std::mem::take(&mut self.name);
        let parent = self.parent.as_ref().map(|parent| parent.place.span);
        self.tracer.finish(Span {
            parent,
            remote_parent: parent.is_some(),
            kind: Kind::Server,
            attributes,
            name: name.into(),
            ..self.below(
                "",
                self.place,
                (self.start.1, end),
                error.or_else(|| failed.then(String::new)),
            )
        });
    }

    /// The time in the pool's queue, if it was long or all that there was.
    fn waited(&self, end: Instant, error: Option<&String>) {
        let Some(handed) = self.handed else { return };
        let begun = self.trail.begun();
        let until = begun.unwrap_or(end);
        if begun.is_none() || until.saturating_duration_since(handed) >= SHORT {
            let error = error.filter(|_| begun.is_none()).cloned();
            let place = Place {
                span: self.tracer.span_id(),
                ..self.place
            };
            self.tracer
                .finish(self.below("wait for a worker", place, (handed, until), error));
        }
    }

    /// A span below the server's.
    fn below(&self, name: &'static str, place: Place, (start, end): (Instant, Instant), error: Option<String>) -> Span {
        let moment = |at: Instant| self.start.0 + at.saturating_duration_since(self.start.1);
        Span {
            place,
            parent: Some(self.place.span),
            remote_parent: false,
            flags: self.flags,
            state: self
                .parent
                .as_ref()
                .map_or_else(String::new, |parent| parent.state.clone()),
            name: name.into(),
            kind: Kind::Internal,
            start: moment(start),
            end: moment(end),
            attributes: Vec::new(),
            events: Vec::new(),
            error,
        }
    }
}

/// The request's target as it came.
fn target(head: &Parts) -> String {
    let target = match head.uri.scheme() {
        Some(_) if head.version < Version::HTTP_2 => head.uri.to_string(),
        _ => head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
    };
    cut(target.into()).into_owned()
}

/// What describes the request.
fn attributes(connection: &Connection, head: &Parts) -> Vec<Attribute> {
    let mut all = Vec::with_capacity(16);
    let host = crate::request::host(head);
    let (name, port) = match host.parse::<http::uri::Authority>() {
        Ok(authority) => (authority.host().to_owned(), authority.port_u16()),
        Err(_) => (host.to_owned(), None),
    };
    all.push(Attribute::text("server.address", name));
    method(&head.method, &mut all);
    let (scheme, usual) = if connection.secure {
        ("https", 443)
    } else {
        ("http", 80)
    };
    all.push(Attribute::text("url.scheme", scheme));
    if let Some(port) = port.filter(|port| *port != usual) {
        all.push(Attribute::int("server.port", port.into()));
    }
    if let Peer::Tcp(peer) = &connection.peer {
        all.push(Attribute::text(
            "network.peer.address",
            peer.ip().to_canonical().to_string(),
        ));
        all.push(Attribute::int("network.peer.port", peer.port().into()));
    }
    let text = |name| {
        head.headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
    };
    if let Some(agent) = text(header::USER_AGENT) {
        all.push(Attribute::text("user_agent.original", agent.to_owned()));
    }
    let forwarded = text(header::HeaderName::from_static("x-forwarded-for"));
    let forwarded = forwarded.and_then(|list| list.split(',').next()?.trim().parse::<IpAddr>().ok());
    let client = forwarded.map_or_else(|| connection.address.clone(), |address| address.to_string());
    all.push(Attribute::text("client.address", client));
    all.push(Attribute::text("url.path", head.uri.path().to_owned()));
    let version = match head.version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    };
    all.push(Attribute::text("network.protocol.version", version));
    all
}

/// The method; those that nobody knows would make too many kinds of spans.
fn method(method: &Method, all: &mut Vec<Attribute>) {
    const KNOWN: [&str; 9] = [
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
    ];
    let text = method.as_str();
    let known = KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(text));
    all.push(Attribute::text("http.request.method", known.unwrap_or("_OTHER")));
    if known != Some(text) {
        all.push(Attribute::text("http.request.method_original", text.to_owned()));
    }
}
