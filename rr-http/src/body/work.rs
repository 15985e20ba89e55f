//! Work that would hold up the thread that moves frames: file input and output, and large forms.

use super::BodyError;
use std::{io, time::Duration};
use tokio::{sync::Semaphore, task, time::timeout};

/// Forms that are parsed on blocking threads at the same time; each may hold several times its own size.
static FORMS: Semaphore = Semaphore::const_new(2);

/// Runs a closure on a blocking thread. It runs to its end even if nobody waits any more; what it captured or returned
/// is dropped there.
pub(super) async fn blocking<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    // An error means that the closure panicked or that the runtime is ending.
    task::spawn_blocking(job).await.map_err(io::Error::other)
}

/// The same for the parsing of a large form: a few at a time. The others wait, but not for ever, and without holding
/// their form in memory.
pub(super) async fn large_form<T: Send + 'static>(
    patience: Duration,
    job: impl FnOnce() -> Result<T, BodyError> + Send + 'static,
) -> Result<T, BodyError> {
    let permit = timeout(patience, FORMS.acquire())
        .await
        .map_err(|_| BodyError::Timeout)?;
    let permit = permit.map_err(io::Error::other)?;
    blocking(move || {
        let result = job();
        drop(permit);
        result
    })
    .await?
}
