//! What is told about one request when it is over: its log line. Middleware that only watches has its part here.
//!
//! An observation begins with the head and ends with the last byte of the answer. There is none when nobody wants to
//! know, and then a request pays nothing for it.

use crate::{access_log::Record, connection::Connection};
use http::request::Parts;
use std::time::Instant;

/// One request, as those who watch see it.
#[derive(Debug)]
pub(crate) struct Observation {
    started: Instant,
    status: u16,
    read: u64,
    log: Option<Record>,
}

impl Observation {
    /// The head is read; `None` if nobody watches.
    pub(crate) fn begin(connection: &Connection, head: &Parts, started: Instant) -> Option<Box<Self>> {
        let log = Record::begin(connection, head);
        log.is_some().then(|| {
            Box::new(Self {
                started,
                status: 0,
                read: 0,
                log,
            })
        })
    }

    /// The head of the answer is known, and how many bytes the request's body had.
    pub(crate) fn answered(&mut self, status: u16, read: u64) {
        self.status = status;
        self.read = read;
    }

    /// The answer is complete, or will never be.
    pub(crate) fn end(self: Box<Self>, written: u64) {
        if let Some(log) = &self.log {
            log.write(self.status, self.started.elapsed(), self.read, written);
        }
    }
}
