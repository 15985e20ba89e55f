//! The form of the answers, which is the reference's to the letter.

use super::{check::Failure, is_listed};
use crate::messages::jobs::Stat;
use serde::Serialize;

/// What the reference says of any failure.
const SEE_LOGS: &str = "internal server error, see logs";

/// One plugin in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    plugin_name: String,
    error_message: String,
    pub(super) status_code: u16,
}

impl Entry {
    pub(super) fn new(name: &str, result: Result<(), Failure>, unavailable: u16) -> Self {
        let (error_message, status_code) = match result {
            Ok(()) => (String::new(), 200),
            Err(_) if is_listed(name) => (SEE_LOGS.to_owned(), unavailable),
            // The reference reports no such plugin, so nobody expects that text of it.
            Err(Failure(reason)) => (reason, unavailable),
        };
        Self {
            plugin_name: name.to_owned(),
            error_message,
            status_code,
        }
    }
}

/// One pipeline in an answer.
#[derive(Debug, Serialize)]
pub(super) struct Pipeline {
    pipeline: String,
    priority: u64,
    ready: bool,
    queue: String,
    active: i64,
    delayed: i64,
    reserved: i64,
    driver: String,
    error_message: String,
}

impl From<Stat> for Pipeline {
    fn from(stat: Stat) -> Self {
        Self {
            pipeline: stat.pipeline,
            priority: stat.priority,
            ready: stat.ready,
            queue: stat.queue,
            active: stat.active,
            delayed: stat.delayed,
            reserved: stat.reserved,
            driver: stat.driver,
            error_message: String::new(),
        }
    }
}
