//! What requests wait for: a descriptor that every plugin inherits, readable from the moment of a change (the kernel's queue is not empty)
//! until all plugins have retired what has begun with the old code (our mark is set).
//!
//! A reload may bring another watch, and this process may become another program. The plugins keep the descriptor that they have: it is
//! one for all watches, which come and go in it, and the next program goes on with it ([`super::kept`]). All of its state is the
//! kernel's: it stays closed while nobody looks.

use super::kept::Left;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
        eventfd::{EfdFlags, EventFd},
    },
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

/// The gate. Open, unless a watch closes it. Clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    epoll: Epoll,
    /// What closes it now.
    present: Mutex<Weak<Parts>>,
    /// What has closed it in the program before us, until a watch of ours does.
    left: Mutex<Option<Left>>,
}

/// The gate in the hands of one watch. Let go of it together with what is readable when something has changed.
#[derive(Debug)]
pub(super) struct Hold {
    gate: Gate,
    parts: Arc<Parts>,
}

/// What closes a gate.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) mark: EventFd,
    /// The kernel's queue, once the watch has begun.
    pub(super) changes: Mutex<Option<OwnedFd>>,
    /// There are changes that have not come to rest.
    pub(super) moving: AtomicBool,
}

impl Gate {
    /// Open.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self::over(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, None))
    }

    pub(super) fn over(epoll: Epoll, left: Option<Left>) -> Self {
        Self(Arc::new(Inner {
            epoll,
            present: Mutex::default(),
            left: Mutex::new(left),
        }))
    }

    /// For the plugins, and for the next program.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        self.0.epoll.0.try_clone()
    }

    /// What closes it now, if something does.
    pub(super) fn present(&self) -> Option<Arc<Parts>> {
        lock(&self.0.present).upgrade()
    }

    /// Lets go of the queue of the program before, where the kernel has no room for two; false if there is none. Until the plugins have
    /// been told nobody passes.
    pub(super) fn make_room(&self) -> bool {
        lock(&self.0.left).as_mut().is_some_and(Left::make_room)
    }

    /// The program before does not close it any more. True if it may have seen changes of which nobody has told the plugins.
    pub(crate) fn forget_left(&self) -> bool {
        lock(&self.0.left).take().is_some()
    }

    fn is_closed(&self) -> bool {
        let mut watched = [PollFd::new(self.0.epoll.0.as_fd(), PollFlags::POLLIN)];
        // If the kernel does not say, it may be.
        poll(&mut watched, PollTimeout::ZERO) != Ok(0)
    }
}

