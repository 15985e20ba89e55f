//! Prometheus metrics: numbers that any thread may change without a lock, and the text that shows them.
//!
//! A number is a plain field of whoever counts ([`Counter`], [`Gauge`], [`Histogram`]); there is no registry. Whoever is
//! asked writes what it has into an [`Exposition`]. Whoever gathers from several sources holds [`Families`].

mod families;
mod number;
mod parse;
mod process;

pub use families::{Bound, Families, Family, Key, Part, push_label};
pub use number::Number;
pub use parse::ParseError;
pub use process::Usage;

use crate::pool::{Cause, WorkerInfo};
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// The content type of [`Exposition`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// States of a worker, as RoadRunner numbers them.
const READY: u8 = 1;
const WORKING: u8 = 2;

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

/// The text that Prometheus reads, while it grows.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: String,
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

impl Exposition {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = kind.name();
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.family.clear();
        self.family.push_str(name);
    }

    /// One sample of the family.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.line("", labels, None, value);
    }

    /// All samples of a histogram with these labels.
    pub fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut total = 0;
        let bounds = histogram
            .bounds
            .iter()
            .map(|bound| bound.to_string())
            .chain(["+Inf".to_string()]);
        for (bucket, bound) in histogram.buckets.iter().zip(bounds) {
            total += bucket.load(Ordering::Relaxed);
            self.line("_bucket", labels, Some(&bound), total);
        }
        let sum = Duration::from_nanos(histogram.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        self.line("_sum", labels, None, sum);
        self.line("_count", labels, None, total);
    }

    /// The series that every plugin with workers has, under the reference's names: all its pools together.
    pub fn workers(&mut self, plugin: &str, workers: &[WorkerInfo]) {
        // The reference calls this one plugin's series after the product.
        let prefix = if plugin == "centrifuge" { "centrifugo" } else { plugin };
        let count = |state: u8| workers.iter().filter(|worker| worker.status == state).count();
        let (ready, working) = (count(READY), count(WORKING));
        let numbers = [
            ("total_workers", "Workers of the plugin", workers.len() as u64),
            (
                "workers_memory_bytes",
                "Memory of all workers",
                workers.iter().map(|worker| worker.memory).sum(),
            ),
            ("workers_ready", "Workers that wait for work", ready as u64),
            ("workers_working", "Workers that work", working as u64),
            (
                "workers_invalid",
                "Workers in any other state",
                (workers.len() - ready - working) as u64,
            ),
        ];
        for (name, help, value) in numbers {
            self.family(&format!("rr_{prefix}_{name}"), Kind::Gauge, help);
            self.sample(&[], value);
        }
        self.family(
            &format!("rr_{prefix}_worker_memory_bytes"),
            Kind::Gauge,
            "Memory of one worker",
        );
        for worker in workers {
            self.sample(&[("pid", &worker.pid.to_string())], worker.memory);
        }
        self.family(
            &format!("rr_{prefix}_worker_state"),
            Kind::Gauge,
            "State of one worker, in the label; always 0",
        );
        for worker in workers {
            self.sample(&[("pid", &worker.pid.to_string()), ("state", worker.status_text)], 0);
        }
    }

    /// How many workers of each of a plugin's pools are no more, by cause. Ours alone.
    pub fn worker_deaths(&mut self, plugin: &str, pools: &[(&str, BTreeMap<Cause, u64>)]) {
        let name = format!("rr_{plugin}_worker_deaths_total");
        self.family(&name, Kind::Counter, "Workers that died or were replaced, by cause");
        for (pool, counts) in pools {
            for (cause, count) in counts {
                self.sample(&[("cause", cause.text()), ("pool", pool)], count);
            }
        }
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<&str>, value: impl Display) {
        self.text.push_str(&self.family);
        self.text.push_str(suffix);
        let labels = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut before = '{';
        for (name, value) in labels {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{before}{name}=\"{value}\"");
            before = ',';
        }
        let closed = if before == ',' { "}" } else { "" };
        let _ = writeln!(self.text, "{closed} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn worker(pid: u32, status: u8, status_text: &'static str, memory: u64) -> WorkerInfo {
        WorkerInfo {
            request: String::new(),
            pid,
            status,
            status_text,
            execs: 0,
            created: SystemTime::UNIX_EPOCH,
            memory,
            cpu: 0.0,
            busy_since: None,
        }
    }

    #[test]
    fn worker_series_have_the_reference_names() {
        let workers = [
            worker(4704, 1, "ready", 1000),
            worker(4705, 2, "working", 2000),
            worker(4706, 9, "killing", 3),
        ];
        let mut text = Exposition::default();
        text.workers("http", &workers);
        let text = text.finish();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "rr_http_total_workers 3",
            "rr_http_workers_memory_bytes 3003",
            "rr_http_workers_ready 1",
            "rr_http_workers_working 1",
            "rr_http_workers_invalid 1",
            "rr_http_worker_memory_bytes{pid=\"4704\"} 1000",
            "rr_http_worker_memory_bytes{pid=\"4705\"} 2000",
            "rr_http_worker_memory_bytes{pid=\"4706\"} 3",
            "rr_http_worker_state{pid=\"4704\",state=\"ready\"} 0",
            "rr_http_worker_state{pid=\"4705\",state=\"working\"} 0",
            "rr_http_worker_state{pid=\"4706\",state=\"killing\"} 0",
        ];
        assert_eq!(samples, expected);
        assert_eq!(text.matches("# TYPE ").count(), 7);
        let mut other = Exposition::default();
        other.workers("centrifuge", &[]);
        assert!(other.finish().contains("\nrr_centrifugo_total_workers 0\n"));
    }

    #[test]
    fn deaths_are_counted_by_cause_and_pool() {
        let mut text = Exposition::default();
        let slow = [(Cause::Crash, 2), (Cause::ExecTtl, 0)].into();
        text.worker_deaths("http", &[("http", [(Cause::Crash, 1)].into()), ("slow", slow)]);
        let text = text.finish();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "rr_http_worker_deaths_total{cause=\"crash\",pool=\"http\"} 1",
            "rr_http_worker_deaths_total{cause=\"crash\",pool=\"slow\"} 2",
            "rr_http_worker_deaths_total{cause=\"exec_ttl\",pool=\"slow\"} 0",
        ];
        assert_eq!(samples, expected);
    }

    #[test]
    fn histograms_are_cumulative_and_bounds_belong_to_their_bucket() {
        let histogram = Histogram::new(&[0.005, 0.01, 2.5]);
        for milliseconds in [5, 6, 10, 3000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let mut text = Exposition::default();
        text.family("h", Kind::Histogram, "a\\b\nc");
        text.histogram(&[("status", "2\"0\\0\n")], &histogram);
        let expected = r#"# HELP h a\\b\nc
# TYPE h histogram
h_bucket{status="2\"0\\0\n",le="0.005"} 1
h_bucket{status="2\"0\\0\n",le="0.01"} 3
h_bucket{status="2\"0\\0\n",le="2.5"} 3
h_bucket{status="2\"0\\0\n",le="+Inf"} 4
h_sum{status="2\"0\\0\n"} 3.021
h_count{status="2\"0\\0\n"} 4
"#;
        assert_eq!(text.finish(), expected);
    }

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
