//! What operators ask of the pool: reset, and the end.

use super::{
    queue::Request,
    state::{Core, Effect, Member, Reason, Slot, Stage, Why},
};
use std::time::Instant;

impl<W: Member, J: Request> Core<W, J> {
    /// Begins to replace every worker.
    pub(super) fn reset(&mut self) {
        self.generation += 1;
        let indexes: Vec<usize> = self.slots.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.mark(index, Reason::Reset);
        }
        self.wake = true;
    }

    /// Workers of an older generation that still take requests.
    pub(super) fn outdated(&self) -> usize {
        let old = |slot: &Slot<W, J>| slot.generation < self.generation;
        self.slots
            .iter()
            .filter(|(_, slot)| old(slot) && slot.stage == Stage::Serving)
            .count()
    }

    /// Takes no new requests; workers leave as they become free.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.wake = true;
        if self.queue.len() == 0 {
            for index in std::mem::take(&mut self.idle) {
                self.dismiss(index);
            }
        }
    }

    /// The stop's deadline: nothing is waited for any more.
    pub(super) fn abandon(&mut self, now: Instant) {
        while let Some(job) = self.queue.pop() {
            self.effects.push(Effect::Fail(job, Why::Stopped));
        }
        let indexes: Vec<usize> = self.slots.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.kill(index, Why::Stopped, now);
        }
    }
}
