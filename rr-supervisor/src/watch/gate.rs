//! What requests wait for: a descriptor that every plugin inherits, readable from the moment of a change (the kernel's queue is not empty)
//! until all plugins have retired what has begun with the old code (our mark is set).
//!
//! A reload may bring another watch. The plugins keep the descriptor that they have: it is one for all watches, which come and go in it.

use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    eventfd::{EfdFlags, EventFd},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

/// The gate. Open, unless a watch closes it. Clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Epoll>);

/// The gate in the hands of one watch. Let go of it together with what is readable when something has changed.
#[derive(Debug)]
pub(super) struct Hold {
    gate: Gate,
    mark: EventFd,
}

impl Gate {
    /// Open.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?)))
    }

    /// For the plugins.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        self.0.0.try_clone()
    }
}

impl Hold {
    /// For a watch that has not begun.
    pub(super) fn new(gate: &Gate) -> io::Result<Self> {
        Ok(Self {
            gate: gate.clone(),
            mark: EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?,
        })
    }

    /// From now on the gate is closed whenever this is readable: somebody reads it.
    pub(super) fn begin(&self, changes: impl AsFd) -> io::Result<()> {
        let readable = || EpollEvent::new(EpollFlags::EPOLLIN, 0);
        let epoll = &self.gate.0;
        epoll.add(changes, readable())?;
        Ok(epoll.add(&self.mark, readable())?)
    }

    /// Keeps it closed; call it before the changes are read.
    pub(super) fn close(&self) {
        let _ = self.mark.write(1);
    }

    /// Everything that was read has been told.
    pub(super) fn open(&self) {
        let _ = self.mark.read();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn is_closed(seen: &OwnedFd) -> bool {
        poll(&mut [PollFd::new(seen.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
    }

    fn begin(gate: &Gate) -> (EventFd, Hold) {
        let changes = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
        let hold = Hold::new(gate).unwrap();
        hold.begin(&changes).unwrap();
        (changes, hold)
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
        hold.open();
        assert!(!is_closed(&seen));
        hold.open();
        drop(changes);
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
}
