//! A plugin's process that this supervisor has not started: one that our predecessor left behind, or an *attached* one, which its
//! service manager starts and which comes to us by its registration (`supervisor.plugins.NAME.attached`).
//!
//! It is no child of ours, so its end is told by a descriptor (pidfd) instead of `waitpid`, and nobody tells us how it ended. The
//! descriptor also keeps a signal from reaching a stranger that has got the same number since.

use crate::control::Question;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
    unistd::Pid,
};
use rustix::process::{self, PidfdFlags, pidfd_open, pidfd_send_signal};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};
use tokio::{net::unix::pipe, sync::mpsc, task::AbortHandle, time::timeout_at};

/// The process. Watched as long as this is kept.
#[derive(Debug)]
pub(crate) struct Foreign {
    descriptor: OwnedFd,
    watch: Option<AbortHandle>,
}

impl Foreign {
    /// The process that has this number now.
    ///
    /// # Errors
    /// There is none, or the kernel is older than 5.3.
    pub(crate) fn open(pid: Pid) -> io::Result<Self> {
        let number = process::Pid::from_raw(pid.as_raw()).ok_or(io::ErrorKind::InvalidInput)?;
        let descriptor = pidfd_open(number, PidfdFlags::NONBLOCK)?;
        Ok(Self {
            descriptor,
            watch: None,
        })
    }

    /// Lets the supervisor's loop know of its end.
    ///
    /// # Errors
    /// The runtime cannot watch the descriptor.
    pub(crate) fn watch(&mut self, pid: Pid, questions: mpsc::Sender<Question>) -> io::Result<()> {
        let watched = self.watched()?;
        let watch = tokio::spawn(async move {
            if watched.readable().await.is_ok() {
                let _ = questions.send(Question::Left { pid }).await;
            }
        });
        self.watch = Some(watch.abort_handle());
        Ok(())
    }

    /// Whether it ends within that time.
    pub(crate) async fn has_ended_by(&self, deadline: Instant) -> bool {
        let Ok(watched) = self.watched() else { return false };
        timeout_at(deadline.into(), watched.readable()).await.is_ok()
    }

    /// The runtime's only type for a descriptor of any kind that is safe to use; nothing is read from it.
    fn watched(&self) -> io::Result<pipe::Receiver> {
        pipe::Receiver::from_owned_fd_unchecked(self.descriptor.try_clone()?)
    }

    /// Whether it ends within that time, for which this thread waits.
    pub(crate) fn ends_within(&self, patience: Duration) -> bool {
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let mut watched = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, timeout).is_ok_and(|ready| ready > 0)
    }

    /// Sends it a signal, unless it has gone.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(signal) = process::Signal::from_named_raw(signal as i32) {
            let _ = pidfd_send_signal(&self.descriptor, signal);
        }
    }

    /// True when it has gone.
    pub(crate) fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Command;

    #[tokio::test]
    async fn its_end_is_told() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed());
        let mut foreign = Foreign::open(pid).unwrap();
        let (questions, mut asked) = mpsc::channel(1);
        foreign.watch(pid, questions).unwrap();
        assert!(!foreign.has_ended());
        assert!(!foreign.has_ended_by(Instant::now()).await);
        foreign.signal(Signal::SIGKILL);
        assert!(matches!(asked.recv().await, Some(Question::Left { pid: left }) if left == pid));
        assert!(foreign.has_ended());
        assert!(foreign.has_ended_by(Instant::now() + Duration::from_secs(10)).await);
        child.wait().unwrap();
        foreign.signal(Signal::SIGKILL);
        assert!(Foreign::open(pid).is_err(), "nobody has that number any more");
    }
}
