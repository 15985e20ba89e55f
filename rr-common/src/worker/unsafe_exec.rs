//! The one place that runs code between fork and exec, where Rust cannot promise safety: only system calls that are
//! safe to make there, no allocation, no lock.
#![allow(unsafe_code)]

use nix::{
    errno::Errno,
    sys::{prctl, signal::Signal},
    unistd::{Gid, Pid, Uid, getppid, setgid, setgroups, setuid, write},
};
use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    os::unix::process::CommandExt,
    process::Command,
};

/// The user that a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: Uid,
    /// Group id.
    pub gid: Gid,
    /// Supplementary groups.
    pub groups: Vec<Gid>,
}

/// Makes the child take the identity and then die with us: SIGKILL when the forking thread ends.
///
/// A change of user clears the death signal, so it is asked for afterwards; and a parent that died before that is
/// noticed by its absence.
pub fn prepare(command: &mut Command, identity: Option<Identity>) {
    let parent = Pid::this();
    let before_exec = move || -> io::Result<()> {
        if let Some(identity) = &identity {
            setgroups(&identity.groups)?;
            setgid(identity.gid)?;
            setuid(identity.uid)?;
        }
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            return Err(io::Error::from(Errno::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only and allocates nothing (errors are plain numbers).
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// Makes the child enter a control group before it becomes another program, so that all it ever starts is in there. The descriptor
/// is that of the group's `cgroup.procs`. To be called before anything that gives descriptors other numbers.
pub fn enter_group(command: &mut Command, procs: OwnedFd) {
    let before_exec = move || -> io::Result<()> {
        // Its own number in digits, from the end, without an allocation.
        let mut digits = [0; 10];
        let mut first = digits.len();
        let mut left = Pid::this().as_raw().unsigned_abs();
        while left > 0 && first > 0 {
            first -= 1;
            digits[first] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        write(&procs, &digits[first..]).map(drop).map_err(io::Error::from)
    };
    // SAFETY: the closure makes system calls only and allocates nothing (errors are plain numbers).
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// Bytes in a pipe or socket that its reader has not taken yet; zero if it cannot be told.
pub fn unread(fd: BorrowedFd<'_>) -> u64 {
    let mut count: nix::libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the given place, and the descriptor is open.
    let result = unsafe { nix::libc::ioctl(fd.as_raw_fd(), nix::libc::FIONREAD, &mut count) };
    if result == 0 {
        u64::try_from(count).unwrap_or(0)
    } else {
        0
    }
}
