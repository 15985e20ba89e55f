//! The pool's decisions as plain data, without process, clock or lock: what is known of each worker and of the pool.
//!
//! A worker has a slot from the moment it is wanted until its process is gone: `Booting`, `Serving`, `Leaving`. A
//! serving worker is idle (on a stack, the last used on top) or busy. A worker that reached a limit is *marked*: it
//! serves on until the worker that replaces it is ready. A worker that is on its *last* request leaves after it
//! ([`super::leave`]).
//!
//! Events come from three sides: requests ([`super::dispatch`]), the worker's reader ([`super::exchange`]) and the attendant of its
//! process ([`super::boot`]). What has to be done about them is returned, or gathered in `effects` where it is rare. How
//! many workers there should be is decided in [`super::plan`], who gets a frame ahead of time in [`super::ahead`].

use super::{
    ahead::SHORT,
    queue::{Queue, Request},
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

    /// The request that it works on, as far as that is known: of a stream nothing is kept, and what stands behind it has not begun.
    pub(super) fn current(&self) -> Option<&J> {
        self.jobs.front().filter(|_| !self.streaming)
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
}
