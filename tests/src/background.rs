//! A runtime that runs in a thread of its own while the test asks it for things, as a plugin's frame thread does.

use std::future::Future;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The runtime; it ends when this is dropped.
pub struct Background {
    handle: Handle,
    _end: oneshot::Sender<()>,
}

impl Background {
    /// A new one.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let _dropped = runtime.block_on(ended);
        });
        Self { handle, _end: end }
    }

    /// Where tasks are spawned.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for a future in the calling thread, while the runtime's own moves sockets and timers.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}
