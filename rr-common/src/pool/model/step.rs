//! What can happen in the world, one step after the other, and how it comes to rest when all goes well.

use super::world::{Hand, Job, Process, World};
use crate::pool::{
    dispatch::{Refused, Submitted},
    exchange::Fate,
    state::Id,
};
use std::{rc::Rc, time::Duration};

#[derive(Clone, Copy, Debug)]
pub(in crate::pool) enum Step {
    Submit,
    ClientGoes(usize),
    BootSucceeds(usize),
    BootFails(usize),
    Answer(usize),
    AnswerAndAsk(usize),
    Ask(usize),
    StreamBegins(usize),
    StreamEnds(usize),
    Dies(usize, bool),
    Exits(usize),
    Time(u64),
    Memory(u64),
    Reset,
    /// With this many milliseconds before new workers start.
    Renew(u64),
    Add,
    Remove,
}

impl World {
    pub(in crate::pool) fn step(&mut self, step: Step) {
        match step {
            Step::Submit => drop(self.submit()),
            Step::ClientGoes(n) => {
                let open: Vec<u64> = (0..self.submitted)
                    .filter(|number| !self.ledger.borrow().resolved.contains_key(number))
                    .collect();
                if !open.is_empty() {
                    let number = open[n % open.len()];
                    self.ledger.borrow_mut().gone.insert(number, ());
                    if let Some(ticket) = self.tickets.remove(&number) {
                        drop(self.core.cancel(ticket));
                    }
                }
            }
            Step::BootSucceeds(n) if !self.booting.is_empty() => {
                let id = self.booting.swap_remove(n % self.booting.len());
                let next = self.core.ready(id, Hand(id), self.now);
                self.process(id);
                self.go_on(id, next);
            }
            Step::BootFails(n) if !self.booting.is_empty() => {
                let id = self.booting.swap_remove(n % self.booting.len());
                self.core.boot_failed(id, "no", self.now);
            }
            Step::Answer(n) | Step::AnswerAndAsk(n) => {
                if let Some(id) = self.pick(n, |process| process.streaming.is_none() && !process.pipe.is_empty()) {
                    self.answer(id, matches!(step, Step::AnswerAndAsk(_)));
                }
            }
            Step::Ask(n) => {
                if let Some(id) = self.pick(n, |process| process.streaming.is_none() && process.pipe.len() < 2) {
                    self.core.asked_to_leave(id);
                    self.process(id).told = true;
                }
            }
            Step::StreamBegins(n) => {
                if let Some(id) = self.pick(n, |process| process.streaming.is_none() && !process.pipe.is_empty()) {
                    let frame = self.process(id).pipe.pop_front();
                    let job = self.core.stream_begins(id, self.now).expect("a request to stream to");
                    assert_eq!(Some(job.number), frame);
                    self.process(id).streaming = frame;
                    self.resolve(job.number, "stream");
                }
            }
            Step::StreamEnds(n) => {
                if let Some(id) = self.pick(n, |process| process.streaming.is_some()) {
                    self.process(id).streaming = None;
                    let next = self.core.stream_ended(id, self.now);
                    self.go_on(id, next);
                }
            }
            Step::Dies(n, unread) => {
                if let Some(id) = self.pick(n, |_| true) {
                    self.die(id, unread);
                }
            }
            Step::Exits(n) => drop(self.exits(n)),
            Step::Time(ms) => self.now += Duration::from_millis(ms),
            Step::Memory(bytes) => self.core.check_limits(self.now, |_| bytes),
            Step::Reset => self.core.reset(),
            Step::Renew(hold) => self.core.renew(self.now + Duration::from_millis(hold)),
            Step::Add if self.core.base < 6 => {
                self.core.base += 1;
                self.core.wake = true;
            }
            Step::Remove if self.core.base > 1 => {
                self.core.base -= 1;
                self.core.wake = true;
            }
            _ => {}
        }
        self.settle();
    }

    fn submit(&mut self) -> Result<u64, Refused> {
        let number = self.submitted;
        self.submitted += 1;
        let ledger = Rc::clone(&self.ledger);
        let job = Job {
            number,
            since: self.now,
            tries: 0,
            ledger,
        };
        match self.core.submit(job, self.now) {
            Ok(Submitted::Run(hand)) => self.write(hand.0, number),
            Ok(Submitted::Wait(ticket)) => drop(self.tickets.insert(number, ticket)),
            Err(refused) => {
                self.resolve(number, "refused");
                return Err(refused);
            }
        }
        Ok(number)
    }

    fn answer(&mut self, id: Id, asks: bool) {
        let frame = self.process(id).pipe.pop_front();
        let Some((job, next)) = self.core.answered(id, asks, self.now) else {
            panic!("an answer to {frame:?} that the pool does not know");
        };
        assert_eq!(Some(job.number), frame, "the answer goes to another request");
        if asks {
            self.core.asked_to_leave(id);
            self.process(id).told = true;
        }
        self.go_on(id, next);
        self.resolve(job.number, "answer");
    }

    fn die(&mut self, id: Id, unread: bool) {
        let process = self.process(id);
        process.dead = true;
        process.streaming = None;
        process.pipe.clear();
        let fate = if unread { Fate::Unread } else { Fate::Running };
        let lost = self.core.lost(id, fate, self.now);
        for job in lost.failed {
            self.resolve(job.number, "error");
        }
    }

    /// A dead process, or one that was told to go and has answered everything, disappears.
    pub(super) fn exits(&mut self, n: usize) -> bool {
        let ended = |process: &Process| process.dead || (process.told && process.streaming.is_none());
        let fitting: Vec<Id> = self
            .processes
            .values()
            .filter(|(_, process)| ended(process))
            .map(|(id, _)| *id)
            .collect();
        if fitting.is_empty() {
            return false;
        }
        let id = fitting[n % fitting.len()];
        self.die(id, false);
        let gone = self.core.exited(id).unwrap();
        self.causes.push((gone.cause, gone.last_frame));
        self.processes.remove(&id.serial);
        self.settle();
        true
    }

    /// From now on all goes well; the pool must come to rest with every request resolved.
    pub(in crate::pool) fn calm_down(&mut self) {
        for _ in 0..10_000 {
            self.now += Duration::from_millis(20);
            self.settle();
            if !self.booting.is_empty() {
                self.step(Step::BootSucceeds(0));
            } else if self.exits(0) {
            } else if self.pick(0, |process| process.streaming.is_some()).is_some() {
                self.step(Step::StreamEnds(0));
            } else if self.pick(0, |process| !process.pipe.is_empty()).is_some() {
                self.step(Step::Answer(0));
            } else if self.core.queue.len() == 0 && self.core.idle.len() == self.core.target() {
                break;
            }
        }
        let core = &self.core;
        assert_eq!(core.queue.len(), 0, "requests still wait");
        assert_eq!(core.running, 0, "requests still run");
        assert_eq!(core.idle.len(), core.target(), "not all workers are idle");
        assert_eq!(core.slots.len(), core.target(), "slots are left over");
        self.check_resolved();
    }
}
