//! What is told about one request when it is over: its log line, its place in the metrics, its spans. Middleware that only
//! watches has its part here.
//!
//! An observation begins with the head and ends with the last byte of the answer, or when it is dropped because nobody waits
//! for that any more. Where nobody wants to know, it is empty and costs nothing.

use crate::{
    access_log::Record,
    connection::Connection,
    middleware::{HttpMetrics, Measured, Trace},
};
use http::request::Parts;
use rr_common::telemetry::trace::{Place, Trail};
use rr_otel::Tracer;
use std::{fmt::Display, sync::Arc, time::Instant};

/// One request, as those who watch see it.
#[derive(Debug)]
pub(crate) struct Observation {
    started: Instant,
    status: u16,
    read: u64,
    log: Option<Box<Record>>,
    measured: Option<Measured>,
    trace: Option<Box<Trace>>,
}

/// What the lines about a request that fails say of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// When it came.
    pub(crate) started: Instant,
    /// Where it is in a trace.
    pub(crate) place: Option<Place>,
}

impl Observation {
    /// The head is read.
    pub(crate) fn begin(connection: &Connection, head: &Parts, started: Instant) -> Self {
        Self {
            started,
            status: 0,
            read: 0,
            log: Record::begin(connection, head).map(Box::new),
            measured: None,
            trace: None,
        }
    }

    /// The layer of the metrics begins here.
    pub(crate) fn measure(&mut self, metrics: &Arc<HttpMetrics>) {
        self.measured = Some(Measured::begin(metrics, self.started));
    }

    /// The layer of the traces begins here: the request's headers say from now on where it is in its trace.
    pub(crate) fn trace(&mut self, tracer: &Tracer, connection: &Connection, head: &mut Parts) {
        // Named twice, it is once.
        let started = self.started;
        self.trace
            .get_or_insert_with(|| Box::new(Trace::begin(tracer, connection, head, started)));
    }

    /// What lines about its failure say.
    pub(crate) fn about(&self) -> About {
        About {
            started: self.started,
            place: self.place(),
        }
    }

    /// Where it is in a trace.
    pub(crate) fn place(&self) -> Option<Place> {
        self.trace.as_ref().map(|trace| trace.place())
    }

    /// It goes to the pool; what a traced one takes along.
    pub(crate) fn hand_over(&mut self) -> Option<Arc<Trail>> {
        self.trace.as_mut().map(|trace| trace.hand_over())
    }

    /// Something went wrong.
    pub(crate) fn failed(&mut self, error: impl Display) {
        if let Some(trace) = &mut self.trace {
            trace.failed(error.to_string());
        }
    }

    /// PHP gave a status or we did; an interim one too.
    pub(crate) fn wrote(&mut self, status: u16) {
        if let Some(measured) = &mut self.measured {
            measured.wrote(status);
        }
    }

    /// The request found no free worker in time.
    pub(crate) fn no_free_worker(&self) {
        if let Some(measured) = &self.measured {
            measured.no_free_worker();
        }
    }

    /// The head of the answer is known, and how many bytes the request's body had.
    pub(crate) fn answered(&mut self, status: u16, read: u64) {
        self.status = status;
        self.read = read;
    }

    /// The answer is complete, or will never be.
    pub(crate) fn end(mut self, written: u64) {
        if let Some(log) = &self.log {
            log.write(self.status, self.started.elapsed(), self.read, written, self.place());
        }
        if let Some(trace) = &mut self.trace {
            trace.answered(self.status, self.read, written);
        }
    }
}
