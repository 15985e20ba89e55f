//! What a worker's reader reports: answers, streams, the wish to leave, the end.

use super::{
    dispatch::Next,
    queue::Request,
    state::{Core, Id, Member, Stage, Why},
};
use std::time::{Duration, Instant};

/// A worker younger than this that dies without having served anything counts as one that failed to start.
const EARLY_DEATH: Duration = Duration::from_secs(1);

/// What is known about the requests in the pipe of a worker that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The first was being worked on.
    Running,
    /// The last was never read.
    Unread,
    /// Any may have been run.
    Unclear,
}

/// The requests of a worker that was lost.
#[derive(Debug)]
pub(super) struct Lost<J> {
    /// They get an error.
    pub(super) failed: Vec<J>,
    /// The worker was killed for this reason.
    pub(super) why: Option<Why>,
    /// It was told to leave before.
    pub(super) expected: bool,
}

impl<W: Member, J: Request> Core<W, J> {
    /// The whole answer to the first request in the pipe has come; `None` if there is none. `leaves`: the worker has
    /// asked to be replaced right behind it.
    pub(super) fn answered(&mut self, id: Id, leaves: bool, now: Instant) -> Option<(J, Next<J::Frame>)> {
        let slot = self.slot(id)?;
        let job = slot.jobs.pop_front()?;
        let took = now.saturating_duration_since(slot.since);
        if leaves {
            self.let_go(id.slot);
        }
        self.running -= 1;
        self.average = (self.average * 7 + took) / 8;
        self.early_deaths = 0;
        Some((job, self.free(id.slot, now)))
    }

    /// The first frame of a streamed answer: the request leaves the pipe, the worker stays busy. From now on no worker
    /// gets a frame ahead of time: PHP code that streams reads its pipe meanwhile and would lose the frame.
    pub(super) fn stream_begins(&mut self, id: Id, now: Instant) -> Option<J> {
        let slot = self.slot(id)?;
        let job = slot.jobs.pop_front()?;
        slot.streaming = true;
        slot.since = now;
        self.depth = 1;
        Some(job)
    }

    /// A frame of a stream was taken; the clock of the next one starts.
    pub(super) fn stream_goes_on(&mut self, id: Id, now: Instant) {
        if let Some(slot) = self.slot(id) {
            slot.since = now;
            slot.paused = false;
            if let Some(ttl) = self.rules.exec_ttl {
                self.remind(now + ttl);
            }
        }
    }

    /// A frame of a stream waits for its reader, which is not the worker's fault.
    pub(super) fn stream_waits(&mut self, id: Id) {
        if let Some(slot) = self.slot(id) {
            slot.paused = true;
        }
    }

    /// The last frame of a stream has come.
    pub(super) fn stream_ended(&mut self, id: Id, now: Instant) -> Next<J::Frame> {
        let Some(slot) = self.slot(id) else {
            return Next::Rest;
        };
        slot.streaming = false;
        slot.paused = false;
        let behind = !slot.jobs.is_empty();
        self.running -= 1;
        self.early_deaths = 0;
        if behind {
            self.let_go(id.slot);
            if let Some(slot) = self.slot(id) {
                slot.asked = true;
            }
            return Next::Kill;
        }
        self.free(id.slot, now)
    }

    /// The worker asks to be replaced. An idle one leaves. If requests stand in its pipe it may still answer them; those
    /// it has not answered when it is gone were not run and go to others. Answers how many there are.
    pub(super) fn asked_to_leave(&mut self, id: Id) -> usize {
        let Some(slot) = self.slot(id) else {
            return 0;
        };
        slot.asked = true;
        let jobs = slot.jobs.len();
        if slot.busy() {
            self.let_go(id.slot);
        } else {
            self.depart(id.slot);
        }
        jobs
    }

    /// The worker is dead or has broken the protocol. Requests that it has certainly not begun go to others.
    pub(super) fn lost(&mut self, id: Id, fate: Fate, now: Instant) -> Lost<J> {
        let Some(slot) = self.slot(id) else {
            let (failed, why, expected) = (Vec::new(), None, true);
            return Lost { failed, why, expected };
        };
        let expected = slot.last || slot.stage == Stage::Leaving;
        let early = slot.served == 0 && now.saturating_duration_since(slot.created) < EARLY_DEATH;
        let current = slot.current().map(J::frame);
        let jobs = std::mem::take(&mut slot.jobs);
        // A second call finds what the first one has left: nothing, of a worker that leaves.
        if slot.killed.is_none() && (!expected || !jobs.is_empty() || slot.streaming) {
            slot.broken = true;
            slot.last_frame = current;
        }
        let harmless = slot.asked || (fate == Fate::Unread && jobs.len() == 1);
        let why = slot.killed.clone();
        self.running -= jobs.len() + usize::from(std::mem::take(&mut slot.streaming));
        self.depart(id.slot);
        if early && !expected {
            self.early_deaths += 1;
            self.back_off(now);
        }
        let mut failed = Vec::new();
        for (place, mut job) in jobs.into_iter().enumerate() {
            if fate != Fate::Unclear && (place > 0 || harmless) && job.again() {
                self.place_again(job, now);
            } else {
                failed.push(job);
            }
        }
        Lost { failed, why, expected }
    }
}
