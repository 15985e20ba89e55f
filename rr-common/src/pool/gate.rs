//! In development, what a request passes before it gets a worker: it waits while files have changed that the workers have not been told of.
//!
//! Whoever watches the files holds the same descriptor. It is readable as soon as the kernel has noticed a change, which is before the
//! system call that saved the file returns, and stays so until every worker with old code has been retired. So a request that is made after a save
//! never meets old code, however fast it comes. Where nothing is watched there is no gate.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    os::fd::{AsFd, OwnedFd},
    sync::OnceLock,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// The process's gate.
static GATE: OnceLock<Gate> = OnceLock::new();

/// Between two looks at a closed gate.
const LOOK: Duration = Duration::from_millis(1);
/// Longest wait: whoever should open it may have died.
const LONGEST: Duration = Duration::from_secs(2);

/// A descriptor that is readable while it is closed.
#[derive(Debug)]
pub(super) struct Gate(OwnedFd);

/// Sets up the gate of this process, for all its pools.
pub(crate) fn install(fd: OwnedFd) {
    let _ = GATE.set(Gate(fd));
}

/// The gate, if files are watched.
pub(super) fn installed() -> Option<&'static Gate> {
    GATE.get()
}

impl Gate {
    /// Waits until it is open.
    pub(super) async fn pass(&self) {
        let end = Instant::now() + LONGEST;
        while self.is_closed() && Instant::now() < end {
            sleep(LOOK).await;
        }
    }

    fn is_closed(&self) -> bool {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::sys::eventfd::EventFd;

    #[tokio::test]
    async fn it_holds_while_it_is_closed() {
        let closed = EventFd::new().unwrap();
        let gate = Gate(closed.as_fd().try_clone_to_owned().unwrap());
        gate.pass().await;
        closed.write(1).unwrap();
        let pass = gate.pass();
        tokio::pin!(pass);
        assert!(tokio::time::timeout(LOOK * 3, &mut pass).await.is_err());
        closed.read().unwrap();
        pass.await;
    }
}
