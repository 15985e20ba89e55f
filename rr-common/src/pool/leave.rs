//! How a worker takes its leave: marked, on its last request, leaving. Or killed, with what becomes of the requests in its pipe.

use super::{
    queue::Request,
    state::{Core, Effect, Member, Reason, Stage, Why},
};
use std::time::Instant;

impl<W: Member, J: Request> Core<W, J> {
    /// Marks a worker: it is to be replaced, and serves on until then.
    pub(super) fn mark(&mut self, index: usize, reason: Reason) {
        let slot = &mut self.slots[index];
        if slot.mark.is_none() && slot.stays() {
            slot.mark = Some(reason);
            self.wake = true;
            if let Some(worker) = slot.worker.clone() {
                self.effects.push(Effect::Marked(worker, reason));
            }
        }
    }

    /// The worker leaves as soon as it is free; it no longer counts as serving.
    pub(super) fn let_go(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if slot.stays() {
            slot.last = true;
            self.serving -= 1;
            self.wake = true;
        }
    }

    /// The worker takes no more requests.
    pub(super) fn depart(&mut self, index: usize) {
        self.let_go(index);
        let slot = &mut self.slots[index];
        if slot.stage == Stage::Booting {
            self.booting -= 1;
        }
        slot.stage = Stage::Leaving;
        slot.last = true;
        self.wake = true;
        self.idle.retain(|&idle| idle != index);
    }

    /// An idle worker leaves.
    pub(super) fn dismiss(&mut self, index: usize) {
        let worker = self.worker(index);
        self.depart(index);
        self.effects.extend(worker.map(Effect::Stop));
    }

    /// Kills a worker whose request ran too long.
    pub(super) fn kill(&mut self, index: usize, why: Why, now: Instant) {
        let slot = &mut self.slots[index];
        slot.killed = Some(why.clone());
        slot.last_frame = slot.current().map(J::frame);
        let worker = slot.worker.clone();
        let jobs = std::mem::take(&mut slot.jobs);
        let streaming = slot.streaming;
        self.running -= jobs.len();
        self.depart(index);
        for (place, mut job) in jobs.into_iter().enumerate() {
            if (place > 0 || streaming) && why == Why::ExecTtl && job.again() {
                self.place_again(job, now);
            } else {
                self.effects.push(Effect::Fail(job, why.clone()));
            }
        }
        self.effects.extend(worker.map(Effect::Kill));
    }

    /// The worker went far beyond its limit of requests because its replacement does not start. One that should serve
    /// a single request never serves a second.
    pub(super) fn overdrawn(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        slot.limit.is_some_and(|limit| limit == 1 && slot.served >= 1)
            || self.serving > 1 && slot.limit.is_some_and(|limit| slot.served >= limit.saturating_mul(2))
    }
}
