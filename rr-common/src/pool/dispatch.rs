//! Who serves which request: a new one goes to an idle worker or waits, a worker that has finished takes the one that has waited longest.

use super::{
    queue::{Request, Ticket},
    state::{Core, Effect, Member, Reason},
};
use std::time::Instant;

/// A refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Stopped,
}

/// An accepted request.
#[derive(Debug)]
pub(super) enum Submitted<W> {
    /// Write its frame to this worker now.
    Run(W),
    /// Somebody else will.
    Wait(Ticket),
}

/// What a worker that finished something does next.
#[derive(Debug)]
pub(super) enum Next<F> {
    /// Nothing, or what stands in its pipe already.
    Rest,
    /// This request.
    Run(F),
    /// It stops.
    Leave,
    /// It is killed: nobody knows what became of the frame behind its stream.
    Kill,
}

impl<W: Member, J: Request> Core<W, J> {
    /// Takes a request in.
    pub(super) fn submit(&mut self, job: J, now: Instant) -> Result<Submitted<W>, Refused> {
        if self.closing {
            return Err(Refused::Stopped);
        }
        if self
            .rules
            .max_queue
            .is_some_and(|most| self.queue.len() + self.running >= most)
        {
            return Err(Refused::Full);
        }
        let free = self.idle.pop().or_else(|| self.second_place(now));
        if let Some(index) = free
            && let Some(worker) = self.worker(index)
        {
            self.begin(index, job, now);
            return Ok(Submitted::Run(worker));
        }
        let ticket = self.queue.push(job);
        self.remind(now + self.rules.allocate_timeout);
        if self.rules.debug || self.is_broken() {
            self.wake = true;
        } else if let Some(scale) = &self.rules.scale {
            self.remind(now + scale.after);
        }
        Ok(Submitted::Wait(ticket))
    }

    /// A waiting request leaves. Nothing happens if it is running.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<J> {
        self.queue.leave(ticket)
    }

    /// Puts a request into a worker's pipe.
    pub(super) fn begin(&mut self, index: usize, job: J, now: Instant) {
        let slot = &mut self.slots[index];
        if slot.jobs.is_empty() {
            slot.since = now;
        }
        slot.jobs.push_back(job);
        slot.served += 1;
        self.running += 1;
        if slot.limit.is_some_and(|limit| slot.served >= limit) {
            self.mark(index, Reason::Jobs);
        }
        if let Some(ttl) = self.rules.exec_ttl {
            self.remind(now + ttl);
        }
    }

    /// A worker has finished something.
    pub(super) fn free(&mut self, index: usize, now: Instant) -> Next<J::Frame> {
        let slot = &mut self.slots[index];
        slot.since = now;
        let busy = slot.busy();
        if !busy && (self.overdrawn(index) || self.rules.debug && self.slots[index].served > 0) {
            self.let_go(index);
        }
        let closed = self.closing && self.queue.len() == 0;
        if !busy && (self.slots[index].last || closed) {
            self.depart(index);
            return Next::Leave;
        }
        if busy && !self.takes_second(index) {
            return Next::Rest;
        }
        match self.queue.pop() {
            Some(job) => {
                let frame = job.frame();
                self.begin(index, job, now);
                Next::Run(frame)
            }
            None => {
                if !busy {
                    self.idle.push(index);
                    if self.extra > 0
                        && let Some(scale) = &self.rules.scale
                    {
                        self.remind(now + scale.idle);
                    }
                }
                Next::Rest
            }
        }
    }

    /// Finds another worker for a request, before all that wait.
    pub(super) fn place_again(&mut self, job: J, now: Instant) {
        if job.cancelled() {
            return;
        }
        match self.idle.pop().and_then(|index| Some((index, self.worker(index)?))) {
            Some((index, worker)) => {
                self.effects.push(Effect::Send(worker, job.frame()));
                self.begin(index, job, now);
            }
            None => {
                self.remind(job.since() + self.rules.allocate_timeout);
                self.queue.push_again(job);
                self.wake |= self.rules.debug;
            }
        }
    }
}
