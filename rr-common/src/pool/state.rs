//! Who serves which request: the pool's decisions as plain data, without process, clock or lock.
//!
//! A worker has a slot from the moment it is wanted until its process is gone: `Booting`, `Serving`, `Leaving`. A
//! serving worker is idle (on a stack, the last used on top) or busy. A worker that reached a limit is *marked*: it
//! serves on until the worker that replaces it is ready. A worker that is on its *last* request leaves after it.
//!
//! Events come from three sides: requests (here), the worker's reader ([`super::exchange`]) and the attendant of its
//! process ([`super::boot`]). What has to be done about them is returned, or gathered in `effects` where it is rare. How
//! many workers there should be is decided in [`super::plan`], who gets a frame ahead of time in [`super::ahead`].

use super::{
    ahead::SHORT,
    queue::{Queue, Request, Ticket},
    rules::Rules,
};
use slab::Slab;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// A worker as far as the decisions need to know it.
pub(super) trait Member: Clone {
    fn pid(&self) -> u32;
}

/// Names one worker for ever: slots are used again, serial numbers are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id {
    pub(super) slot: usize,
    pub(super) serial: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Booting,
    Serving,
    Leaving,
}

/// Why a worker is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Jobs,
    Ttl,
    Idle,
    Memory,
    Reset,
}

/// Why a request gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    NoWorkers(String),
    BootFailed(String),
    ExecTtl,
    Stopped,
}

/// What is to be done besides what a method returns.
#[derive(Debug)]
pub(super) enum Effect<W, J: Request> {
    /// Send the stop command.
    Stop(W),
    /// Kill.
    Kill(W),
    /// Write a frame.
    Send(W, J::Frame),
    /// Answer a request with an error.
    Fail(J, Why),
    /// Log that a worker will be replaced.
    Marked(W, Reason),
    /// Log that a request ran too long; its worker is killed by another effect.
    Overdue(W),
}

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

#[derive(Debug)]
pub(super) struct Slot<W, J: Request> {
    pub(super) serial: u64,
    pub(super) stage: Stage,
    pub(super) worker: Option<W>,
    /// Requests in the worker's pipe, the running one first.
    pub(super) jobs: VecDeque<J>,
    /// The running request has begun to stream its answer and is in `jobs` no more.
    pub(super) streaming: bool,
    /// The stream waits for its reader: the worker's clock stands.
    pub(super) paused: bool,
    /// It asked to be replaced while requests were in its pipe.
    pub(super) asked: bool,
    /// Since when it runs what it runs, or is idle.
    pub(super) since: Instant,
    pub(super) created: Instant,
    /// Requests given to it.
    pub(super) served: u64,
    pub(super) limit: Option<u64>,
    pub(super) generation: u32,
    pub(super) mark: Option<Reason>,
    /// It leaves as soon as it is free.
    pub(super) last: bool,
    pub(super) killed: Option<Why>,
    /// It ended by itself, or was ended because it broke the protocol.
    pub(super) broken: bool,
    /// What it was working on when it was lost or killed.
    pub(super) last_frame: Option<J::Frame>,
}

impl<W, J: Request> Slot<W, J> {
    pub(super) fn busy(&self) -> bool {
        self.streaming || !self.jobs.is_empty()
    }

    /// It serves and will go on doing so.
    pub(super) fn stays(&self) -> bool {
        self.stage == Stage::Serving && !self.last
    }
}

#[derive(Debug)]
pub(super) struct Core<W, J: Request> {
    pub(super) rules: Rules,
    pub(super) slots: Slab<Slot<W, J>>,
    pub(super) serials: u64,
    /// Idle workers, the last used at the end.
    pub(super) idle: Vec<usize>,
    pub(super) queue: Queue<J>,
    /// Requests that workers have.
    pub(super) running: usize,
    /// Serving workers that are not on their last request.
    pub(super) serving: usize,
    pub(super) booting: usize,
    /// Workers wanted, and those added on top while requests wait.
    pub(super) base: usize,
    pub(super) extra: usize,
    pub(super) generation: u32,
    /// Workers are renewed as files change: this is a developer's machine.
    pub(super) renewed: bool,
    pub(super) closing: bool,
    /// Boots that failed in a row.
    pub(super) failures: u32,
    /// Workers that died at once since the last answer.
    pub(super) early_deaths: u32,
    /// Boots that failed in all.
    pub(super) failed_boots: u64,
    pub(super) last_error: String,
    pub(super) next_boot: Option<Instant>,
    pub(super) next_step: Option<Instant>,
    pub(super) next_tick: Option<Instant>,
    /// When the keeper wakes up by itself.
    pub(super) alarm: Option<Instant>,
    /// The keeper must look now.
    pub(super) wake: bool,
    pub(super) effects: Vec<Effect<W, J>>,
    pub(super) depth: usize,
    pub(super) average: Duration,
    pub(super) random: u64,
}

impl<W: Member, J: Request> Core<W, J> {
    pub(super) fn new(rules: Rules, random: u64) -> Self {
        Self {
            slots: Slab::new(),
            serials: 0,
            idle: Vec::new(),
            queue: Queue::new(),
            running: 0,
            serving: 0,
            booting: 0,
            base: rules.workers,
            extra: 0,
            generation: 0,
            renewed: false,
            closing: false,
            failures: 0,
            early_deaths: 0,
            failed_boots: 0,
            last_error: String::new(),
            next_boot: None,
            next_step: None,
            next_tick: None,
            alarm: None,
            wake: true,
            effects: Vec::new(),
            depth: rules.depth,
            average: SHORT,
            random,
            rules,
        }
    }

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

    /// The slot, if it is still the same worker's.
    pub(super) fn slot(&mut self, id: Id) -> Option<&mut Slot<W, J>> {
        self.slots.get_mut(id.slot).filter(|slot| slot.serial == id.serial)
    }

    pub(super) fn worker(&self, index: usize) -> Option<W> {
        self.slots.get(index)?.worker.clone()
    }

    /// Wakes the keeper at this time at the latest.
    pub(super) fn remind(&mut self, at: Instant) {
        if self.alarm.is_none_or(|alarm| at < alarm) {
            self.alarm = Some(at);
            self.wake = true;
        }
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

    /// Kills a worker whose request ran too long.
    pub(super) fn kill(&mut self, index: usize, why: Why, now: Instant) {
        let slot = &mut self.slots[index];
        slot.killed = Some(why.clone());
        slot.last_frame = slot.jobs.front().map(J::frame);
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

    /// The worker went far beyond its limit of requests because its replacement does not start. One that should serve
    /// a single request never serves a second.
    fn overdrawn(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        slot.limit.is_some_and(|limit| limit == 1 && slot.served >= 1)
            || self.serving > 1 && slot.limit.is_some_and(|limit| slot.served >= limit.saturating_mul(2))
    }
}
