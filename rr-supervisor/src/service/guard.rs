//! The guard of the services: a second process of this program that does nothing but wait for our end, and then kills the process
//! groups of the services.
//!
//! The kernel kills a service's own process when we die, but not what that one has started (`sh -c` and its PHP). The guard reads the
//! groups from a pipe whose other end only we hold, so that our end, however it comes, is the pipe's end. When this process becomes
//! another program (`upgrade self`) the pipe goes along, and the guard, which is of the program that started it, stays: there is no
//! moment without one. So what is written into the pipe must mean the same to all programs to come.

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    env,
    io::{self, BufRead, PipeWriter, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
};

/// The command by which this program becomes the guard.
pub(crate) const VERB: &str = "guard-services";

/// Our end of it.
#[derive(Debug)]
pub(super) struct Guard {
    pid: Pid,
    pipe: PipeWriter,
}

impl Guard {
    /// Starts the guard.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn start() -> io::Result<Self> {
        let (reader, pipe) = io::pipe()?;
        // The loop must never wait for the guard.
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(io::Error::from)?;
        let child = Command::new(env::current_exe()?)
            .arg(VERB)
            .env_remove(super::MARK)
            .env_remove(crate::reaper::WORKER)
            // Away from the terminal's Ctrl+C: it must be the last.
            .process_group(0)
            .stdin(reader)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        Ok(Self {
            pid: Pid::from_raw(pid),
            pipe,
        })
    }

    /// The one that the program before us has started.
    pub(super) fn of_before(pid: Pid, pipe: OwnedFd) -> Self {
        Self { pid, pipe: pipe.into() }
    }

    /// What the next program needs to keep it.
    ///
    /// # Errors
    /// No descriptors left.
    pub(super) fn to_keep(&self) -> io::Result<(Pid, OwnedFd)> {
        Ok((self.pid, self.pipe.as_fd().try_clone_to_owned()?))
    }

    /// True when that process is the guard.
    pub(super) fn is(&self, pid: Pid) -> bool {
        self.pid == pid
    }

    /// A group is there.
    pub(super) fn watch(&mut self, group: Pid) -> io::Result<()> {
        self.pipe.write_all(format!("+{group}\n").as_bytes())
    }

    /// A group has gone: its number may be somebody else's soon.
    pub(super) fn forget(&mut self, group: Pid) -> io::Result<()> {
        self.pipe.write_all(format!("-{group}\n").as_bytes())
    }
}

/// What the guard does: waits for the end of its input, then kills what it was told of.
pub(crate) fn stand(input: impl BufRead) {
    for group in groups(input) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// The groups that are there when the input ends.
fn groups(input: impl BufRead) -> BTreeSet<i32> {
    let mut groups = BTreeSet::new();
    for line in input.lines().map_while(Result::ok) {
        let number = line.get(1..).and_then(|number| number.parse().ok());
        // Zero and one would mean our own group and everybody.
        match (line.bytes().next(), number.filter(|group| *group > 1)) {
            (Some(b'+'), Some(group)) => drop(groups.insert(group)),
            (Some(b'-'), Some(group)) => drop(groups.remove(&group)),
            _ => {}
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_what_is_left_at_the_end() {
        let told = "+10\n+11\n-10\n+12\n+0\n+1\n+-5\nnonsense\n-99\n\n+1";
        assert_eq!(groups(told.as_bytes()), [11, 12].into());
    }
}
