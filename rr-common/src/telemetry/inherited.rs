//! Takes over the log socket that the supervisor left in the environment.
#![allow(unsafe_code)] // A descriptor that is known by its number only can be taken no other way.

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// The variable that holds the descriptor's number.
pub const VARIABLE: &str = "RR_LOG_FD";

/// The socket of [`VARIABLE`], closed on exec from now on. `None` if there is none, or at a second call.
pub(crate) fn log_socket() -> Option<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let number: i32 = std::env::var(VARIABLE)
        .ok()?
        .parse()
        .ok()
        .filter(|number| *number > 2)?;
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    // SAFETY: the number may be wrong; these two calls then answer EBADF or ENOTSOCK and change nothing.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    if getsockopt(&descriptor, sockopt::SockType) != Ok(SockType::SeqPacket) {
        return None;
    }
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    // SAFETY: the descriptor is open and was left to this process under this name; it is taken once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
