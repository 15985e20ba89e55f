//! Whether the RPC thread is alive: it must have carried out a small task since we last looked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::runtime::Handle;

/// The pulse of another thread's runtime.
#[derive(Debug)]
pub(super) struct Pulse {
    runtime: Handle,
    felt: Arc<AtomicBool>,
}

impl Pulse {
    /// It counts as alive until the first look.
    pub(super) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            felt: Arc::new(AtomicBool::new(true)),
        }
    }

    /// True when it has answered since the last look; then it is asked again. An unanswered question stays the only one.
    pub(super) fn take(&self) -> bool {
        let alive = self.felt.swap(false, Ordering::AcqRel);
        if alive {
            let felt = Arc::clone(&self.felt);
            self.runtime.spawn(async move { felt.store(true, Ordering::Release) });
        }
        alive
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_hangs_has_no_pulse_until_it_goes_on() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let pulse = Pulse::new(runtime.handle().clone());
        assert!(pulse.take());
        // Nobody runs the runtime now.
        assert!(!pulse.take());
        assert!(!pulse.take());
        runtime.block_on(tokio::task::yield_now());
        assert!(pulse.take());
    }
}
