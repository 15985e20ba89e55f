//! The user's stderr.
//!
//! A supervisor reads the stderr of its plugins itself: what stands there are words that no log has, of an allocation that failed, a
//! stack that overflowed, a library that is missing. Its own stderr, which is the user's, it hands on beside (`RR_STDERR_FD`): what is
//! meant for the user is written there, and it is ours again when the supervisor is gone.

use super::outputs::write_shared;
use nix::unistd::dup2_stderr;
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

/// Nobody reads ours any more: it becomes the user's.
pub(crate) fn take_back() {
    if let Some(users) = HANDED_ON.get() {
        let _ = dup2_stderr(users);
    }
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
