//! A life in words, for the next program of this process. A moment travels as the time from now to it, which is nothing for one that
//! has come already: both are the same to every event.

use super::{Actual, Life, QUICK, Rules};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A life at one moment, without its rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::service) struct Packed {
    wanted: bool,
    stage: Stage,
    failures: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    #[default]
    Down,
    Waiting {
        wait: Duration,
    },
    Up {
        age: Duration,
        kill_in: Option<Duration>,
        timed_out: bool,
    },
    Stopping {
        kill_in: Duration,
    },
}

impl Packed {
    /// True while there is a process.
    pub(in crate::service) fn has_process(&self) -> bool {
        matches!(self.stage, Stage::Up { .. } | Stage::Stopping { .. })
    }
}

impl Life {
    /// What is to be known of it.
    pub(in crate::service) fn pack(&self, now: Instant) -> Packed {
        let until = |moment: Instant| moment.saturating_duration_since(now);
        let stage = match self.actual {
            Actual::Down => Stage::Down,
            Actual::Waiting { until: moment } => Stage::Waiting { wait: until(moment) },
            Actual::Up {
                since,
                kill_at,
                timed_out,
            } => Stage::Up {
                age: now.saturating_duration_since(since),
                kill_in: kill_at.map(until),
                timed_out,
            },
            Actual::Stopping { kill_at } => Stage::Stopping {
                kill_in: until(kill_at),
            },
        };
        Packed {
            wanted: self.wanted,
            stage,
            failures: self.failures,
        }
    }

    /// Goes on with it.
    pub(in crate::service) fn unpack(packed: Packed, rules: Rules, now: Instant) -> Self {
        // Whatever the number says, the clock does not overflow.
        let later = |time: Duration| now.checked_add(time).unwrap_or(now);
        let actual = match packed.stage {
            Stage::Down => Actual::Down,
            Stage::Waiting { wait } => Actual::Waiting { until: later(wait) },
            Stage::Up {
                age,
                kill_in,
                timed_out,
            } => Actual::Up {
                // It only matters whether its begin is over.
                since: now.checked_sub(age.min(QUICK)).unwrap_or(now),
                kill_at: kill_in.map(later),
                timed_out,
            },
            Stage::Stopping { kill_in } => Actual::Stopping {
                kill_at: later(kill_in),
            },
        };
        Self {
            rules,
            wanted: packed.wanted,
            actual,
            failures: packed.failures,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::Event;
    use super::*;
    use crate::plugins::lifecycle::Exit;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn through_words(life: &Life, now: Instant) -> Life {
        let words = serde_json::to_string(&life.pack(now)).unwrap();
        Life::unpack(serde_json::from_str(&words).unwrap(), life.rules, now)
    }

    /// What others can see of it. Whether a moment that has come did so lately or long ago is seen by nobody.
    fn seen(life: &Life, now: Instant) -> (Option<Instant>, bool, bool) {
        let wake = life.wake().map(|wake| wake.max(now));
        (wake, life.is_down(), life.is_stopping())
    }

    proptest! {
        #[test]
        fn one_that_was_packed_at_any_moment_goes_on_as_it_would_have(
            events in prop::collection::vec((0..7_u8, 0..3000_u64), 0..40),
            packed_before in prop::collection::vec(any::<bool>(), 40),
            timed in any::<bool>(),
            again in any::<bool>(),
        ) {
            let mut now = Instant::now();
            let mut life = Life::new(Rules {
                exec_timeout: timed.then_some(SECOND * 2),
                restart: again.then_some(SECOND),
                stop: SECOND,
            });
            let mut other = life.clone();
            for ((kind, millis), pack) in events.into_iter().zip(packed_before) {
                now += Duration::from_millis(millis);
                if pack {
                    prop_assert_eq!(life.pack(now).has_process(), !life.is_down() && !matches!(life.actual, Actual::Waiting { .. }));
                    other = through_words(&other, now);
                }
                let event = match kind {
                    0 => Event::Start,
                    1 => Event::Died(Exit::Code(0)),
                    2 | 3 => Event::Died(Exit::Signal(9)),
                    4 => Event::Stop(now + SECOND / 2),
                    5 => Event::Restart,
                    _ => Event::Elapsed,
                };
                prop_assert_eq!(life.on(event, now), other.on(event, now));
                prop_assert_eq!(seen(&life, now), seen(&other, now));
            }
        }

        #[test]
        fn any_words_are_a_life_or_an_error(stage in any::<u8>(), seconds in any::<u64>(), nanos in 0..1_000_000_000_u32, wanted in any::<bool>(), failures in any::<u32>()) {
            let time = Duration::new(seconds, nanos);
            let stage = match stage % 4 {
                0 => Stage::Down,
                1 => Stage::Waiting { wait: time },
                2 => Stage::Up { age: time, kill_in: Some(time), timed_out: wanted },
                _ => Stage::Stopping { kill_in: time },
            };
            let rules = Rules { exec_timeout: Some(SECOND), restart: Some(SECOND), stop: SECOND };
            let now = Instant::now();
            let mut life = Life::unpack(Packed { wanted, stage, failures }, rules, now);
            for event in [Event::Elapsed, Event::Died(Exit::Code(1)), Event::Restart, Event::Stop(now), Event::Died(Exit::Unseen)] {
                life.on(event, now);
            }
            prop_assert!(life.is_down() || life.wake().is_some());
        }
    }
}
