//! `http_metrics`: how many requests with which status, and how long they took.
//!
//! A request costs a few additions to numbers that all threads share: no lock, and no memory after the first request of a
//! status.

use rr_common::telemetry::metrics::{Counter, Exposition, Gauge, Histogram, Kind};
use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

/// Upper bounds of the durations, in seconds.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0,
];

/// Places in the table of statuses: the first is for requests to which nobody wrote one, the others are 100 to 599.
const PLACES: usize = 501;

/// What is counted.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    since: Instant,
    /// Requests that are in this layer now.
    queue: Gauge,
    no_free_workers: Counter,
    durations: [OnceLock<Histogram>; PLACES],
}

/// A request that is in this layer. It is counted when this is dropped.
#[derive(Debug)]
pub(crate) struct Measured {
    metrics: Arc<HttpMetrics>,
    started: Instant,
    place: usize,
}

impl HttpMetrics {
    /// Nothing was counted yet.
    pub(crate) fn new() -> Self {
        Self {
            since: Instant::now(),
            queue: Gauge::default(),
            no_free_workers: Counter::default(),
            durations: [const { OnceLock::new() }; PLACES],
        }
    }

    /// Prometheus' text.
    pub(crate) fn text(&self) -> String {
        let mut out = Exposition::default();
        let statuses: Vec<(String, &Histogram)> = self
            .durations
            .iter()
            .enumerate()
            .filter_map(|(place, histogram)| Some((label(place), histogram.get()?)))
            .collect();
        out.family(
            "rr_http_request_total",
            Kind::Counter,
            "Requests by the status of their answer",
        );
        for (status, histogram) in &statuses {
            out.sample(&[("status", status)], histogram.count());
        }
        let help = "Time from a request's head to the last byte of its answer";
        out.family("rr_http_request_duration_seconds", Kind::Histogram, help);
        for (status, histogram) in &statuses {
            out.histogram(&[("status", status)], histogram);
        }
        out.family(
            "rr_http_requests_queue",
            Kind::Gauge,
            "Requests that wait or are worked on",
        );
        out.sample(&[], self.queue.get());
        if self.no_free_workers.get() > 0 {
            let help = "Requests for which no worker was free in time";
            out.family("rr_http_no_free_workers_total", Kind::Counter, help);
            out.sample(&[], self.no_free_workers.get());
        }
        let uptime = self.since.elapsed().as_secs();
        if uptime > 0 {
            out.family("rr_http_uptime_seconds", Kind::Counter, "Time that the plugin has run");
            out.sample(&[], uptime);
        }
        out.finish()
    }
}

impl Measured {
    /// A request enters.
    pub(crate) fn begin(metrics: &Arc<HttpMetrics>, started: Instant) -> Self {
        metrics.queue.add(1);
        Self {
            metrics: metrics.clone(),
            started,
            place: 0,
        }
    }

    /// A status was written; of several the last counts.
    pub(crate) fn wrote(&mut self, status: u16) {
        self.place = place(status);
    }

    /// No worker was free in time.
    pub(crate) fn no_free_worker(&self) {
        self.metrics.no_free_workers.add();
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let durations = self.metrics.durations[self.place].get_or_init(|| Histogram::new(&BOUNDS));
        durations.observe(self.started.elapsed());
        self.metrics.queue.add(-1);
    }
}

fn place(status: u16) -> usize {
    match status {
        100..600 => usize::from(status) - 99,
        _ => 0,
    }
}

/// The label of a place; -1 where nobody wrote a status, as in the reference.
fn label(place: usize) -> String {
    match place {
        0 => "-1".into(),
        place => (place + 99).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // HTTP-30
    #[test]
    fn each_request_is_counted_once_under_its_last_status() {
        let metrics = Arc::new(HttpMetrics::new());
        assert!(metrics.text().ends_with("rr_http_requests_queue 0\n"));
        let now = Instant::now();
        let mut early = Measured::begin(&metrics, now);
        early.wrote(103);
        early.wrote(200);
        drop(early);
        drop(Measured::begin(&metrics, now));
        let mut refused = Measured::begin(&metrics, now);
        refused.no_free_worker();
        refused.wrote(599);
        drop(refused);
        let running = Measured::begin(&metrics, now);
        let text = metrics.text();
        let samples = [
            "rr_http_request_total{status=\"-1\"} 1",
            "rr_http_request_total{status=\"200\"} 1",
            "rr_http_request_total{status=\"599\"} 1",
            "rr_http_request_duration_seconds_bucket{status=\"200\",le=\"60\"} 1",
            "rr_http_request_duration_seconds_count{status=\"599\"} 1",
            "rr_http_requests_queue 1",
            "rr_http_no_free_workers_total 1",
        ];
        for sample in samples {
            assert!(text.contains(&format!("\n{sample}\n")), "{sample}:\n{text}");
        }
        assert!(!text.contains("status=\"103\""), "{text}");
        drop(running);
        for status in [0, 99, 600, u16::MAX] {
            assert_eq!(place(status), 0);
        }
        assert_eq!((label(place(100)), label(place(599))), ("100".into(), "599".into()));
    }
}
