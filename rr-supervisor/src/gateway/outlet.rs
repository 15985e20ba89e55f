//! The writing side of a connection: bytes go out at once as far as the peer takes them, the rest waits here.
//!
//! Whoever has bytes for a peer writes them himself, with one non-blocking write, which is the whole story of nearly every call. What
//! is left is written on by the task that reads from the same connection, its *owner*.

use super::load::Load;
use rr_common::rpc::Quiet;
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

/// Bytes that wait, beyond which no more work is taken on whose result goes here.
pub(super) const FULL: usize = 1 << 20;

/// Memory that an empty queue keeps.
const KEPT: usize = 64 << 10;

/// One connection's way out.
#[derive(Debug)]
pub(super) struct Outlet {
    stream: Rc<Quiet>,
    queue: RefCell<Vec<u8>>,
    /// Of `queue`, those that are written already.
    written: Cell<usize>,
    broken: Cell<bool>,
    owner: RefCell<Option<Waker>>,
    /// Tasks that wait until it is not full any more.
    waiting: RefCell<Vec<Waker>>,
    load: Rc<Load>,
}

impl Outlet {
    pub(super) fn new(stream: Rc<Quiet>, load: Rc<Load>) -> Self {
        Self {
            stream,
            queue: RefCell::default(),
            written: Cell::new(0),
            broken: Cell::new(false),
            owner: RefCell::default(),
            waiting: RefCell::default(),
            load,
        }
    }

    /// Sends bytes; what the peer does not take now is kept.
    pub(super) fn send(&self, bytes: &[u8]) {
        if self.broken.get() || bytes.is_empty() {
            return;
        }
        let mut rest = bytes;
        if self.len() == 0 {
            match self.stream.try_write(bytes) {
                Ok(written) => rest = &bytes[written..],
                Err(error) if retriable(&error) => {}
                Err(_) => return self.fail(),
            }
        }
        if !rest.is_empty() {
            self.compact();
            self.queue.borrow_mut().extend_from_slice(rest);
            self.load.change(0, rest.len());
            self.wake_owner();
        }
    }

    /// Writes on what is left; the owner's task is woken when the peer takes more.
    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.len() > 0 {
            let written = {
                let queue = self.queue.borrow();
                ready!(self.stream.poll_write_from(cx, &queue[self.written.get()..]))?
            };
            self.written.set(self.written.get() + written);
            self.load.change(written, 0);
            if self.len() == 0 {
                self.clear();
            }
            if !self.is_full() {
                self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.queue.borrow().len() - self.written.get()
    }

    /// The bytes that wait.
    pub(super) fn unsent(&self) -> Vec<u8> {
        self.queue.borrow()[self.written.get()..].to_vec()
    }

    /// Enough waits here.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= FULL
    }

    /// Nothing will ever be written again.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// The end: nothing is taken any more.
    pub(super) fn fail(&self) {
        self.broken.set(true);
        self.clear();
        self.wake_owner();
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Wakes this task when it is not full any more.
    pub(super) fn wait(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// The task that owns the reading side.
    pub(super) fn owned_by(&self, waker: &Waker) {
        let mut owner = self.owner.borrow_mut();
        if !owner.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *owner = Some(waker.clone());
        }
    }

    pub(super) fn wake_owner(&self) {
        if let Some(owner) = &*self.owner.borrow() {
            owner.wake_by_ref();
        }
    }

    /// Lets go of what is written, once that is more than half of all.
    fn compact(&self) {
        let mut queue = self.queue.borrow_mut();
        if self.written.get() > KEPT.max(queue.len() / 2) {
            queue.drain(..self.written.replace(0));
        }
    }

    fn clear(&self) {
        self.load.change(self.len(), 0);
        let mut queue = self.queue.borrow_mut();
        queue.clear();
        if queue.capacity() > KEPT {
            *queue = Vec::new();
        }
        self.written.set(0);
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.load.change(self.len(), 0);
    }
}

fn retriable(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
