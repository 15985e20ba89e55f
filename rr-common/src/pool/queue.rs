//! The requests that wait for a worker: first come, first served, and any of them may leave.
//!
//! A ticket is a place in the queue; places are numbered without gaps, so a leaving request is found at once and leaves
//! a hole that is skipped later. Requests that have to run again (their worker left without serving them) go first.

use std::{collections::VecDeque, time::Instant};

/// A request in the pool, as far as the decisions need to know it.
pub(super) trait Request {
    /// What a worker is sent.
    type Frame: std::fmt::Debug;
    /// The frame, again each time it is asked for.
    fn frame(&self) -> Self::Frame;
    /// Nobody waits for the answer any more.
    fn cancelled(&self) -> bool;
    /// When it entered the pool.
    fn since(&self) -> Instant;
    /// Counts one more try; false if there were enough.
    fn again(&mut self) -> bool;
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
pub(super) struct Queue<J> {
    again: VecDeque<J>,
    places: VecDeque<Option<J>>,
    /// The ticket of the first place.
    first: u64,
    /// Places that are no holes.
    taken: usize,
}

impl<J: Request> Queue<J> {
    pub(super) fn new() -> Self {
        Self {
            again: VecDeque::new(),
            places: VecDeque::new(),
            first: 0,
            taken: 0,
        }
    }

    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.taken + self.again.len()
    }

    /// At the end.
    pub(super) fn push(&mut self, request: J) -> Ticket {
        self.places.push_back(Some(request));
        self.taken += 1;
        Ticket(self.first + self.places.len() as u64 - 1)
    }

    /// Before all others.
    pub(super) fn push_again(&mut self, request: J) {
        self.again.push_front(request);
    }

    /// The next request that somebody still waits for.
    pub(super) fn pop(&mut self) -> Option<J> {
        while let Some(request) = self.again.pop_front() {
            if !request.cancelled() {
                return Some(request);
            }
        }
        while let Some(place) = self.places.pop_front() {
            self.first += 1;
            if let Some(request) = place {
                self.taken -= 1;
                if !request.cancelled() {
                    return Some(request);
                }
            }
        }
        None
    }

    /// Leaves the queue; nothing happens if the request has been taken already.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<J> {
        let index = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        let request = self.places.get_mut(index)?.take()?;
        self.taken -= 1;
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
        Some(request)
    }

    /// When the longest waiting request entered the pool.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let again = self.again.iter().map(Request::since).min();
        let first = self.places.iter().flatten().next().map(Request::since);
        [again, first].into_iter().flatten().min()
    }

    /// Takes out the first request if it entered at or before `limit`.
    pub(super) fn pop_older(&mut self, limit: Instant) -> Option<J> {
        if let Some(index) = self.again.iter().position(|request| request.since() <= limit) {
            return self.again.remove(index);
        }
        match self.places.front()? {
            Some(request) if request.since() > limit => None,
            _ => {
                let place = self.places.pop_front();
                self.first += 1;
                match place.flatten() {
                    Some(request) => {
                        self.taken -= 1;
                        Some(request)
                    }
                    None => self.pop_older(limit),
                }
            }
        }
    }
}
