//! What the attendant of a worker's process reports: it has started, it has not, it is gone. And how fast failed starts
//! are tried again.

use super::{
    deaths::{Cause, Gone},
    dispatch::Next,
    queue::Request,
    state::{Core, Effect, Id, Member, Reason, Slot, Stage, Why},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

impl<W: Member, J: Request> Core<W, J> {
    /// Wants one more worker.
    pub(super) fn add_slot(&mut self, now: Instant) -> Id {
        self.serials += 1;
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let slot = self.slots.insert(Slot {
            serial: self.serials,
            stage: Stage::Booting,
            worker: None,
            jobs: VecDeque::new(),
            streaming: false,
            paused: false,
            asked: false,
            since: now,
            created: now,
            served: 0,
            limit: self.rules.jobs_limit(self.random >> 33),
            generation: self.generation,
            mark: None,
            last: false,
            killed: None,
            broken: false,
            last_frame: None,
        });
        self.booting += 1;
        let serial = self.serials;
        Id { slot, serial }
    }

    /// A worker has started; what it does first.
    pub(super) fn ready(&mut self, id: Id, worker: W, now: Instant) -> Next<J::Frame> {
        let generation = self.generation;
        let Some(slot) = self.slot(id) else {
            return Next::Leave;
        };
        slot.worker = Some(worker);
        if slot.stage == Stage::Leaving {
            // It is out of date, or the pool is at its end.
            return Next::Leave;
        }
        slot.stage = Stage::Serving;
        slot.created = now;
        slot.mark = (slot.generation != generation).then_some(Reason::Reset);
        self.booting -= 1;
        self.serving += 1;
        self.wake = true;
        self.failures = 0;
        self.next_boot = None;
        self.free(id.slot, now)
    }

    /// A worker did not start.
    pub(super) fn boot_failed(&mut self, id: Id, text: &str, now: Instant) {
        let Some(stage) = self.slot(id).map(|slot| slot.stage) else {
            return;
        };
        self.slots.remove(id.slot);
        if stage == Stage::Leaving {
            return;
        }
        self.booting -= 1;
        self.failed_boots += 1;
        self.failures += 1;
        self.last_error = text.to_owned();
        self.back_off(now);
        self.tell_broken();
        if self.rules.debug
            && !self.closing
            && let Some(job) = self.queue.pop()
        {
            self.effects.push(Effect::Fail(job, Why::BootFailed(text.to_owned())));
        }
    }

    /// A worker's process is gone, and its reader too. Says why.
    pub(super) fn exited(&mut self, id: Id) -> Option<Gone<J::Frame>> {
        self.slot(id)?;
        self.depart(id.slot);
        let slot = self.slots.remove(id.slot);
        let cause = match (&slot.killed, slot.mark) {
            (Some(Why::ExecTtl), _) => Cause::ExecTtl,
            (Some(_), _) => Cause::Stop,
            (None, _) if slot.broken => Cause::Crash,
            (None, _) if self.closing => Cause::Stop,
            (None, Some(reason)) => reason.into(),
            (None, None) if slot.asked => Cause::Asked,
            (None, None) if self.rules.debug => Cause::Debug,
            (None, None) => Cause::Fewer,
        };
        Some(Gone {
            cause,
            served: slot.served,
            last_frame: slot.last_frame,
        })
    }

    /// Starts that went wrong in a row.
    pub(super) fn troubles(&self) -> u32 {
        self.failures + self.early_deaths
    }

    /// The first retry comes at once, the next after 100 ms, doubling to 1 s.
    pub(super) fn back_off(&mut self, now: Instant) {
        let wait = match self.troubles() {
            0 | 1 => Duration::ZERO,
            n => Duration::from_millis(100 << (n - 2).min(4)).min(Duration::from_secs(1)),
        };
        self.next_boot = Some(now + wait);
        self.wake = true;
    }
}
