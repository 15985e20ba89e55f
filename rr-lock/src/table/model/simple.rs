//! The model: lists that are searched, and a clock that goes step by step.

use super::step::RESOURCES;
use crate::{
    driver::Mode,
    table::{Ticket, Verdict},
};

/// Who waits, in the order of arrival.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) ticket: Ticket,
    pub(super) resource: usize,
    pub(super) id: usize,
    pub(super) mode: Mode,
    pub(super) ttl: u64,
    pub(super) until: u64,
}

/// The model: (resource, id) holds with mode until deadline.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) held: Vec<(usize, usize, Mode, u64)>,
    pub(super) queue: Vec<Queued>,
}

impl Model {
    pub(super) fn has(&self, resource: usize, id: usize) -> bool {
        self.held.iter().any(|held| (held.0, held.1) == (resource, id))
    }

    fn admits(&self, resource: usize, id: usize, mode: Mode) -> bool {
        let others = self.held.iter().filter(|held| held.0 == resource);
        match mode {
            Mode::Read => others.clone().all(|held| held.2 == Mode::Read),
            Mode::Write => others.clone().all(|held| held.1 == id && held.2 == Mode::Read),
        }
    }

    pub(super) fn lock(&mut self, resource: usize, id: usize, mode: Mode, ttl: u64) -> bool {
        let queued = self.queue.iter().any(|queued| queued.resource == resource);
        if !self.admits(resource, id, mode) || (queued && !self.has(resource, id)) {
            return false;
        }
        self.hold(resource, id, mode, ttl);
        true
    }

    fn hold(&mut self, resource: usize, id: usize, mode: Mode, ttl: u64) {
        let mut end = self.now + ttl;
        if let Some(at) = self.held.iter().position(|held| (held.0, held.1) == (resource, id)) {
            let before = self.held.remove(at);
            end = if mode == Mode::Read { end.max(before.3) } else { end };
        }
        self.held.push((resource, id, mode, end));
    }

    /// Grants what can be granted; the tickets.
    pub(super) fn settle(&mut self, resource: usize) -> Vec<Ticket> {
        let mut granted = Vec::new();
        loop {
            let mine: Vec<_> = self
                .queue
                .iter()
                .filter(|queued| queued.resource == resource)
                .cloned()
                .collect();
            let promoted = mine
                .iter()
                .find(|q| q.mode == Mode::Write && self.has(resource, q.id) && self.admits(resource, q.id, q.mode));
            let first = mine.first().filter(|q| self.admits(resource, q.id, q.mode));
            let Some(next) = promoted.or(first) else { return granted };
            self.queue.retain(|queued| queued.ticket != next.ticket);
            self.hold(resource, next.id, next.mode, next.ttl);
            granted.push(next.ticket);
        }
    }

    pub(super) fn drop_all(&mut self, of: impl Fn(&(usize, usize, Mode, u64)) -> bool) -> bool {
        let before = self.held.len();
        self.held.retain(|held| !of(held));
        self.held.len() < before
    }

    /// One microsecond: the ends of locks one by one, what they make possible, then the ends of waits.
    pub(super) fn tick(&mut self) -> Vec<Verdict> {
        self.now += 1;
        let now = self.now;
        let mut verdicts = Vec::new();
        for resource in 0..RESOURCES.len() {
            while let Some(over) = self.held.iter().position(|held| held.0 == resource && held.3 <= now) {
                self.held.remove(over);
                verdicts.extend(self.settle(resource).into_iter().map(|ticket| (ticket, true)));
            }
        }
        while let Some(over) = self.queue.iter().position(|queued| queued.until <= now) {
            let queued = self.queue.remove(over);
            verdicts.push((queued.ticket, false));
            verdicts.extend(self.settle(queued.resource).into_iter().map(|ticket| (ticket, true)));
        }
        let verdict = |(ticket, granted): (Ticket, bool)| Verdict {
            ticket,
            token: granted.then_some(0),
        };
        verdicts.into_iter().map(verdict).collect()
    }
}
