//! The storages as metrics.

use rr_common::telemetry::metrics::{Exposition, Kind};

/// What a driver that keeps its keys in this process knows of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys.
    pub items: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Questions for a key that was there.
    pub hits: u64,
    /// Questions for a key that was not.
    pub misses: u64,
    /// Keys that went to make room.
    pub evicted: u64,
    /// Keys that were removed because they had ended.
    pub expired: u64,
}

/// One family: its name, its type, its help, and the number.
type Family = (&'static str, Kind, &'static str, fn(&Stats) -> u64);

const FAMILIES: [Family; 6] = [
    ("rr_kv_items", Kind::Gauge, "Keys in the storage", |s| s.items),
    ("rr_kv_bytes", Kind::Gauge, "Bytes that the storage takes", |s| s.bytes),
    ("rr_kv_hits_total", Kind::Counter, "Reads that found their key", |s| {
        s.hits
    }),
    ("rr_kv_misses_total", Kind::Counter, "Reads that did not", |s| s.misses),
    (
        "rr_kv_evicted_total",
        Kind::Counter,
        "Keys that went to make room",
        |s| s.evicted,
    ),
    (
        "rr_kv_expired_total",
        Kind::Counter,
        "Keys that were removed because they had ended",
        |s| s.expired,
    ),
];

/// The text for Prometheus; storages are told apart by the label `storage`.
pub(crate) fn exposition(storages: &[(&str, Stats)]) -> String {
    let mut text = Exposition::default();
    if !storages.is_empty() {
        for (name, kind, help, number) in FAMILIES {
            text.family(name, kind, help);
            for (storage, stats) in storages {
                text.sample(&[("storage", storage)], number(stats));
            }
        }
    }
    text.finish()
}
