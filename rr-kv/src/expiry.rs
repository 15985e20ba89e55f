//! When a key ends: a moment of wall-clock time, because clients name an absolute one and a stored key must end at the
//! same moment after a restart.

use crate::rfc3339::{self, BadTime};
use jiff::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in milliseconds since 1970. From `Expiry` on a key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(u64);

impl Expiry {
    /// The present moment.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// That many milliseconds after 1970.
    pub const fn at(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since 1970.
    pub const fn milliseconds(self) -> u64 {
        self.0
    }

    /// Seconds since 1970, rounded up: for servers that count in seconds.
    pub const fn seconds(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// Reads an RFC 3339 time. A moment before 1970 is 1970.
    ///
    /// # Errors
    /// It is none; the text is Go's.
    pub fn parse(text: &str) -> Result<Self, BadTime> {
        rfc3339::parse(text).map(|milliseconds| Self(u64::try_from(milliseconds).unwrap_or(0)))
    }

    /// As RFC 3339 in UTC. Whole seconds, rounded up: the public PHP package reads no fractions.
    pub fn text(self) -> String {
        let seconds = i64::try_from(self.seconds()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds)
            .unwrap_or(Timestamp::MAX)
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string()
    }

    /// Whether a key with this expiry is gone at that moment.
    pub const fn is_past(self, now: Self) -> bool {
        self.0 <= now.0
    }

    /// How long from then until this moment; zero if it is past.
    pub const fn after(self, now: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now.0))
    }
}
