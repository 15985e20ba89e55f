//! What a running pool is told: reset, new code, more workers or fewer, the end. Each decides under the lock and waits for what follows.

use super::{ExecError, Pool, rules::MOST_WORKERS, state::Core};
use crate::plugin::StartError;
use std::time::{Duration, Instant};
use tokio::time::{timeout, timeout_at};

/// How long after the deadline of a stop killed processes may take to disappear.
const AFTER_KILL: Duration = Duration::from_secs(2);

impl Pool {
    /// Replaces every worker, a few at a time: an old one goes when its replacement is ready. One that is busy for
    /// longer than `reset_timeout` is no longer waited for; it goes after its request.
    ///
    /// # Errors
    /// A new worker did not start. The old ones serve on, and are replaced once new ones start.
    pub async fn reset(&self) -> Result<(), ExecError> {
        if self.debug {
            return Ok(());
        }
        let failed = self.shared.with(|core| {
            core.reset();
            core.failed_boots
        });
        let replaced = self.wait_until(|core| {
            if core.failed_boots > failed {
                return Some(Err(ExecError::Boot(core.last_error.clone())));
            }
            (core.outdated() == 0 || core.closing).then_some(Ok(()))
        });
        timeout(self.reset_timeout, replaced).await.unwrap_or(Ok(()))
    }

    /// The code has changed: from now on no worker that has begun with the old one takes a request, and requests wait for
    /// new ones, which start after `hold`, counted from the last such call.
    pub fn renew(&self, hold: Duration) {
        let generation = self.shared.with(|core| {
            core.renew(Instant::now() + hold);
            core.generation
        });
        self.shared.renewals.send_replace(generation);
    }

    /// Waits until the workers that [`Pool::renew`] has asked for serve, and says how many they are; 0 if there was another such call
    /// meanwhile.
    ///
    /// # Errors
    /// A new worker did not start. Requests get that error until the code changes again or a start succeeds.
    pub async fn renewed(&self) -> Result<usize, ExecError> {
        let generation = self.shared.with(|core| core.generation);
        let renewed = self.wait_until(|core| {
            if core.generation != generation || core.closing || self.debug {
                return Some(Ok(0));
            }
            if core.failures > 0 {
                return Some(Err(ExecError::Boot(core.last_error.clone())));
            }
            (core.serving >= core.target()).then_some(Ok(core.serving))
        });
        timeout(self.reset_timeout, renewed).await.unwrap_or(Ok(0))
    }

    /// One worker more, up to 500. In debug mode there is nothing to add to.
    ///
    /// # Errors
    /// There are 500, or the new one did not start.
    pub async fn add_worker(&self) -> Result<(), StartError> {
        if self.debug {
            tracing::warn!(target: "server", "add worker is not available in debug mode");
            return Ok(());
        }
        let failed = self.shared.with(|core| {
            let room = core.base + core.extra < MOST_WORKERS;
            core.base += usize::from(room);
            core.wake = true;
            room.then_some(core.failed_boots)
        });
        let Some(failed) = failed else {
            return Err(StartError(format!(
                "number of workers can't be more than {MOST_WORKERS}"
            )));
        };
        self.all_serve(failed).await.map_err(|error| {
            // Somebody may have taken one away meanwhile; the last one stays.
            self.shared.with(|core| core.base = core.base.saturating_sub(1).max(1));
            StartError(error)
        })
    }

    /// One worker less; the last one stays. Returns when it has gone, or after `destroy_timeout`.
    pub async fn remove_worker(&self) {
        if self.debug {
            tracing::warn!(target: "server", "remove worker is not available in debug mode");
            return;
        }
        let removed = self.shared.with(|core| {
            let more = core.base > 1;
            core.base -= usize::from(more);
            core.wake = true;
            more
        });
        if !removed {
            tracing::warn!(target: "server", "can't remove the last worker");
            return;
        }
        let gone = self.wait_until(|core| (core.slots.len() <= core.base + core.extra || core.closing).then_some(()));
        let _ = timeout(self.shared.destroy_timeout, gone).await;
    }

    /// Refuses new requests, lets running ones finish, stops every worker; at the deadline kills what is left. When it
    /// returns no process of the pool lives.
    pub async fn stop(&self, deadline: Instant) {
        let now = Instant::now();
        // SIGTERM comes a little before the end, for workers that do not heed the stop command.
        let left = deadline.saturating_duration_since(now);
        let terminate = deadline
            .checked_sub((left / 8).min(crate::worker::process::KILL_GRACE))
            .unwrap_or(now);
        self.shared.deadline.send_replace(Some(terminate));
        self.shared.with(Core::close);
        let empty = |core: &Core<_, _>| core.slots.is_empty().then_some(());
        if timeout_at(deadline.into(), self.wait_until(empty)).await.is_err() {
            self.shared.with(|core| core.abandon(Instant::now()));
            let _ = timeout(AFTER_KILL, self.wait_until(empty)).await;
        }
    }
}
