//! What a process inherits at its start, and the one socket option that no crate wraps.
//!
//! The only place that turns descriptor numbers into owned descriptors, and that changes the environment; both are sound
//! only at the start of `main`, before any thread and before any file is opened.
#![allow(unsafe_code)]

use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    libc,
};
use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    io, mem,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    process,
    sync::atomic::{AtomicBool, Ordering},
};

/// The first descriptor that is passed on, by our supervisor as by systemd.
const FIRST: RawFd = 3;

/// More passed descriptors than any configuration has addresses: the number comes from outside.
const MOST: RawFd = 1024;

/// The variable with the descriptor from which a program takes over what the one before it in the same process has left.
pub const SELF_FD: &str = "RR_SELF_FD";

/// What a plugin was given by whoever started it.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listening sockets: `RR_LISTEN_FDS`, or systemd's `LISTEN_FDS`.
    pub sockets: Vec<OwnedFd>,
    /// The supervisor's control socket: `RR_CONTROL`.
    pub control: Option<OsString>,
    /// The directory of the control sockets: `RR_CONTROL_DIR`.
    pub control_dir: Option<OsString>,
    /// The name under which the supervisor knows this process: `RR_PLUGIN`.
    pub plugin: Option<String>,
    /// The socket for log lines: `RR_LOG_FD`.
    pub log: Option<OwnedFd>,
    /// The user's stderr, where our own is read by the supervisor: `RR_STDERR_FD`.
    pub stderr: Option<OwnedFd>,
    /// The memory file that outlives this process: `RR_STATE_FD`.
    pub state: Option<OwnedFd>,
    /// The file in which one process hands over to the next: `RR_HANDOVER_FD`.
    pub handover: Option<OwnedFd>,
    /// What the program before us in this process has left: `RR_SELF_FD`.
    pub predecessor: Option<OwnedFd>,
    /// Readable while files have changed and the workers do not know it yet (development): `RR_WATCH_FD`.
    pub watch: Option<OwnedFd>,
    /// Code that does not start is waited for (development): `RR_REPAIR`.
    pub repair: bool,
}

/// Takes what was inherited out of the environment, so that no worker sees it; a second call finds nothing.
///
/// Call it first in `main`, while there is one thread and no open file but the inherited ones.
pub fn inherit() -> Inherited {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Inherited::default();
    }
    let number = |name: &str| take(name)?.to_str()?.parse::<RawFd>().ok();
    let ours = number("RR_LISTEN_FDS");
    let for_us = number("LISTEN_PID") == i32::try_from(process::id()).ok();
    let systemds = number("LISTEN_FDS").filter(|_| for_us);
    take("LISTEN_FDNAMES");
    let count = ours.or(systemds).unwrap_or(0).clamp(0, MOST);
    let (log, state) = (number("RR_LOG_FD"), number("RR_STATE_FD"));
    let predecessor = number(SELF_FD);
    let watch = number("RR_WATCH_FD");
    let handover = number("RR_HANDOVER_FD").filter(|fd| ![log, state, predecessor, watch].contains(&Some(*fd)));
    let stderr = number("RR_STDERR_FD").filter(|fd| ![log, state, predecessor, watch, handover].contains(&Some(*fd)));
    let other = |fd: &RawFd| *fd >= FIRST + count;
    Inherited {
        sockets: (FIRST..FIRST + count).filter_map(own).collect(),
        log: log.filter(other).and_then(own),
        stderr: stderr.filter(other).and_then(own),
        state: state.filter(other).filter(|fd| Some(*fd) != log).and_then(own),
        handover: handover.filter(other).and_then(own),
        predecessor: predecessor
            .filter(other)
            .filter(|fd| ![log, state].contains(&Some(*fd)))
            .and_then(own),
        watch: watch
            .filter(other)
            .filter(|fd| ![log, state].contains(&Some(*fd)))
            .and_then(own),
        repair: take("RR_REPAIR").is_some(),
        control: take("RR_CONTROL"),
        control_dir: take("RR_CONTROL_DIR"),
        plugin: take("RR_PLUGIN").and_then(|name| name.into_string().ok()),
    }
}

/// Sets variables for this process and all that it starts, such as a dotenv file's.
///
/// Call it, like [`inherit`], in `main` while there is one thread.
pub fn export(variables: &BTreeMap<String, String>) {
    // The standard library panics on what is no name; files are read by a parser that should not let one through.
    let nameable = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
    for (name, value) in variables
        .iter()
        .filter(|(name, value)| nameable(name) && !value.contains('\0'))
    {
        // SAFETY: the caller is at the start of `main` with one thread; nobody reads the environment meanwhile.
        unsafe { env::set_var(name, value) };
    }
}

/// Removes a variable and returns its value.
fn take(name: &str) -> Option<OsString> {
    let value = env::var_os(name)?;
    // SAFETY: the caller is at the start of `main` with one thread; nobody reads the environment meanwhile.
    unsafe { env::remove_var(name) };
    Some(value)
}

/// Owns an inherited descriptor, closed on exec from now on; `None` when it is not open.
fn own(fd: RawFd) -> Option<OwnedFd> {
    // SAFETY: the descriptor was passed to this process for this purpose, each number is taken once, and at the start of
    // `main` nothing else owns one from 3 on. A number that is not open is only asked for its flags, then forgotten.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    match fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
        Ok(_) => Some(fd),
        Err(_) => {
            mem::forget(fd);
            None
        }
    }
}

/// Lets clients that were here before send their request in the first packet.
pub(super) fn set_fast_open(socket: &impl AsFd, queue: i32) -> io::Result<()> {
    let size = mem::size_of_val(&queue) as libc::socklen_t;
    // SAFETY: the descriptor is borrowed for the call, and the option's value is a C int that outlives it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_FASTOPEN,
            (&raw const queue).cast(),
            size,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
