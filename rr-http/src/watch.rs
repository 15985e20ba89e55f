//! Watches the connections of one thread: closes those that keep us waiting, and tells all of them when the server drains.
//!
//! No timer runs per request. A connection notes the tick at which its present phase began (one relaxed store); a sweep, a
//! few times per shortest limit, closes what is over its own. While no connection is open nothing wakes up.

use crate::connection::{Connection, Order};
use slab::Slab;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// A moment in sweeps since the start; wraps around.
pub(crate) type Tick = u32;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The first byte.
    New,
    /// The next request.
    Idle,
    /// The rest of a request's head, or of a TLS handshake.
    Head,
    /// PHP, or the client's body, which has its own clock.
    Busy,
}

impl Phase {
    /// The phase with this number.
    pub(crate) fn from_number(number: u8) -> Self {
        [Self::New, Self::Idle, Self::Head]
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Busy)
    }
}

/// Longest waits, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) head: Tick,
    pub(crate) idle: Tick,
    pub(crate) write: Tick,
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) phase: Phase,
    pub(crate) since: Tick,
    /// When the client stopped taking bytes.
    pub(crate) blocked: Option<Tick>,
}

/// The connections of one thread.
#[derive(Debug)]
pub(crate) struct Watch {
    period: Duration,
    limits: Limits,
    now: AtomicU32,
    table: Mutex<Table>,
    opened: Notify,
    closed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    open: Slab<Arc<Connection>>,
    order: Option<Order>,
}

/// Keeps a connection listed; dropping it takes it off the list.
#[derive(Debug)]
pub(crate) struct Listed {
    watch: Arc<Watch>,
    key: usize,
}

impl Limits {
    /// The sweep's period for these limits (a quarter of the shortest, between 20 ms and 15 s), and the limits in ticks.
    /// Zero switches a limit off.
    pub(crate) fn new(head: Duration, idle: Duration, write: Duration) -> (Duration, Self) {
        let shortest = [head, idle, write].into_iter().filter(|d| !d.is_zero()).min();
        let period = (shortest.unwrap_or(Duration::MAX) / 4).clamp(Duration::from_millis(20), Duration::from_secs(15));
        let ticks = |limit: Duration| match limit.is_zero() {
            true => Tick::MAX,
            // One more: a phase may begin just before a tick.
            false => u32::try_from(limit.as_nanos().div_ceil(period.as_nanos()) + 1).unwrap_or(Tick::MAX),
        };
        (
            period,
            Self {
                head: ticks(head),
                idle: ticks(idle),
                write: ticks(write),
            },
        )
    }

    /// True if the connection has kept us waiting too long.
    pub(crate) fn exceeded(&self, at: Standing, now: Tick) -> bool {
        let waited = now.wrapping_sub(at.since);
        let phase = match at.phase {
            Phase::Idle => waited >= self.idle,
            Phase::New | Phase::Head => waited >= self.head,
            Phase::Busy => false,
        };
        phase || at.blocked.is_some_and(|since| now.wrapping_sub(since) >= self.write)
    }
}

impl Watch {
    /// A watch with these limits; zero switches one off.
    pub(crate) fn new(head: Duration, idle: Duration, write: Duration) -> Self {
        let (period, limits) = Limits::new(head, idle, write);
        Self {
            period,
            limits,
            now: AtomicU32::new(1),
            table: Mutex::default(),
            opened: Notify::new(),
            closed: Notify::new(),
        }
    }

    /// The present tick.
    pub(crate) fn now(&self) -> Tick {
        self.now.load(Relaxed)
    }

    /// Lists a new connection.
    pub(crate) fn list(self: &Arc<Self>, connection: &Arc<Connection>) -> Listed {
        let mut table = self.table();
        if let Some(order) = table.order {
            connection.order(order);
        }
        let key = table.open.insert(connection.clone());
        if table.open.len() == 1 {
            self.opened.notify_one();
        }
        Listed {
            watch: self.clone(),
            key,
        }
    }

    /// Gives an order to every connection, also to those that come later.
    pub(crate) fn order(&self, order: Order) {
        let mut table = self.table();
        table.order = Some(order);
        for (_, connection) in &table.open {
            connection.order(order);
        }
    }

    /// Returns when no connection is open.
    pub(crate) async fn emptied(&self) {
        loop {
            let closed = self.closed.notified();
            if self.table().open.is_empty() {
                return;
            }
            closed.await;
        }
    }

    /// Sweeps for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            if self.table().open.is_empty() {
                self.opened.notified().await;
            }
            tokio::time::sleep(self.period).await;
            let now = self.now.fetch_add(1, Relaxed).wrapping_add(1);
            for (_, connection) in &self.table().open {
                if self.limits.exceeded(connection.standing(), now) {
                    connection.order(Order::Close);
                }
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut table = self.watch.table();
        table.open.try_remove(self.key);
        if table.open.is_empty() {
            // What a burst of connections needed is given back.
            table.open.shrink_to_fit();
            self.watch.closed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_phase_has_its_own_limit() {
        let (period, limits) = Limits::new(60 * SECOND, 3600 * SECOND, 300 * SECOND);
        assert_eq!(period, 15 * SECOND);
        let at = |phase, since, blocked| Standing { phase, since, blocked };
        assert!(!limits.exceeded(at(Phase::Head, 100, None), 104));
        assert!(limits.exceeded(at(Phase::Head, 100, None), 105));
        assert!(!limits.exceeded(at(Phase::Idle, 100, None), 105));
        assert!(limits.exceeded(at(Phase::Idle, 100, None), 341));
        assert!(!limits.exceeded(at(Phase::Busy, 0, None), 1_000_000));
        assert!(limits.exceeded(at(Phase::Busy, 0, Some(10)), 31));
        // The clock wraps around.
        assert!(!limits.exceeded(at(Phase::Head, u32::MAX, None), 2));
        assert!(limits.exceeded(at(Phase::Head, u32::MAX, None), 4));
    }

    #[test]
    fn zero_switches_a_limit_off() {
        let (period, limits) = Limits::new(Duration::ZERO, Duration::ZERO, Duration::ZERO);
        assert_eq!(period, 15 * SECOND);
        let at = Standing {
            phase: Phase::Head,
            since: 0,
            blocked: Some(0),
        };
        assert!(!limits.exceeded(at, 4_000_000_000));
    }

    #[test]
    fn short_limits_are_watched_closely() {
        let (period, _) = Limits::new(Duration::from_millis(200), 60 * SECOND, 60 * SECOND);
        assert_eq!(period, Duration::from_millis(50));
    }
}
