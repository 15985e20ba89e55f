//! Calls that wait for a plugin which is not there, or is being replaced, in the order in which they arrived at the gateway. Those that
//! a process gives back take the place that they had.

use super::caller::Caller;
use rr_common::rpc::wire::{self, Message};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The longest that a call waits for its plugin.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Calls, and their bytes, that wait for one plugin.
const MOST: usize = 1024;
const MOST_BYTES: usize = wire::MAX_FRAME;

/// A call that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) caller: Caller,
    pub(super) frame: Vec<u8>,
    pub(super) message: Message,
    /// It waits no longer, unless its plugin is being replaced.
    pub(super) until: Instant,
}

/// All calls that wait for one plugin.
#[derive(Debug, Default)]
pub(super) struct Queue {
    calls: BTreeMap<u64, Waiting>,
    bytes: usize,
}

impl Queue {
    /// Adds a call.
    pub(super) fn add(&mut self, arrival: u64, waiting: Waiting) {
        self.bytes += waiting.frame.len();
        self.calls.insert(arrival, waiting);
    }

    /// Whether a call with so many bytes has room.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.calls.len() < MOST && self.bytes + bytes <= MOST_BYTES
    }

    /// Whether clients should wait before they add to it. Before there is no room at all: one more frame of any length then has.
    pub(super) fn is_filled(&self) -> bool {
        self.calls.len() >= MOST || self.bytes >= MOST_BYTES / 2
    }

    /// How long the first one waits.
    pub(super) fn first_until(&self) -> Option<Instant> {
        self.calls.first_key_value().map(|(_, waiting)| waiting.until)
    }

    /// Takes the first one out if it has waited for long enough.
    pub(super) fn take_first_if(&mut self, enough: impl FnOnce(&Waiting) -> bool) -> Option<Waiting> {
        let first = self.calls.first_entry()?;
        if !enough(first.get()) {
            return None;
        }
        let waiting = first.remove();
        self.bytes -= waiting.frame.len();
        Some(waiting)
    }

    /// Takes all of them out.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = (u64, Waiting)> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.calls).into_iter()
    }

    /// All of them.
    pub(super) fn calls(&self) -> impl Iterator<Item = (u64, &Waiting)> {
        self.calls.iter().map(|(arrival, waiting)| (*arrival, waiting))
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }
}
