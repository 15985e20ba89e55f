//! The life of one plugin process as plain data: what is wanted, what is, and whether it is ready, kept apart.
//!
//! [`Lifecycle::on`] takes an event and says what to do; it starts nothing, asks no clock and cannot fail, so every
//! sequence of events can be tried. Whoever executes an action reports how it went as a further event.
//!
//! ```text
//!            start                 ready
//!   Down ─────────────► Up ─────────────────► Up, ready
//!    ▲  ▲                │ died                   │ died
//!    │  │ stop           ├── early: Waiting ──────┤ (backoff elapsed: Up)
//!    │  └── Waiting      ├── budget spent: Failed │
//!    │                   └── otherwise: Up again at once
//!    └── Stopping ◄── stop ── Up
//! ```

pub(crate) mod kept;

use rr_common::config::section::Restart;
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

/// A process that lived that long after it was ready did not die early. Below a second, so that one that is killed every second is
/// restarted at once each time.
const SETTLED: Duration = Duration::from_millis(500);

/// The longest wait before a restart.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// How often a kill is repeated until the process is gone.
const KILL_AGAIN: Duration = Duration::from_secs(5);

/// What we want of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It shall run.
    Up,
    /// It shall not.
    Down,
}

/// What is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actual {
    /// No process, and none to come.
    Down,
    /// No process; one comes after the backoff.
    Waiting {
        /// When it is started.
        until: Instant,
    },
    /// A process.
    Up {
        /// When it must be ready, else it is killed.
        ready_by: Instant,
    },
    /// A process that was asked to stop.
    Stopping {
        /// When it is killed.
        kill_at: Instant,
    },
    /// Given up: it died too often before it was of any use.
    Failed,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// It could not even be started.
    NotStarted,
    /// It is no child of ours: how it ended is told to others.
    Unseen,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody wants it up. A failed one gets a new budget.
    Start,
    /// A process is there that we have not started; it must say until then that it is ready.
    Arrived(Instant),
    /// It says that it is ready.
    Ready,
    /// The process is gone, or could not be started.
    Died,
    /// The time of [`Lifecycle::wake`] has come.
    Elapsed,
    /// Somebody wants it down, and dead at that time.
    Stop(Instant),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start a process.
    Spawn,
    /// Ask the process to stop.
    AskStop,
    /// Kill the process.
    Kill,
    /// The budget is spent: see to the sockets and tell the user.
    GiveUp,
}

/// The life of one plugin process.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle {
    restart: Restart,
    patience: Duration,
    wanted: Wanted,
    actual: Actual,
    ready: Option<Instant>,
    /// When a process that comes back had become ready.
    served: Option<Instant>,
    was_ready: bool,
    has_died: bool,
    early: VecDeque<Instant>,
}

impl Lifecycle {
    /// A plugin that is down and wanted so. A process that is not ready after `patience` is killed.
    pub(crate) fn new(restart: Restart, patience: Duration) -> Self {
        Self {
            restart,
            patience,
            wanted: Wanted::Down,
            actual: Actual::Down,
            ready: None,
            served: None,
            was_ready: false,
            has_died: false,
            early: VecDeque::new(),
        }
    }

    /// Takes an event; says what to do about it.
    pub(crate) fn on(&mut self, event: Event, now: Instant) -> Option<Action> {
        match event {
            Event::Start => self.start(now),
            Event::Arrived(ready_by) => {
                self.arrived(ready_by);
                None
            }
            Event::Ready => self.readied(now),
            Event::Died => self.died(now),
            Event::Elapsed => self.elapsed(now),
            Event::Stop(kill_at) => self.stop(kill_at),
        }
    }

    /// When [`Event::Elapsed`] is due.
    pub(crate) fn wake(&self) -> Option<Instant> {
        match self.actual {
            Actual::Waiting { until } => Some(until),
            Actual::Up { ready_by } if self.ready.is_none() => Some(ready_by),
            Actual::Stopping { kill_at } => Some(kill_at),
            Actual::Up { .. } | Actual::Down | Actual::Failed => None,
        }
    }

    /// Other rules for restarts, from the next death on.
    pub(crate) fn set_restart(&mut self, restart: Restart) {
        self.restart = restart;
    }

    /// A process that is not ready yet must be by then, if not sooner.
    pub(crate) fn hurry(&mut self, until: Instant) {
        if let Actual::Up { ready_by } = &mut self.actual
            && self.ready.is_none()
        {
            *ready_by = until.min(*ready_by);
        }
    }

    /// How long a process may take to be ready.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// What is.
    pub(crate) fn actual(&self) -> Actual {
        self.actual
    }

