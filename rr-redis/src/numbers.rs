//! The metrics that the reference's connection pool has, with what they mean here: a connection is shared by many
//! commands, so a hit is a command that found one open.

use rr_common::telemetry::metrics::{Counter, Exposition, Kind};

/// Counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Commands that found a connection.
    pub(crate) hits: Counter,
    /// Commands that had to wait for one to be opened.
    pub(crate) misses: Counter,
    /// Commands that found no place within `pool_timeout`.
    pub(crate) timeouts: Counter,
}

impl Numbers {
    /// Writes all of them: open connections, idle ones and those left behind come from the lanes.
    pub(crate) fn write(&self, (open, idle, stale): (usize, usize, u64)) -> String {
        let mut text = Exposition::default();
        let mut one = |name: &str, kind, help, value: u64| {
            text.family(&format!("rr_redis_pool_{name}"), kind, help);
            text.sample(&[], value);
        };
        let hits = self.hits.get();
        one(
            "hit_total",
            Kind::Counter,
            "Commands that found a free connection",
            hits,
        );
        let misses = self.misses.get();
        one(
            "miss_total",
            Kind::Counter,
            "Commands that had to wait for a connection to be opened",
            misses,
        );
        let timeouts = self.timeouts.get();
        one(
            "timeout_total",
            Kind::Counter,
            "Commands that found no place in time",
            timeouts,
        );
        one("conn_total_current", Kind::Gauge, "Open connections", open as u64);
        one(
            "conn_idle_current",
            Kind::Gauge,
            "Open connections without a command",
            idle as u64,
        );
        one(
            "conn_stale_total",
            Kind::Counter,
            "Connections left behind: dead, too old or idle for too long",
            stale,
        );
        text.finish()
    }
}
