//! Watching a socket for one direction only, which tokio's own streams cannot, and which it marks unsafe.
#![allow(unsafe_code)]

use socket2::Socket;
use std::io;
use tokio::io::{Interest, unix::AsyncFd};

/// Has the current runtime watch a socket that does not block.
///
/// # Errors
/// The runtime cannot watch it.
pub(super) fn watch(socket: Socket, interest: Interest) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the socket owns its descriptor, which stays open and the same until it is dropped together with the registration:
    // nothing takes it out, and only shared references to it are handed on.
    let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
    Ok(watched?)
}
