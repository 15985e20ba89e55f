//! The code of the workers has changed: none that has begun with the old one takes a further request.
//!
//! Unlike [`Core::reset`](super::operate), which never lowers the capacity, this is for development: requests wait for the new workers. If these
//! do not start (a syntax error was saved), what waits fails at once with PHP's words, and each further request tries one start anew.

use super::{
    queue::Request,
    state::{Core, Effect, Id, Member, Reason, Stage, Why},
};
use std::time::Instant;

impl<W: Member, J: Request> Core<W, J> {
    /// Idle workers leave, busy ones after their request, those that are on their way as soon as they come. New ones are started at `from`, all
    /// together: more files may be about to change.
    pub(super) fn renew(&mut self, from: Instant) {
        if self.closing {
            return;
        }
        self.generation += 1;
        self.renewed = true;
        self.failures = 0;
        self.early_deaths = 0;
        self.next_boot = Some(from);
        self.wake = true;
        let indexes: Vec<usize> = self.slots.iter().map(|(index, _)| index).collect();
        for index in indexes {
            self.mark(index, Reason::Reset);
            let slot = &self.slots[index];
            match slot.stage {
                Stage::Booting => {
                    self.slots[index].mark = Some(Reason::Reset);
                    self.depart(index);
                }
                Stage::Serving if slot.busy() => self.let_go(index),
                Stage::Serving if !slot.last => self.dismiss(index),
                Stage::Serving | Stage::Leaving => {}
            }
        }
    }

    /// A worker that is to leave before it has come.
    pub(super) fn is_unwanted(&mut self, id: Id) -> bool {
        self.slot(id).is_none_or(|slot| slot.stage == Stage::Leaving)
    }

    /// Nothing starts with the code as it is now: workers are started for requests only.
    pub(super) fn is_broken(&self) -> bool {
        self.renewed && self.failures > 0 && self.serving == 0 && !self.closing
    }

    /// A start has failed in a broken pool: whoever waits hears why.
    pub(super) fn tell_broken(&mut self) {
        if !self.is_broken() {
            return;
        }
        // The next request decides on the next start.
        self.next_boot = None;
        while let Some(job) = self.queue.pop() {
            let why = Why::BootFailed(self.last_error.clone());
            self.effects.push(Effect::Fail(job, why));
        }
    }
}
