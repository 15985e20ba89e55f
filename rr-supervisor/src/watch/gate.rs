//! What requests wait for: a descriptor that every plugin inherits, readable from the moment of a change (the kernel's queue is not empty)
//! until all plugins have retired what has begun with the old code (our mark is set).

use nix::sys::{
    epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags},
    eventfd::{EfdFlags, EventFd},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

/// The gate, as its keeper sees it.
#[derive(Debug)]
pub(super) struct Gate {
    epoll: Epoll,
    mark: EventFd,
}

impl Gate {
    /// Closed whenever this is readable.
    pub(super) fn new(changes: impl AsFd) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mark = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let readable = || EpollEvent::new(EpollFlags::EPOLLIN, 0);
        epoll.add(changes, readable())?;
        epoll.add(&mark, readable())?;
        Ok(Self { epoll, mark })
    }

    /// For the plugins.
    pub(super) fn copy(&self) -> io::Result<OwnedFd> {
        self.epoll.0.try_clone()
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

    #[test]
    fn it_is_closed_from_the_change_until_it_is_dealt_with() {
        let changes = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
        let gate = Gate::new(&changes).unwrap();
        let seen = gate.copy().unwrap();
        let closed = || poll(&mut [PollFd::new(seen.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0;
        assert!(!closed());
        changes.write(1).unwrap();
        assert!(closed());
        gate.close();
        changes.read().unwrap();
        assert!(closed());
        gate.open();
        assert!(!closed());
        gate.open();
        drop(changes);
        assert!(!closed());
    }
}
