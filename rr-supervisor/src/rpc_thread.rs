//! The thread beside the main loop: RPC port and HTTP endpoints, on a runtime of its own, so that a busy port never keeps the loop
//! from its processes. Nothing on it may block, and nothing on it may fork: children die with the thread that started them.
//!
//! Its tasks may share state without locks ([`RpcThread::begin`]); what comes from elsewhere is spawned by the handle.

use std::{
    io,
    sync::mpsc,
    thread::{Builder, JoinHandle},
};
use tokio::{
    runtime::{self, Handle, LocalOptions},
    sync::oneshot,
};

/// What the thread does first.
type Begin = Box<dyn FnOnce() + Send>;

/// The thread; it ends when this is dropped.
pub(crate) struct RpcThread {
    handle: Handle,
    /// Taken by `begin`.
    first: Option<oneshot::Sender<Begin>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl RpcThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start() -> io::Result<Self> {
        let (end, ended) = oneshot::channel();
        let (first, begin) = oneshot::channel::<Begin>();
        let (told, handle) = mpsc::sync_channel(1);
        let thread = Builder::new().name("rpc".into()).spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(told.send(Err(error))),
            };
            let _ = told.send(Ok(runtime.handle().clone()));
            runtime.block_on(async move {
                if let Ok(begin) = begin.await {
                    begin();
                }
                let _ = ended.await;
            });
            runtime.shutdown_background();
        })?;
        let handle = handle.recv().map_err(io::Error::other)??;
        Ok(Self {
            handle,
            first: Some(first),
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Runs this on the thread, once, inside its runtime; it may spawn local tasks.
    pub(crate) fn begin(&mut self, work: impl FnOnce() + Send + 'static) {
        if let Some(first) = self.first.take() {
            let _ = first.send(Box::new(work));
        }
    }

    /// For tasks that come from elsewhere.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for RpcThread {
    fn drop(&mut self) {
        drop(self.first.take());
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
