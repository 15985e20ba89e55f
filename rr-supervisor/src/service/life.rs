//! The life of one process of a service as plain data: [`Life::on`] takes an event and says what to do.
//!
//! ```text
//!            start                  stop
//!   Down ─────────────► Up ──────────────────► Stopping ── died ──► Down
//!    ▲                  ▲ │ died                   │
//!    │ (no restart)     │ ▼                        │ died, wanted again
//!    └───────────────── Waiting ◄─ restart rule    └──────────────► Up
//! ```

mod packed;

pub(super) use packed::Packed;

use crate::plugins::lifecycle::Exit;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// A process that failed within that time of its start was of no use.
const QUICK: Duration = Duration::from_secs(1);

/// So many quick failures in a row are met with the configured wait; after that it doubles each time.
const PATIENT: u32 = 5;

/// The longest wait of that kind, unless the configured one is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How often a kill is repeated until the process is gone.
const KILL_AGAIN: Duration = Duration::from_secs(5);

/// What the configuration says about a process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rules {
    /// The longest run; then it is killed.
    pub exec_timeout: Option<Duration>,
    /// The wait before it is started again after any exit; without one it is not.
    pub restart: Option<Duration>,
    /// Between the request to stop and the kill.
    pub stop: Duration,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It shall run.
    Start,
    /// The process is gone, or could not be started.
    Died(Exit),
    /// The time of [`Life::wake`] has come.
    Elapsed,
    /// It shall not run any more, and be dead at that time.
    Stop(Instant),
    /// A new process shall take its place.
    Restart,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start a process.
    Spawn,
    /// Ask the process to stop.
    Interrupt,
    /// Kill it: it does not stop.
    Kill,
    /// Kill it: it has run for too long.
    TimeOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actual {
    Down,
    Waiting {
        until: Instant,
    },
    Up {
        since: Instant,
        kill_at: Option<Instant>,
        timed_out: bool,
    },
    Stopping {
        kill_at: Instant,
    },
}

/// The life of one process.
#[derive(Clone, Debug)]
pub(super) struct Life {
    rules: Rules,
    wanted: bool,
    actual: Actual,
    /// Quick failures in a row.
    failures: u32,
}

impl Life {
    /// Down, and wanted so.
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            wanted: false,
            actual: Actual::Down,
            failures: 0,
        }
    }

    /// Takes an event; says what to do about it.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Option<Action> {
        match event {
            Event::Start => self.start(now),
            Event::Died(exit) => self.died(exit, now),
            Event::Elapsed => self.elapsed(now),
            Event::Stop(deadline) => self.stop(deadline, now),
            Event::Restart => {
                self.wanted = true;
                self.failures = 0;
                match self.actual {
                    Actual::Down | Actual::Waiting { .. } => Some(self.spawn(now)),
                    Actual::Up { .. } => Some(self.interrupt(now + self.rules.stop)),
                    Actual::Stopping { .. } => None,
                }
            }
        }
    }

    /// When [`Event::Elapsed`] is due.
    pub(super) fn wake(&self) -> Option<Instant> {
        match self.actual {
            Actual::Down => None,
            Actual::Waiting { until } => Some(until),
            Actual::Up { kill_at, .. } => kill_at,
            Actual::Stopping { kill_at } => Some(kill_at),
        }
    }

    /// True when there is no process, and none to come.
    pub(super) fn is_down(&self) -> bool {
        self.actual == Actual::Down
    }

    /// True while a process was asked to stop and has not ended.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.actual, Actual::Stopping { .. })
    }

    fn start(&mut self, now: Instant) -> Option<Action> {
        self.wanted = true;
        (self.actual == Actual::Down).then(|| self.spawn(now))
    }

    fn died(&mut self, exit: Exit, now: Instant) -> Option<Action> {
        match self.actual {
            Actual::Up { since, timed_out, .. } => {
                let quick = now.saturating_duration_since(since) < QUICK && !timed_out;
                self.failures = match exit {
                    Exit::Code(0) => 0,
                    _ if quick => self.failures.saturating_add(1),
                    _ => 0,
                };
                self.actual = match self.rules.restart {
                    Some(wait) => Actual::Waiting {
                        until: now + self.backoff(wait),
                    },
                    None => Actual::Down,
                };
                None
            }
            Actual::Stopping { .. } if self.wanted => Some(self.spawn(now)),
            Actual::Stopping { .. } => {
                self.actual = Actual::Down;
                None
            }
            Actual::Down | Actual::Waiting { .. } => None,
        }
    }

    fn elapsed(&mut self, now: Instant) -> Option<Action> {
        match &mut self.actual {
            Actual::Waiting { until } if *until <= now => Some(self.spawn(now)),
            Actual::Up {
                kill_at: Some(kill_at),
                timed_out,
                ..
            } if *kill_at <= now => {
                *kill_at = now + KILL_AGAIN;
                *timed_out = true;
                Some(Action::TimeOut)
            }
            Actual::Stopping { kill_at } if *kill_at <= now => {
                *kill_at = now + KILL_AGAIN;
                Some(Action::Kill)
            }
            _ => None,
        }
    }

    fn stop(&mut self, deadline: Instant, now: Instant) -> Option<Action> {
        self.wanted = false;
        match &mut self.actual {
            Actual::Down => None,
            Actual::Waiting { .. } => {
                self.actual = Actual::Down;
                None
            }
            Actual::Up { .. } => Some(self.interrupt(deadline.min(now + self.rules.stop))),
            Actual::Stopping { kill_at } => {
                *kill_at = deadline.min(*kill_at);
                None
            }
        }
    }

    fn spawn(&mut self, now: Instant) -> Action {
        self.actual = Actual::Up {
            since: now,
            kill_at: self.rules.exec_timeout.map(|longest| now + longest),
            timed_out: false,
        };
        Action::Spawn
    }

    /// The end of the longest run stays what it was.
    fn interrupt(&mut self, kill_at: Instant) -> Action {
        let sooner = self.wake().unwrap_or(kill_at);
        self.actual = Actual::Stopping {
            kill_at: kill_at.min(sooner),
        };
        Action::Interrupt
    }

    /// The wait before the next start.
    fn backoff(&self, wait: Duration) -> Duration {
        let doublings = self.failures.saturating_sub(PATIENT).min(16);
        (wait * 2_u32.pow(doublings)).min(LONGEST_WAIT.max(wait))
    }
}

#[cfg(test)]
#[path = "life_tests.rs"]
mod tests;
