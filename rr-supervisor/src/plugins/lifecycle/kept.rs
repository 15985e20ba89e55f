//! What of a plugin's life lives through an upgrade of the supervisor: what the next restart is judged by, and whether there is to be
//! one.
//!
//! A process that is there comes back by itself ([`Event::Arrived`](super::Event)); then it is as old as it was. Where there is none the
//! plugin stays given up, or waits on.

use super::{Actual, LONGEST_BACKOFF, Lifecycle, Wanted};
use crate::renew::words::Moment;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// A life in words.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    actual: Standing,
    was_ready: bool,
    early: Vec<Moment>,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// There is no process, or one that is to go.
    #[default]
    Down,
    /// The next process comes then.
    Waiting(Moment),
    /// A process, and since when it is ready.
    Up(Option<Moment>),
    /// Given up.
    Failed,
}

impl Lifecycle {
    /// The life in words.
    pub(crate) fn pack(&self, now: Instant) -> Kept {
        Kept {
            actual: match self.actual {
                Actual::Down | Actual::Stopping { .. } => Standing::Down,
                Actual::Waiting { until } => Standing::Waiting(Moment::of(until, now)),
                Actual::Up { .. } => Standing::Up(self.ready.or(self.served).map(|ready| Moment::of(ready, now))),
                Actual::Failed => Standing::Failed,
            },
            was_ready: self.was_ready,
            early: self.early.iter().map(|death| Moment::of(*death, now)).collect(),
        }
    }

    /// Goes on with such a life, if that is where this one stands: with a process, or without. True if it is one that was given up.
    pub(crate) fn recall(&mut self, kept: &Kept, now: Instant) -> bool {
        let most = usize::try_from(self.restart.max).unwrap_or(usize::MAX);
        let too_many = kept.early.len().saturating_sub(most);
        self.early = kept.early[too_many..].iter().map(|death| death.at(now)).collect();
        self.was_ready |= kept.was_ready;
        match (self.actual, kept.actual) {
            (Actual::Up { .. }, Standing::Up(Some(ready))) if self.ready.is_none() => {
                self.served = Some(ready.at(now).min(now));
            }
            (Actual::Down, Standing::Waiting(until)) => {
                let until = until.at(now).min(now + LONGEST_BACKOFF);
                self.rest(Actual::Waiting { until });
            }
            (Actual::Down, Standing::Failed) => self.rest(Actual::Failed),
            _ => {}
        }
        matches!((self.actual, kept.actual), (Actual::Failed, Standing::Failed))
    }

    /// It is wanted, and its last process has died.
    fn rest(&mut self, actual: Actual) {
        self.wanted = Wanted::Up;
        self.has_died = true;
        self.actual = actual;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plugins::lifecycle::{Action, Event};
    use proptest::prelude::*;
    use rr_common::config::section::Restart;
    use std::{mem::discriminant, time::Duration};

    fn life() -> Lifecycle {
        let restart = Restart {
            max: 4,
            ..Restart::default()
        };
        Lifecycle::new(restart, Duration::from_secs(60))
    }

    /// What the next program makes of it; a process that was there comes back to it.
    fn next(old: &Lifecycle, now: Instant, shift: Duration) -> Lifecycle {
        let words = serde_json::to_string(&old.pack(now)).unwrap();
        let kept: Kept = serde_json::from_str(&words).unwrap();
        let mut new = life();
        if old.is_alive() {
            new.on(Event::Arrived(now + shift + Duration::from_secs(10)), now + shift);
            new.on(Event::Start, now + shift);
        }
        new.recall(&kept, now + shift);
        new
    }

    fn event(number: u8, now: Instant) -> Event {
        match number {
            0 => Event::Start,
            1 | 2 => Event::Ready,
            3 => Event::Elapsed,
            4 => Event::Stop(now + Duration::from_secs(1)),
            _ => Event::Died,
        }
    }

    proptest! {
        #[test]
        fn it_goes_on_as_if_nothing_had_happened(
            before in prop::collection::vec((0..9_u8, 0..3000_u64), 0..30),
            after in prop::collection::vec((0..9_u8, 0..3000_u64), 0..30),
            shift in 0..1000_u64,
            returns in any::<bool>(),
        ) {
            let (mut old, mut now, shift) = (life(), Instant::now(), Duration::from_secs(shift));
            old.on(Event::Start, now);
            for (number, millis) in before {
                now += Duration::from_millis(millis);
                old.on(event(number, now), now);
            }
            // Others are on their way, and no moment for it.
            let wanted = old.wanted == Wanted::Up;
            prop_assume!(wanted && (old.is_ready() || matches!(old.actual(), Actual::Waiting { .. } | Actual::Failed)));
            let mut new = next(&old, now, shift);
            if returns {
                new.on(Event::Ready, now + shift);
            }
            for (number, millis) in after {
                now += Duration::from_millis(millis);
                // Without it the process is not there for us yet: its death comes first.
                let event = event(if returns { number } else { 8 }, now);
                let shifted = match event {
                    Event::Stop(at) => Event::Stop(at + shift),
                    ref other => other.clone(),
                };
                let acted: (Option<Action>, _) = (old.on(event, now), new.on(shifted, now + shift));
                prop_assert_eq!(acted.0, acted.1);
                prop_assert_eq!(discriminant(&old.actual()), discriminant(&new.actual()));
                prop_assert_eq!(old.wake().map(|wake| wake + shift), new.wake());
                prop_assert_eq!(old.was_ready(), new.was_ready());
            }
        }
    }

    #[test]
    fn what_comes_in_is_bounded() {
        let now = Instant::now();
        let mut life = life();
        let kept = Kept {
            actual: Standing::Waiting(Moment::of(now + Duration::from_secs(1 << 40), now)),
            early: vec![Moment::of(now, now); 100],
            ..Kept::default()
        };
        assert!(!life.recall(&kept, now));
        assert_eq!(life.wake(), Some(now + LONGEST_BACKOFF));
        assert_eq!(life.early.len(), 4);
    }

    /// The configuration may have changed its mind: what is up by now stays up.
    #[test]
    fn a_process_that_is_there_is_not_given_up() {
        let now = Instant::now();
        let mut life = life();
        life.on(Event::Start, now);
        let kept = Kept {
            actual: Standing::Failed,
            ..Kept::default()
        };
        assert!(!life.recall(&kept, now));
        assert!(life.is_alive());
    }
}
