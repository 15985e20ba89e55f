//! Polling with a bound: how a test waits for a state.

use std::time::{Duration, Instant};

/// The bound for states that come within milliseconds unless something is broken.
pub const SOON: Duration = Duration::from_secs(15);

/// Polls until `condition` holds; false if it does not within `bound`.
pub fn holds_within(bound: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + bound;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place of the tests that sleeps: it polls with a bound"
        )]
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Polls until `condition` holds.
///
/// # Panics
/// When it does not within `bound`.
#[track_caller]
pub fn eventually(bound: Duration, condition: impl FnMut() -> bool) {
    assert!(
        holds_within(bound, condition),
        "the condition did not come true within {bound:?}"
    );
}
