//! The thread beside the main loop: RPC port and HTTP endpoints, on a runtime of its own, so that a busy port never keeps the loop
//! from its processes. Nothing on it may block, and nothing on it may fork: children die with the thread that started them.

use std::{io, thread};
use tokio::runtime::{Builder, Handle};

/// Starts the thread, which lives as long as the process.
///
/// # Errors
/// The system has no thread left.
pub(crate) fn start() -> io::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new()
        .name("rpc".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
    Ok(handle)
}
