//! The second frame in a worker's pipe (`pool.pipeline: 2`): PHP finds its next request without waiting for us.
//!
//! Only when all workers are busy, requests are short, and the worker is near none of its limits; never again once
//! something was streamed.

use super::{
    queue::Request,
    state::{Core, Member},
};
use std::time::{Duration, Instant};

/// Requests of this length or shorter may have another frame in the pipe behind them.
pub(super) const SHORT: Duration = Duration::from_millis(5);

impl<W: Member, J: Request> Core<W, J> {
    /// A busy worker that may have another frame behind the one it works on.
    pub(super) fn takes_second(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        self.depth > 1
            && slot.stays()
            && !slot.streaming
            && !self.closing
            && slot.jobs.len() == 1
            && slot.mark.is_none()
            && slot.limit.is_none_or(|limit| slot.served + 1 < limit)
            && self.average < SHORT
    }

    /// The worker that will probably be free first, if all are busy and requests are short. One that already took much
    /// longer than usual is left alone: nothing behind it could be overtaken.
    pub(super) fn second_place(&self, now: Instant) -> Option<usize> {
        if self.depth < 2 || self.queue.len() > 0 {
            return None;
        }
        let usual = (self.average * 4).max(Duration::from_millis(1));
        self.slots
            .iter()
            .filter(|(index, slot)| self.takes_second(*index) && now.saturating_duration_since(slot.since) < usual)
            .min_by_key(|(_, slot)| slot.since)
            .map(|(index, _)| index)
    }
}
