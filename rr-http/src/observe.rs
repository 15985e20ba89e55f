//! What is told about one request when it is over: its log line, its place in the metrics. Middleware that only watches has
//! its part here.
//!
//! An observation begins with the head and ends with the last byte of the answer, or when it is dropped because nobody waits
//! for that any more. Where nobody wants to know, it is empty and costs nothing.

use crate::{
    access_log::Record,
    connection::Connection,
    middleware::{HttpMetrics, Measured},
};
use http::request::Parts;
use std::{sync::Arc, time::Instant};

/// One request, as those who watch see it.
#[derive(Debug)]
pub(crate) struct Observation {
    started: Instant,
    status: u16,
    read: u64,
    log: Option<Box<Record>>,
    measured: Option<Measured>,
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
        }
    }

    /// The layer of the metrics begins here.
    pub(crate) fn measure(&mut self, metrics: &Arc<HttpMetrics>) {
        self.measured = Some(Measured::begin(metrics, self.started));
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
    pub(crate) fn end(self, written: u64) {
        if let Some(log) = &self.log {
            log.write(self.status, self.started.elapsed(), self.read, written);
        }
    }
}
