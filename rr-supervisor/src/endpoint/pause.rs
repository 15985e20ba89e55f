//! A pause of all endpoints, before this process becomes another program: nobody is let in, so that those who come wait in the kernel for
//! the next program, and what has been asked is answered.

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{Notify, watch};

/// Whether there is one.
static PAUSED: LazyLock<watch::Sender<bool>> = LazyLock::new(watch::Sender::default);

/// Requests that are being answered.
static ANSWERING: AtomicUsize = AtomicUsize::new(0);

/// Told when one of them has been.
static ANSWERED: Notify = Notify::const_new();

/// A pause, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pause;

/// A request that is being answered, until it is dropped.
#[derive(Debug)]
pub(super) struct Answering;

impl Pause {
    /// Begins one.
    pub(crate) fn begin() -> Self {
        PAUSED.send_replace(true);
        Self
    }

    /// Whether nothing is being answered.
    pub(crate) fn is_quiet(&self) -> bool {
        ANSWERING.load(Ordering::SeqCst) == 0
    }

    /// Waits for such a moment.
    pub(crate) async fn quiet(&self) {
        while !self.is_quiet() {
            ANSWERED.notified().await;
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        PAUSED.send_replace(false);
    }
}

impl Answering {
    pub(super) fn begin() -> Self {
        ANSWERING.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        ANSWERING.fetch_sub(1, Ordering::SeqCst);
        ANSWERED.notify_one();
    }
}

/// Sees pauses come and go.
pub(super) fn all() -> watch::Receiver<bool> {
    PAUSED.subscribe()
}
