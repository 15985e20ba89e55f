//! Which of the open connections a command takes, as plain data.
//!
//! A connection carries many commands at once, so one is enough until it is crowded; then another is opened, up to the
//! limit. A connection that has died, is too old or was idle for too long is left behind when somebody asks for one: what
//! is under way on it finishes.

use std::time::{Duration, Instant};

/// So many commands under way on each connection ask for one more.
const CROWDED: usize = 32;

/// What is asked of a connection here.
pub(crate) trait Link: Clone {
    /// Whether it can still carry commands.
    fn alive(&self) -> bool;
}

/// The open connections.
#[derive(Debug)]
pub(crate) struct Lanes<L> {
    lanes: Vec<Lane<L>>,
    next: u64,
    limit: usize,
    max_age: Option<Duration>,
    max_idle: Duration,
    /// Connections left behind so far.
    stale: u64,
}

#[derive(Debug)]
struct Lane<L> {
    id: u64,
    link: L,
    opened: Instant,
    used: Instant,
    busy: usize,
}

/// What a command gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pick<L> {
    /// This connection, by its id; `grow` asks for one more beside it.
    Take { id: u64, link: L, grow: bool },
    /// None is open: open one.
    Open,
}

impl<L: Link> Lanes<L> {
    pub(crate) fn new(limit: usize, max_age: Option<Duration>, max_idle: Duration) -> Self {
        Self {
            lanes: Vec::new(),
            next: 0,
            limit: limit.max(1),
            max_age,
            max_idle,
            stale: 0,
        }
    }

    /// The connection for one command; [`Lanes::done`] gives it back.
    pub(crate) fn pick(&mut self, now: Instant) -> Pick<L> {
        self.sweep(now);
        let open = self.lanes.len();
        let Some(lane) = self.lanes.iter_mut().min_by_key(|lane| lane.busy) else {
            return Pick::Open;
        };
        lane.busy += 1;
        Pick::Take {
            id: lane.id,
            link: lane.link.clone(),
            grow: lane.busy > CROWDED && open < self.limit,
        }
    }

    /// A connection that has been opened; it carries no command yet.
    pub(crate) fn put(&mut self, link: L, now: Instant) {
        if self.lanes.len() >= self.limit {
            return;
        }
        self.next += 1;
        self.lanes.push(Lane {
            id: self.next,
            link,
            opened: now,
            used: now,
            busy: 0,
        });
    }

    /// A command on it has ended.
    pub(crate) fn done(&mut self, id: u64, now: Instant) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == id) {
            lane.busy = lane.busy.saturating_sub(1);
            lane.used = now;
        }
    }

    /// It is of no use any more.
    pub(crate) fn leave(&mut self, id: u64) {
        let before = self.lanes.len();
        self.lanes.retain(|lane| lane.id != id);
        self.stale += (before - self.lanes.len()) as u64;
    }

    /// How many are open, how many of these carry nothing, and how many were left behind.
    pub(crate) fn counts(&mut self, now: Instant) -> (usize, usize, u64) {
        self.sweep(now);
        let idle = self.lanes.iter().filter(|lane| lane.busy == 0).count();
        (self.lanes.len(), idle, self.stale)
    }

    fn sweep(&mut self, now: Instant) {
        let (max_age, max_idle) = (self.max_age, self.max_idle);
        let before = self.lanes.len();
        self.lanes.retain(|lane| {
            let old = max_age.is_some_and(|limit| now.saturating_duration_since(lane.opened) >= limit);
            let idle = lane.busy == 0 && now.saturating_duration_since(lane.used) >= max_idle;
            lane.link.alive() && !old && !idle
        });
        self.stale += (before - self.lanes.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Clone, Debug)]
    struct Wire(Arc<AtomicBool>);

    impl Wire {
        fn new() -> Self {
            Self(Arc::new(AtomicBool::new(true)))
        }
    }

    impl Link for Wire {
        fn alive(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn lanes(limit: usize) -> (Lanes<Wire>, Instant) {
        let age = Some(Duration::from_secs(100));
        (Lanes::new(limit, age, Duration::from_secs(10)), Instant::now())
    }

    fn take(lanes: &mut Lanes<Wire>, now: Instant) -> Option<(u64, bool)> {
        match lanes.pick(now) {
            Pick::Take { id, grow, .. } => Some((id, grow)),
            Pick::Open => None,
        }
    }

    #[test]
    fn one_connection_is_shared_until_it_is_crowded() {
        let (mut lanes, now) = lanes(2);
        assert_eq!(take(&mut lanes, now), None);
        lanes.put(Wire::new(), now);
        for _ in 0..CROWDED {
            assert_eq!(take(&mut lanes, now), Some((1, false)));
        }
        assert_eq!(take(&mut lanes, now), Some((1, true)), "one more than it likes");
        lanes.put(Wire::new(), now);
        assert_eq!(take(&mut lanes, now), Some((2, false)), "the emptier one");
        lanes.put(Wire::new(), now);
        assert_eq!(lanes.counts(now), (2, 0, 0), "never above the limit");
        for _ in 0..2 * CROWDED {
            let (_, grow) = take(&mut lanes, now).unwrap_or_default();
            assert!(!grow, "at the limit nothing grows");
        }
    }

    #[test]
    fn the_dead_the_old_and_the_idle_are_left_behind() {
        let (mut lanes, now) = lanes(4);
        let wire = Wire::new();
        lanes.put(wire.clone(), now);
        wire.0.store(false, Ordering::Relaxed);
        assert_eq!(take(&mut lanes, now), None, "dead");
        lanes.put(Wire::new(), now);
        assert_eq!(take(&mut lanes, now + Duration::from_secs(9)), Some((2, false)));
        assert_eq!(
            take(&mut lanes, now + Duration::from_secs(50)),
            Some((2, false)),
            "a busy one is not idle"
        );
        assert_eq!(take(&mut lanes, now + Duration::from_secs(100)), None, "old");
        lanes.put(Wire::new(), now);
        assert_eq!(take(&mut lanes, now + Duration::from_secs(10)), None, "idle");
        assert_eq!(lanes.counts(now), (0, 0, 3));
    }

    #[test]
    fn what_ends_after_its_connection_was_left_is_no_harm() {
        let (mut lanes, now) = lanes(4);
        lanes.put(Wire::new(), now);
        assert_eq!(take(&mut lanes, now), Some((1, false)));
        lanes.leave(1);
        lanes.done(1, now);
        lanes.leave(1);
        assert_eq!(lanes.counts(now), (0, 0, 1));
    }
}
