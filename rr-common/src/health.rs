//! Whether a server that a plugin needs is there, as the last question to it saw it: what `/health` asks for, without a
//! question of its own each time.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// What was seen more recently than this need not be looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// What is known, and since when.
#[derive(Debug, Default)]
pub struct Health(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    trouble: Option<String>,
    seen: Option<Instant>,
}

impl Health {
    /// It has answered.
    pub fn good(&self, now: Instant) {
        let mut known = self.lock();
        known.trouble = None;
        known.seen = Some(now);
    }

    /// It has not, for this reason.
    pub fn bad(&self, now: Instant, trouble: String) {
        let mut known = self.lock();
        known.trouble = Some(trouble);
        known.seen = Some(now);
    }

    /// What is wrong, and whether it is time to look again. Who is told to look has until the next time to do so.
    pub fn ask(&self, now: Instant) -> (Option<String>, bool) {
        let mut known = self.lock();
        let fresh = known
            .seen
            .is_some_and(|seen| now.saturating_duration_since(seen) < FRESH);
        if !fresh {
            known.seen = Some(now);
        }
        (known.trouble.clone(), !fresh)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{FRESH, Health};
    use std::time::Instant;

    #[test]
    fn the_last_command_tells_and_an_old_answer_is_looked_at_again() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!(health.ask(now), (None, true), "nothing is known yet");
        assert_eq!(health.ask(now), (None, false), "somebody looks already");
        health.bad(now, "gone".into());
        assert_eq!(health.ask(now), (Some("gone".into()), false));
        assert_eq!(health.ask(now + FRESH), (Some("gone".into()), true));
        health.good(now + FRESH);
        assert_eq!(health.ask(now + FRESH), (None, false));
    }
}
