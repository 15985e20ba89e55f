//! The metrics that the reference's connection pool has, with what they mean here: a connection is shared by many
//! commands, so a hit is a command that found one open.

use rr_common::telemetry::metrics::{Counter, Exposition, Kind};

/// Counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) timeouts: Counter,
}

/// What a client's connections are and were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolNumbers {
    /// Commands that found an open connection.
    pub hits: u64,
    /// Commands that had to wait for one to be opened.
    pub misses: u64,
    /// Commands that found no place within `pool_timeout`.
    pub timeouts: u64,
    /// Open connections.
    pub open: u64,
    /// Those of them without a command.
    pub idle: u64,
    /// Connections left behind: dead, too old or idle for too long.
    pub stale: u64,
}

impl PoolNumbers {
    /// Those of two clients together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            misses: self.misses + other.misses,
            timeouts: self.timeouts + other.timeouts,
            open: self.open + other.open,
            idle: self.idle + other.idle,
            stale: self.stale + other.stale,
        }
    }

    /// The series `rr_redis_pool_*`, in Prometheus' text form.
    pub fn exposition(&self) -> String {
        let mut text = Exposition::default();
        let mut one = |name: &str, kind, help, value: u64| {
            text.family(&format!("rr_redis_pool_{name}"), kind, help);
            text.sample(&[], value);
        };
        one(
            "hit_total",
            Kind::Counter,
            "Commands that found an open connection",
            self.hits,
        );
        one(
            "miss_total",
            Kind::Counter,
            "Commands that had to wait for a connection",
            self.misses,
        );
        one(
            "timeout_total",
            Kind::Counter,
            "Commands that found no place in time",
            self.timeouts,
        );
        one("conn_total_current", Kind::Gauge, "Open connections", self.open);
        one(
            "conn_idle_current",
            Kind::Gauge,
            "Open connections without a command",
            self.idle,
        );
        let stale = "Connections left behind: dead, too old or idle for too long";
        one("conn_stale_total", Kind::Counter, stale, self.stale);
        text.finish()
    }
}
