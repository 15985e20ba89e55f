//! One resource: who holds it, who waits for it, and who may have it now.

use super::Ticket;
use crate::driver::{Mode, Token};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// One resource. It has a holder, or it is not in the table.
#[derive(Debug, Default)]
pub(super) struct Resource {
    pub(super) written: bool,
    /// By id.
    pub(super) holders: HashMap<Arc<str>, Holder>,
    /// In the order of arrival.
    pub(super) queue: BTreeMap<Ticket, Waiter>,
}

#[derive(Debug)]
pub(super) struct Holder {
    pub(super) token: Token,
    pub(super) deadline: u64,
}

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) id: Arc<str>,
    pub(super) mode: Mode,
    pub(super) ttl: u64,
    pub(super) until: u64,
}

impl Resource {
    /// Whether the id may have the lock now, apart from those who wait.
    pub(super) fn admits(&self, id: &str, mode: Mode) -> bool {
        match mode {
            Mode::Read => !self.written,
            Mode::Write => self.holders.is_empty() || self.promotes(id),
        }
    }

    /// Whether the id is the only reader.
    pub(super) fn promotes(&self, id: &str) -> bool {
        !self.written && self.holders.len() == 1 && self.holders.contains_key(id)
    }

    /// Whether the id would wait for itself if it had to queue.
    pub(super) fn overtakes(&self, id: &str, mode: Mode) -> bool {
        match mode {
            Mode::Read => self.holders.contains_key(id),
            Mode::Write => self.promotes(id),
        }
    }
}