impl Hold {
    /// For a watch that has not begun.
    pub(super) fn new(gate: &Gate) -> io::Result<Self> {
        let mark = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self {
            gate: gate.clone(),
            parts: Arc::new(Parts {
                mark,
                changes: Mutex::default(),
                moving: AtomicBool::default(),
            }),
        })
    }

    /// From now on the gate is closed whenever this is readable: somebody reads it. True if the program before may have seen changes of
    /// which nobody has told the plugins; it stays closed then.
    pub(super) fn begin(&self, changes: impl AsFd) -> io::Result<bool> {
        let readable = || EpollEvent::new(EpollFlags::EPOLLIN, 0);
        let Inner { epoll, present, left } = &*self.gate.0;
        *lock(&self.parts.changes) = Some(changes.as_fd().try_clone_to_owned()?);
        epoll.add(changes, readable())?;
        epoll.add(&self.parts.mark, readable())?;
        *lock(present) = Arc::downgrade(&self.parts);
        let left = lock(left).take();
        let untold = left
            .as_ref()
            .is_some_and(|left| left.is_moving() || self.gate.is_closed());
        if untold {
            self.close();
        }
        // The last descriptors of the old queue and mark: with them both leave the gate.
        drop(left);
        Ok(untold)
    }

    /// Keeps it closed; call it before the changes are read.
    pub(super) fn close(&self) {
        let _ = self.parts.mark.write(1);
    }

    /// Everything that was read has been told, but some of it may be told again.
    pub(super) fn open(&self, moving: bool) {
        self.parts.moving.store(moving, Ordering::Relaxed);
        let _ = self.parts.mark.read();
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::renew::baggage::Baggage;

    fn is_closed(seen: &OwnedFd) -> bool {
        poll(&mut [PollFd::new(seen.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
    }

    fn queue() -> EventFd {
        EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap()
    }

    fn begin(gate: &Gate) -> (EventFd, Hold) {
        let (changes, hold) = (queue(), Hold::new(gate).unwrap());
        assert!(!hold.begin(&changes).unwrap());
        (changes, hold)
    }

    /// The gate as the next program has it.
    fn next(gate: Gate, watch: Option<(EventFd, Hold)>) -> Gate {
        let mut baggage = Baggage::default();
        gate.pack(&mut baggage).unwrap();
        drop((gate, watch));
        Gate::unpack(&mut baggage).unwrap()
    }

    #[test]
    fn it_is_closed_from_the_change_until_it_is_dealt_with() {
        let gate = Gate::new().unwrap();
        let seen = gate.copy().unwrap();
        let (changes, hold) = begin(&gate);
        assert!(!is_closed(&seen));
        changes.write(1).unwrap();
        assert!(is_closed(&seen));
        hold.close();
        changes.read().unwrap();
        assert!(is_closed(&seen));
        hold.open(false);
        assert!(!is_closed(&seen));
        hold.open(false);
        drop((changes, hold));
        assert!(!is_closed(&seen));
    }

    /// One that ends in the middle of a change leaves nobody waiting, and the next one closes the same gate.
    #[test]
    fn watches_come_and_go() {
        let gate = Gate::new().unwrap();
        let seen = gate.copy().unwrap();
        let first = begin(&gate);
        let second = begin(&gate);
        first.0.write(1).unwrap();
        first.1.close();
        assert!(is_closed(&seen));
        drop(first);
        assert!(!is_closed(&seen));
        second.0.write(1).unwrap();
        assert!(is_closed(&seen));
    }

    /// Another program goes on with it: those who hold it see the changes that it sees, and none that the old one saw is forgotten.
    #[test]
    fn the_next_program_keeps_it() {
        let gate = Gate::new().unwrap();
        let seen = gate.copy().unwrap();
        let first = begin(&gate);
        let gate = next(gate, Some(first));
        let second = begin(&gate);
        assert!(!is_closed(&seen));
        second.0.write(1).unwrap();
        assert!(is_closed(&seen));

        // Seen by nobody yet.
        let gate = next(gate, Some(second));
        let (changes, hold) = (queue(), Hold::new(&gate).unwrap());
        assert!(hold.begin(&changes).unwrap());
        assert!(is_closed(&seen), "though the old queue is gone");
        hold.open(false);
        assert!(!is_closed(&seen));

        // Read, but not told.
        hold.close();
        let gate = next(gate, Some((changes, hold)));
        let (changes, hold) = (queue(), Hold::new(&gate).unwrap());
        assert!(hold.begin(&changes).unwrap() && is_closed(&seen));

        // Told, and perhaps not the last of it.
        hold.open(true);
        assert!(!is_closed(&seen));
        let gate = next(gate, Some((changes, hold)));
        let (changes, hold) = (queue(), Hold::new(&gate).unwrap());
        assert!(hold.begin(&changes).unwrap() && is_closed(&seen));
        hold.open(false);

        // The old queue had to go before the new one began.
        let gate = next(gate, Some((changes, hold)));
        assert!(!is_closed(&seen) && gate.make_room() && is_closed(&seen));
        let (changes, hold) = (queue(), Hold::new(&gate).unwrap());
        assert!(hold.begin(&changes).unwrap() && is_closed(&seen));
        hold.open(false);
        assert!(!is_closed(&seen));
    }

    #[test]
    fn without_a_watch_it_is_open() {
        let gate = Gate::new().unwrap();
        let seen = gate.copy().unwrap();
        let gate = next(gate, None);
        assert!(!gate.make_room() && !gate.forget_left());
        let watch = begin(&gate);
        watch.0.write(1).unwrap();
        let gate = next(gate, Some(watch));
        assert!(is_closed(&seen));
        assert!(gate.forget_left());
        assert!(!is_closed(&seen));
    }
}
