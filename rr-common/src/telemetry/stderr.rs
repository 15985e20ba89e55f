//! The user's stderr.
//!
//! A supervisor reads the stderr of its plugins itself: what stands there are words that no log has, of an allocation that failed, a
//! stack that overflowed, a library that is missing. Its own stderr, which is the user's, it hands on beside (`RR_STDERR_FD`): what is
//! meant for the user is written there, and it is ours again when the supervisor is gone.

use super::outputs::write_shared;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::dup2_stderr,
};
use std::{
    io::{self, IsTerminal},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::OnceLock,
};

static HANDED_ON: OnceLock<OwnedFd> = OnceLock::new();

/// This one is the user's, and our own is the supervisor's.
pub(crate) fn hand_on(users: OwnedFd) {
    // There is one supervisor at the start, and it hands on one.
    let _ = HANDED_ON.set(users);
}

/// If nobody reads ours any more, it becomes the user's. A supervisor that becomes another program reads on.
pub(crate) fn take_back() {
    if let Some(users) = HANDED_ON.get()
        && !is_read(io::stderr().as_fd())
    {
        let _ = dup2_stderr(users);
    }
}

/// Whether a pipe has a reader.
fn is_read(pipe: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(pipe, PollFlags::empty())];
    let told = poll(&mut polled, PollTimeout::ZERO);
    told.is_ok()
        && !polled[0]
            .revents()
            .unwrap_or(PollFlags::empty())
            .contains(PollFlags::POLLERR)
}

/// Writes to it, whatever others who share it have made of it.
///
/// # Errors
/// It is closed.
pub fn write(bytes: &[u8]) -> io::Result<()> {
    with(|users| write_shared(users, bytes))
}

/// Whether people look at it.
pub(crate) fn is_terminal() -> bool {
    with(|users| users.is_terminal())
}

fn with<T>(act: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
    match HANDED_ON.get() {
        Some(users) => act(users.as_fd()),
        None => act(io::stderr().as_fd()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_a_reader_is_known() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(is_read(writer.as_fd()));
        drop(reader);
        assert!(!is_read(writer.as_fd()));
    }
}
