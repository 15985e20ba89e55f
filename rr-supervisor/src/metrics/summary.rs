//! A summary: sum and count of all observations, and quantiles of those of the last ten minutes.
//!
//! The window slides in steps of two minutes: five streams see every observation, each begins anew every ten minutes, one after
//! the other, and the oldest of them answers. So it is in Prometheus' client for Go.

use super::quantile::{Objective, Stream};
use std::time::{Duration, Instant};

/// Length of the window.
const MAX_AGE: Duration = Duration::from_secs(600);

/// Steps in which it slides.
pub(super) const STREAMS: usize = 5;

/// The time between two steps.
pub(super) const STEP: Duration = Duration::from_secs(MAX_AGE.as_secs() / STREAMS as u64);

/// Observations that wait to be sorted into the streams together.
pub(super) const PENDING: usize = 500;

/// A summary.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) sum: f64,
    pub(super) count: u64,
    pub(super) window: Window,
}

/// The observations of the last ten minutes.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) pending: Vec<f64>,
    pub(super) streams: [Stream; STREAMS],
    /// The oldest stream, and when it ends.
    pub(super) head: usize,
    pub(super) head_ends: Instant,
}

impl Summary {
    /// An empty one.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sum: 0.0,
            count: 0,
            window: Window {
                pending: Vec::new(),
                streams: Default::default(),
                head: 0,
                head_ends: now + STEP,
            },
        }
    }

    /// Takes an observation.
    pub(super) fn observe(&mut self, value: f64, objectives: &[Objective], now: Instant) {
        self.sum += value;
        self.count += 1;
        if !objectives.is_empty() {
            self.window.slide(objectives, now);
            self.window.pending.push(value);
            if self.window.pending.len() == PENDING {
                self.window.flush(objectives);
            }
        }
    }

    /// The quantiles of the window, each with its number; NaN if nothing was observed in it.
    pub(super) fn quantiles(&mut self, objectives: &[Objective], now: Instant) -> Vec<(f64, f64)> {
        self.window.slide(objectives, now);
        self.window.flush(objectives);
        let head = &self.window.streams[self.window.head];
        let of = |objective: &Objective| (objective.quantile, head.query(objective.quantile, objectives));
        objectives.iter().map(of).collect()
    }
}

impl Window {
    fn slide(&mut self, objectives: &[Objective], now: Instant) {
        if now <= self.head_ends {
            return;
        }
        self.flush(objectives);
        // After a long silence one round empties all of them.
        for _ in 0..STREAMS {
            if now <= self.head_ends {
                return;
            }
            self.streams[self.head].clear();
            self.head = (self.head + 1) % STREAMS;
            self.head_ends += STEP;
        }
        self.head_ends = self.head_ends.max(now);
    }

    fn flush(&mut self, objectives: &[Objective]) {
        if self.pending.is_empty() {
            return;
        }
        self.pending.sort_by(f64::total_cmp);
        for stream in &mut self.streams {
            stream.merge(&self.pending, objectives);
        }
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIAN: [Objective; 1] = [Objective {
        quantile: 0.5,
        error: 0.05,
    }];

    fn median(summary: &mut Summary, now: Instant) -> f64 {
        summary.quantiles(&MEDIAN, now)[0].1
    }

    #[test]
    fn the_window_slides() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut summary = Summary::new(start);
        assert!(median(&mut summary, start).is_nan());
        for _ in 0..3 {
            summary.observe(1.0, &MEDIAN, at(0));
        }
        for _ in 0..2 {
            summary.observe(100.0, &MEDIAN, at(400));
        }
        assert_eq!(median(&mut summary, at(590)), 1.0);
        // The first three are older than the window now.
        assert_eq!(median(&mut summary, at(605)), 100.0);
        assert!(median(&mut summary, at(1100)).is_nan());
        assert_eq!((summary.sum, summary.count), (203.0, 5));
        summary.observe(7.0, &MEDIAN, at(500_000));
        assert_eq!(median(&mut summary, at(500_001)), 7.0);
        assert!(median(&mut summary, at(500_700)).is_nan());
    }

    #[test]
    fn without_objectives_nothing_is_kept() {
        let start = Instant::now();
        let mut summary = Summary::new(start);
        for n in 0..1000 {
            summary.observe(f64::from(n), &[], start);
        }
        assert_eq!((summary.sum, summary.count), (499_500.0, 1000));
        assert_eq!(summary.window.pending.capacity(), 0);
        assert!(summary.quantiles(&[], start).is_empty());
    }
}
