//! Prometheus metrics: numbers that any thread may change without a lock, and the text that shows them.
//!
//! A number is a plain field of whoever counts ([`Counter`], [`Gauge`], [`Histogram`]); there is no registry. Whoever is
//! asked writes what it has into an [`Exposition`]. Whoever gathers from several sources holds [`Families`].
//!
//! - [`exposition`]: the text; [`workers`]: the series of every plugin with workers; [`process`]: those of every process
//! - [`parse`]: such a text read; [`families`]: several of them together; [`number`]: a value in them

mod exposition;
mod families;
mod number;
mod parse;
mod process;
mod workers;

pub use exposition::{CONTENT_TYPE, Exposition};
pub use families::{Bound, Families, Family, Key, Part, push_label};
pub use number::Number;
pub use parse::ParseError;
pub use process::Usage;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

/// Durations by size.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds in seconds, growing.
    bounds: &'static [f64],
    /// Observations by bucket, each in one; the last is for those above all bounds.
    buckets: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

/// A family's type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// See [`Counter`].
    Counter,
    /// See [`Gauge`].
    Gauge,
    /// See [`Histogram`].
    Histogram,
    /// Observations by quantile.
    Summary,
    /// Nobody says what it is.
    #[default]
    Untyped,
}

impl Counter {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// A gauge at zero.
    pub const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    /// Adds, or subtracts with a negative number.
    pub fn add(&self, number: i64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    /// A histogram with these upper bounds in seconds, which must grow.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self {
            bounds,
            buckets,
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// All durations so far.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = duration.as_nanos().try_into().unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Counter,
        Self::Gauge,
        Self::Histogram,
        Self::Summary,
        Self::Untyped,
    ];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_between_threads() {
        let (counter, gauge, histogram) = (Counter::new(), Gauge::new(), Histogram::new(&[1.0]));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.add();
                        gauge.add(2);
                        gauge.add(-1);
                        histogram.observe(Duration::from_secs(2));
                    }
                });
            }
        });
        let mut text = Exposition::default();
        text.family("h", Kind::Histogram, "");
        text.histogram(&[], &histogram);
        assert_eq!((counter.get(), gauge.get()), (4000, 4000));
        assert!(text.finish().ends_with("h_sum 8000\nh_count 4000\n"));
    }
}
