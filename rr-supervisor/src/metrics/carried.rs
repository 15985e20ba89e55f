//! What plugins have counted, over the lives of their processes.
//!
//! A process counts from zero. Of each source the numbers that its last processes have told are kept, each one's by itself: while one
//! takes another's place both may be heard, in any order. Those of older ones are added to a base. What was shown once never shrinks:
//! counters, histograms, sums and counts go on, and stay while nobody answers. Gauges are those of the process that answered now.

use nix::unistd::Pid;
use rr_common::telemetry::metrics::Families;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Processes of a source that may still be heard of: those that were replaced, and finish what they have begun.
const RECENT: usize = 32;

/// The numbers, for the page and for whoever is about to stop a plugin. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Carried>>);

/// The numbers of all sources, by name.
#[derive(Debug, Default)]
pub(super) struct Carried {
    pub(super) sources: HashMap<String, Source>,
}

/// What one of them has counted.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Its last processes, oldest first, and what each said last; only what grows.
    pub(super) recent: Vec<(i32, Families)>,
    /// What those before them had counted.
    pub(super) base: Families,
}

impl Ledger {
    /// Notes what a process of a plugin has counted until now.
    pub(crate) fn note(&self, plugin: &str, pid: Pid, said: Families) {
        self.open().seen(plugin, pid.as_raw(), said);
    }

    pub(super) fn open(&self) -> MutexGuard<'_, Carried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carried {
    /// Notes what a process says and returns what the page shows for it.
    pub(super) fn seen(&mut self, name: &str, pid: i32, mut now: Families) -> Families {
        let source = self.sources.entry(name.to_owned()).or_default();
        let mut growing = now.clone();
        keep_growing(&mut growing);
        source.note(pid, growing);
        add(&mut now, source.sum(|other| other != pid), true);
        now
    }

    /// What the page shows while nobody answers.
    pub(super) fn silent(&self, name: &str) -> Families {
        let source = self.sources.get(name);
        source.map(|source| source.sum(|_| true)).unwrap_or_default()
    }
}

impl Source {
    /// Notes what a process has said.
    pub(super) fn note(&mut self, pid: i32, said: Families) {
        match self.recent.iter_mut().find(|(known, _)| *known == pid) {
            Some((_, before)) => *before = said,
            None => self.recent.push((pid, said)),
        }
        if self.recent.len() > RECENT {
            let (_, oldest) = self.recent.remove(0);
            add(&mut self.base, oldest, false);
        }
    }

    /// What these of its processes, and all older ones, have counted together.
    fn sum(&self, of: impl Fn(i32) -> bool) -> Families {
        let mut sum = self.base.clone();
        for (_, said) in self.recent.iter().filter(|(pid, _)| of(*pid)) {
            add(&mut sum, said.clone(), false);
        }
        sum
    }
}

fn keep_growing(families: &mut Families) {
    families.0.retain(|_, family| {
        family.keep_growing();
        !family.samples.is_empty()
    });
}

/// Adds numbers up. Where a family is of another make by now (another type, other buckets) one side stays: `ours`, or the other.
fn add(families: &mut Families, others: Families, ours: bool) {
    for (name, other) in others.0 {
        match families.0.get_mut(&name) {
            Some(family) => {
                if !family.add(&other) && !ours {
                    *family = other;
                }
            }
            None => families.insert(name, other),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(families: &Families) -> String {
        let text = families.to_string();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        samples.join("; ")
    }

    fn counted(total: u32, gauge: u32) -> Families {
        Families::parse(&format!(
            "# TYPE c counter\nc{{a=\"x\"}} {total}\n# TYPE g gauge\ng{{pid=\"{gauge}\"}} 1\n"
        ))
        .unwrap()
    }

    #[test]
    fn counters_go_on_and_gauges_do_not() {
        let mut carried = Carried::default();
        assert_eq!(text(&carried.silent("http")), "");
        assert_eq!(
            text(&carried.seen("http", 1, counted(5, 1))),
            "c{a=\"x\"} 5; g{pid=\"1\"} 1"
        );
        assert_eq!(text(&carried.silent("http")), "c{a=\"x\"} 5");
        assert_eq!(
            text(&carried.seen("http", 2, counted(1, 2))),
            "c{a=\"x\"} 6; g{pid=\"2\"} 1"
        );
        assert_eq!(
            text(&carried.seen("http", 2, counted(3, 2))),
            "c{a=\"x\"} 8; g{pid=\"2\"} 1"
        );
        assert_eq!(text(&carried.seen("http", 3, Families::default())), "c{a=\"x\"} 8");
        assert_eq!(text(&carried.silent("http")), "c{a=\"x\"} 8");
        assert_eq!(text(&carried.silent("other")), "");
    }

    /// The last words of a replaced process may come after the first ones of the next.
    #[test]
    fn two_that_are_heard_in_turn_count_once() {
        let mut carried = Carried::default();
        for pid in 1..20 {
            carried.seen("http", pid, counted(5, pid as u32));
            carried.seen("http", pid + 1, counted(1, 0));
            carried.seen("http", pid, counted(6, 0));
            let shown = text(&carried.seen("http", pid + 1, counted(2, 0)));
            assert!(shown.starts_with(&format!("c{{a=\"x\"}} {};", 6 * pid + 2)), "{shown}");
        }
    }

    #[test]
    fn other_buckets_begin_anew() {
        let histogram = |bound: u32, count: u32| {
            let text = format!(
                "# TYPE h histogram\nh_bucket{{le=\"{bound}\"}} {count}\nh_bucket{{le=\"+Inf\"}} {count}\nh_sum 1\nh_count {count}"
            );
            Families::parse(&text).unwrap()
        };
        let mut carried = Carried::default();
        carried.seen("a", 1, histogram(1, 10));
        let same = "h_bucket{le=\"1\"} 15; h_bucket{le=\"+Inf\"} 15; h_sum 2; h_count 15";
        assert_eq!(text(&carried.seen("a", 2, histogram(1, 5))), same);
        // A new process that has observed nothing yet says only that there is such a histogram.
        let nothing = Families::parse("# TYPE h histogram\n").unwrap();
        assert_eq!(text(&carried.seen("a", 3, nothing)), same);
        let other = "h_bucket{le=\"2\"} 3; h_bucket{le=\"+Inf\"} 3; h_sum 1; h_count 3";
        assert_eq!(text(&carried.seen("a", 4, histogram(2, 3))), other);
        let after = "h_bucket{le=\"2\"} 4; h_bucket{le=\"+Inf\"} 4; h_sum 2; h_count 4";
        assert_eq!(text(&carried.seen("a", 5, histogram(2, 1))), after);
    }

    proptest! {
        /// Whatever the order of scrapes, silences and deaths, the sum of what each process had said last is shown.
        #[test]
        fn what_was_shown_never_shrinks(events in prop::collection::vec((any::<bool>(), 0u32..20), 0..40)) {
            let (mut carried, mut pid, mut count, mut base, mut seen, mut shown) = (Carried::default(), 1, 0, 0, 0, 0);
            for (dies, more) in events {
                if dies {
                    (pid, count, base, seen) = (pid + 1, 0, base + seen, 0);
                    continue;
                }
                count += more;
                seen = count;
                let families = carried.seen("a", pid, counted(count, 1));
                let now = *families.0["c"].samples.values().next().unwrap() as u32;
                prop_assert_eq!(now, base + count);
                prop_assert!(now >= shown);
                shown = now;
            }
        }
    }
}
