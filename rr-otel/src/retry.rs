//! How long to wait before a batch is sent again, and when to give it up.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
/// A batch that was not taken for so long is given up: newer ones wait behind it.
const IN_ALL: Duration = Duration::from_secs(60);

/// Why a batch was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    /// It may be taken another time.
    pub(crate) again: bool,
    /// When, if the collector says so.
    pub(crate) after: Option<Duration>,
}

impl Failure {
    /// It will never be taken.
    pub(crate) fn for_good(reason: impl ToString) -> Self {
        Self {
            reason: reason.to_string(),
            again: false,
            after: None,
        }
    }

    /// It may be taken another time.
    pub(crate) fn passing(reason: impl ToString) -> Self {
        Self {
            again: true,
            ..Self::for_good(reason)
        }
    }
}

/// The tries of one batch.
#[derive(Debug)]
pub(crate) struct Backoff {
    since: Instant,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            next: FIRST,
        }
    }

    /// How long to wait after this failure; `None` gives the batch up.
    pub(crate) fn wait(&mut self, failure: &Failure, now: Instant) -> Option<Duration> {
        let wait = failure.after.unwrap_or(self.next).min(LONGEST);
        self.next = (self.next * 2).min(LONGEST);
        let in_time = now.saturating_duration_since(self.since) + wait <= IN_ALL;
        (failure.again && in_time).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // OTEL-01
    #[test]
    fn waits_grow_and_end() {
        let start = Instant::now();
        let mut backoff = Backoff::new(start);
        let failure = Failure::passing("down");
        let mut now = start;
        let mut waits = Vec::new();
        while let Some(wait) = backoff.wait(&failure, now) {
            waits.push(wait.as_secs());
            now += wait;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16]);
    }

    // OTEL-01
    #[test]
    fn the_collector_may_say_when_and_that_it_is_final() {
        let now = Instant::now();
        let mut backoff = Backoff::new(now);
        let later = Failure {
            after: Some(Duration::from_secs(7)),
            ..Failure::passing("busy")
        };
        assert_eq!(backoff.wait(&later, now), Some(Duration::from_secs(7)));
        let never = Failure {
            after: Some(Duration::MAX),
            ..Failure::passing("busy")
        };
        assert_eq!(backoff.wait(&never, now), Some(LONGEST));
        assert_eq!(backoff.wait(&Failure::for_good("no"), now), None);
    }
}
