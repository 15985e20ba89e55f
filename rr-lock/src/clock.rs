//! The clocks of time limits and of tokens.

use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since the boot of the machine, sleep included. Every process sees the same, so that a deadline in the memory
/// file means the same to the next one, and no change of the wall clock moves it.
pub(crate) fn now() -> u64 {
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(time) => micros(Duration::from(time)),
        // Linux has had this clock since 2.6.39.
        Err(_) => 0,
    }
}

/// Where tokens begin in a new memory file: above all of an earlier server, which gave out less than one a microsecond.
pub(crate) fn first_token() -> u64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A duration in microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