    /// True while a process is there that said it is ready and was not asked to stop.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.is_some() && matches!(self.actual, Actual::Up { .. })
    }

    /// True once any process of this plugin has been ready.
    pub(crate) fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// True while a process is there that has been ready, also when it has yet to come back to us.
    pub(crate) fn has_served(&self) -> bool {
        self.is_alive() && self.ready.or(self.served).is_some()
    }

    /// True while a process is there.
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.actual, Actual::Up { .. } | Actual::Stopping { .. })
    }

    /// True once any process of this plugin has died unasked.
    pub(crate) fn has_died(&self) -> bool {
        self.has_died
    }

    /// Whether a death now, that nobody asked for, would be one before it was of any use.
    pub(crate) fn is_early(&self, now: Instant) -> bool {
        let settled = |ready: Instant| now.saturating_duration_since(ready) >= SETTLED;
        !matches!(self.actual, Actual::Stopping { .. }) && !self.ready.or(self.served).is_some_and(settled)
    }

    fn start(&mut self, now: Instant) -> Option<Action> {
        self.wanted = Wanted::Up;
        match self.actual {
            Actual::Down | Actual::Failed => {
                self.early.clear();
                Some(self.spawn(now))
            }
            // A stopping one is started again when it is gone.
            Actual::Waiting { .. } | Actual::Up { .. } | Actual::Stopping { .. } => None,
        }
    }

    /// Whatever was wanted before stays wanted. It may have been ready for a long time, so its end is no failed start of the server.
    fn arrived(&mut self, ready_by: Instant) {
        if !self.is_alive() {
            self.ready = None;
            self.was_ready = true;
            self.actual = Actual::Up { ready_by };
        }
    }

    fn readied(&mut self, now: Instant) -> Option<Action> {
        if matches!(self.actual, Actual::Up { .. }) && self.ready.is_none() {
            self.ready = self.served.or(Some(now));
            self.was_ready = true;
        }
        None
    }

    fn died(&mut self, now: Instant) -> Option<Action> {
        if !self.is_alive() {
            return None;
        }
        let early = self.is_early(now);
        (self.ready, self.served) = (None, None);
        self.has_died |= !matches!(self.actual, Actual::Stopping { .. });
        if self.wanted == Wanted::Down {
            self.actual = Actual::Down;
            return None;
        }
        if !early {
            return Some(self.spawn(now));
        }
        let window = self.restart.window.get();
        self.early
            .retain(|death| now.saturating_duration_since(*death) < window);
        self.early.push_back(now);
        let count = self.early.len() as u64;
        if count >= self.restart.max.max(1) {
            self.actual = Actual::Failed;
            return Some(Action::GiveUp);
        }
        match self.backoff(count) {
            Duration::ZERO => Some(self.spawn(now)),
            wait => {
                self.actual = Actual::Waiting { until: now + wait };
                None
            }
        }
    }

    fn elapsed(&mut self, now: Instant) -> Option<Action> {
        match self.actual {
            Actual::Waiting { until } if until <= now => Some(self.spawn(now)),
            Actual::Up { ready_by } if self.ready.is_none() && ready_by <= now => {
                self.actual = Actual::Up {
                    ready_by: now + KILL_AGAIN,
                };
                Some(Action::Kill)
            }
            Actual::Stopping { kill_at } if kill_at <= now => {
                self.actual = Actual::Stopping {
                    kill_at: now + KILL_AGAIN,
                };
                Some(Action::Kill)
            }
            _ => None,
        }
    }

    fn stop(&mut self, kill_at: Instant) -> Option<Action> {
        self.wanted = Wanted::Down;
        match self.actual {
            Actual::Down | Actual::Waiting { .. } | Actual::Failed => {
                self.actual = Actual::Down;
                None
            }
            Actual::Up { .. } => {
                self.actual = Actual::Stopping { kill_at };
                Some(Action::AskStop)
            }
            Actual::Stopping { kill_at: earlier } => {
                self.actual = Actual::Stopping {
                    kill_at: kill_at.min(earlier),
                };
                None
            }
        }
    }

    fn spawn(&mut self, now: Instant) -> Action {
        self.ready = None;
        self.actual = Actual::Up {
            ready_by: now + self.patience,
        };
        Action::Spawn
    }

    /// The wait after the n-th early death: none, then the configured backoff, then twice as long each time.
    fn backoff(&self, early_deaths: u64) -> Duration {
        match early_deaths {
            0 | 1 => Duration::ZERO,
            n => {
                let doublings = u32::try_from(n - 2).unwrap_or(u32::MAX).min(16);
                (self.restart.backoff.get() * 2_u32.pow(doublings)).min(LONGEST_BACKOFF)
            }
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "{signal}"),
                Err(_) => write!(f, "signal {number}"),
            },
            Self::NotStarted => f.write_str("not started"),
            Self::Unseen => f.write_str("ended"),
        }
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
