//! Watching a socket for one direction only, which tokio's own streams cannot, and which it marks unsafe.
#![allow(unsafe_code)]

use socket2::Socket;
use std::{io, sync::Arc};
use tokio::io::{Interest, unix::AsyncFd};

/// Has the current runtime watch a socket that does not block.
///
/// # Errors
/// The runtime cannot watch it.
pub(crate) fn watch(socket: Arc<Socket>, interest: Interest) -> io::Result<AsyncFd<Arc<Socket>>> {
    // SAFETY: the socket owns its descriptor, which stays open and the same until the last share of it is dropped, and the registration
    // has one: nothing takes it out, and only shared references to it are handed on.
    let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
    Ok(watched?)
}
