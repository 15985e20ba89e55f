//! This process becomes another program.

use super::baggage::{self, Baggage};
use crate::place;
use nix::{
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::signal::{SigSet, Signal},
    unistd::{execve, fchdir},
};
use std::{
    convert::Infallible,
    env,
    ffi::{CString, OsString},
    fs::File,
    io,
    os::{
        fd::AsRawFd,
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::{Path, PathBuf},
};

/// How this process was started, taken down before anything of it changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The program's file. What is there later may be a newer one.
    pub(crate) program: PathBuf,
    /// Its arguments, from its own name on.
    pub(crate) arguments: Vec<OsString>,
    /// The directory that relative paths among them mean, with its links: behind them may be another release by now.
    pub(crate) directory: PathBuf,
}

impl Origin {
    /// Of this process, at the begin of `main`.
    pub(crate) fn of_this_process() -> Self {
        Self {
            program: env::current_exe().unwrap_or_default(),
            arguments: env::args_os().collect(),
            directory: place::as_written()
                .or_else(|| env::current_dir().ok())
                .unwrap_or_default(),
        }
    }
}

/// The signals that we listen to. While nobody does they wait in the kernel.
fn signals() -> SigSet {
    let mut set = SigSet::empty();
    for signal in [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGABRT,
        Signal::SIGHUP,
        Signal::SIGUSR2,
    ] {
        set.add(signal);
    }
    set
}

/// From here on signals wait for the next program.
pub(super) fn block_signals() -> io::Result<()> {
    Ok(signals().thread_block()?)
}

/// They are listened to again; those that have waited come now.
pub(crate) fn unblock_signals() {
    let _ = signals().thread_unblock();
}

/// Executes the program with our arguments, and hands the baggage to it. Comes back only if that fails; nothing is lost then.
///
/// # Errors
/// The kernel's.
pub(super) fn execute(binary: &Path, origin: &Origin, baggage: &Baggage) -> io::Result<Infallible> {
    let (ours, theirs) = UnixStream::pair()?;
    baggage::send(&ours, baggage)?;
    // The descriptors travel in the socket: this is the only one that the next program inherits, and if it never runs they are
    // closed with it.
    fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty())).map_err(io::Error::from)?;
    let here = File::open(".")?;
    // There our arguments are read. It may have been removed: then only a reload will miss it.
    let _ = env::set_current_dir(&origin.directory);
    let failed = become_it(binary, origin, theirs.as_raw_fd());
    fchdir(here)?;
    failed
}

fn become_it(binary: &Path, origin: &Origin, socket: i32) -> io::Result<Infallible> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
    let arguments: Vec<CString> = origin
        .arguments
        .iter()
        .map(|argument| text(argument.as_bytes()))
        .collect::<io::Result<_>>()?;
    let mut variables: Vec<CString> = env::vars_os()
        .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect::<io::Result<_>>()?;
    variables.push(text(format!("{}={socket}", rr_common::listen::SELF_FD).as_bytes())?);
    Ok(execve(&text(binary.as_os_str().as_bytes())?, &arguments, &variables)?)
}
