//! Packed and unpacked, at whatever moment, everything counts on as if nothing had happened.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::metrics::{collector::Operation, declaration::Declaration};
use proptest::prelude::*;
use std::time::Duration;

fn declarations() -> Vec<Declaration> {
    let declaration = |name: &str, kind: &str, labels: &[&str]| Declaration {
        name: name.into(),
        kind: kind.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..Declaration::default()
    };
    let histogram = Declaration {
        buckets: vec![-1.0, 0.5, 2.0],
        ..declaration("histogram", "histogram", &["a"])
    };
    let summary = Declaration {
        objectives: vec![(0.5, 0.05), (0.99, 0.001)],
        ..declaration("summary", "summary", &["a", "b"])
    };
    vec![
        declaration("counter", "counter", &["a"]),
        declaration("gauge", "gauge", &[]),
        declaration("plain", "summary", &[]),
        histogram,
        summary,
    ]
}

fn registry(declarations: &[Declaration], now: Instant) -> Registry {
    let mut registry = Registry::default();
    for declaration in declarations {
        registry.declare(declaration, now).unwrap();
    }
    registry
}

/// The registry of the next program, which has declared these.
fn next(registry: &Registry, declarations: &[Declaration], now: Instant, later: Instant) -> Registry {
    let mut baggage = Baggage::default();
    let collectors = registry.pack(&mut baggage, now);
    let kept = Kept {
        collectors,
        ..Kept::default()
    };
    kept.put(&mut baggage).unwrap();
    let mut next = self::registry(declarations, later);
    let kept = Kept::take(&mut baggage);
    for collector in kept.collectors {
        next.recall(collector, &baggage, later);
    }
    next
}

/// One value for one of the collectors, so many times, so many seconds after the one before.
#[derive(Clone, Debug)]
struct Step {
    collector: usize,
    operation: Operation,
    value: f64,
    label: u8,
    times: usize,
    after: u64,
}

impl Step {
    fn take(&self, registry: &mut Registry, now: Instant) {
        let declaration = &declarations()[self.collector];
        let label = self.label.to_string();
        let labels = vec![label; declaration.labels.len()];
        for number in 0..self.times {
            let value = self.value + number as f64;
            // What it does not support it refuses, before and after.
            let _ = registry.update(self.operation, &declaration.name, value, &labels, now);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let operation = prop_oneof![
        Just(Operation::Add),
        Just(Operation::Sub),
        Just(Operation::Set),
        Just(Operation::Observe)
    ];
    let value = prop_oneof![any::<f64>(), -3.0..3.0, Just(f64::NAN), Just(f64::INFINITY)];
    let step = (0..5_usize, operation, value, 0..3_u8, 0..700_usize, 0..200_u64);
    let step = step.prop_map(|(collector, operation, value, label, times, after)| Step {
        collector,
        operation,
        value,
        label,
        times,
        after,
    });
    prop::collection::vec(step, 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_counts_on_as_if_nothing_had_happened(before in steps(), after in steps(), shift in 0..100_000_u64) {
        let shift = Duration::from_secs(shift);
        let mut now = Instant::now();
        let mut old = registry(&declarations(), now);
        for step in &before {
            now += Duration::from_secs(step.after);
            step.take(&mut old, now);
        }
        let mut new = next(&old, &declarations(), now, now + shift);
        prop_assert_eq!(new.together, old.together);
        for step in &after {
            now += Duration::from_secs(step.after);
            step.take(&mut old, now);
            step.take(&mut new, now + shift);
        }
        let (old, new) = (old.families(now), new.families(now + shift));
        prop_assert_eq!(old.to_string(), new.to_string());
    }

    #[test]
    fn any_words_are_numbers_or_nothing(
        number in any::<u64>(),
        buckets in prop::collection::vec(any::<u64>(), 0..6),
        labels in prop::collection::vec(".{0,3}", 0..3),
        kind in 0..3,
    ) {
        let now = Instant::now();
        for described in registry(&declarations(), now).pack(&mut Baggage::default(), now) {
            let exact = Exact(f64::from_bits(number));
            let numbers = match kind {
                0 => Numbers::Number(exact),
                1 => Numbers::Histogram { buckets: buckets.clone(), sum: exact },
                _ => Numbers::Summary { count: number, sum: exact, window: KeptWindow { head: number as usize, ..KeptWindow::default() } },
            };
            let kept = KeptCollector { series: vec![(labels.clone(), numbers)], ..described };
            let mut registry = registry(&declarations(), now);
            registry.recall(kept, &Baggage::default(), now);
            let series: usize = registry.collectors.values().map(Collector::series).sum();
            prop_assert_eq!(series, registry.together);
            let _ = registry.families(now);
        }
    }
}

#[test]
fn what_is_described_otherwise_begins_anew_and_what_is_not_there_goes() {
    let now = Instant::now();
    let mut old = registry(&declarations(), now);
    for name in ["counter", "gauge", "histogram"] {
        let operation = if name == "histogram" {
            Operation::Observe
        } else {
            Operation::Add
        };
        let label = ["x".to_owned()];
        old.update(operation, name, 5.0, &label, now).unwrap();
    }
    let mut others = declarations();
    others.retain(|declaration| declaration.name != "counter");
    for declaration in &mut others {
        match &*declaration.name {
            "histogram" => declaration.buckets = vec![1.0],
            "plain" => declaration.help = "another".into(),
            _ => {}
        }
    }
    let mut new = next(&old, &others, now, now);
    let text = new.families(now).to_string();
    assert!(text.contains("\ngauge 5\n"), "{text}");
    assert!(
        !text.contains("counter{") && !text.contains("histogram_count"),
        "{text}"
    );
    assert_eq!(new.together, 2);
}

/// More combinations than there may be are left out, whatever the program before has allowed.
#[test]
fn the_limits_hold_for_what_comes_in() {
    let now = Instant::now();
    let described = registry(&declarations(), now).pack(&mut Baggage::default(), now);
    for mut kept in described {
        let most = match &*kept.name {
            "counter" => 10_000,
            "summary" => 1000,
            _ => continue,
        };
        let numbers = || match most {
            1000 => Numbers::Summary {
                count: 1,
                sum: Exact(1.0),
                window: KeptWindow::default(),
            },
            _ => Numbers::Number(Exact(1.0)),
        };
        let labels = |number: usize| vec![number.to_string(); kept.described.labels.len()];
        kept.series = (0..most + 5).map(|number| (labels(number), numbers())).collect();
        kept.series.push((vec!["x".repeat(5000)], numbers()));
        let mut registry = registry(&declarations(), now);
        let name = kept.name.clone();
        registry.recall(kept, &Baggage::default(), now);
        assert_eq!(registry.collectors[&name].series(), most);
    }
}

fn counted(total: u32) -> Families {
    let text = format!(
        "# HELP c a\\\\b\\nc\n# TYPE c counter\nc{{a=\"x\\\"\\n\"}} {total}\n# TYPE h histogram\nh_bucket{{le=\"0.5\"}} {total}\n\
         h_bucket{{le=\"+Inf\"}} {total}\nh_sum 0.1\nh_count {total}\n"
    );
    Families::parse(&text).unwrap()
}

proptest! {
    /// What plugins had counted before goes on, and a process that lives on is not added twice.
    #[test]
    fn what_was_shown_never_shrinks(events in prop::collection::vec((0..3_u8, 0..20_u32), 0..40)) {
        let (mut kept, mut model, mut pid, mut total) = (Carried::default(), Carried::default(), 1, 0);
        for (event, more) in events {
            match event {
                0 => (pid, total) = (pid + 1, 0),
                1 => {
                    let mut baggage = Baggage::default();
                    let sources = kept.pack(&mut baggage);
                    kept = Carried::default();
                    for source in sources {
                        kept.recall(source, &baggage);
                    }
                    prop_assert_eq!(kept.silent("http"), model.silent("http"));
                }
                _ => {
                    total += more;
                    prop_assert_eq!(kept.seen("http", pid, counted(total)), model.seen("http", pid, counted(total)));
                }
            }
        }
    }
}

#[test]
fn a_source_that_cannot_be_read_begins_anew() {
    let mut baggage = Baggage::default();
    let mut carried = Carried::default();
    for bytes in [&b"c one\n"[..], b"\xff"] {
        let said = baggage.add_bytes(bytes);
        let kept = KeptSource {
            name: "http".into(),
            recent: vec![(1, said)],
            ..KeptSource::default()
        };
        carried.recall(kept, &baggage);
    }
    assert_eq!(carried.silent("http"), Families::default());
}

proptest! {
    #[test]
    fn any_bytes_are_words_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..100), cut in 0..2000_usize) {
        let now = Instant::now();
        let mut baggage = Baggage::default();
        let collectors = registry(&declarations(), now).pack(&mut baggage, now);
        let mut words = serde_json::to_vec(&Kept { collectors, ..Kept::default() }).unwrap();
        words.truncate(cut);
        for words in [bytes, words] {
            let words = baggage.add_bytes(&words);
            baggage.put(ROOM, &words).unwrap();
            for collector in Kept::take(&mut baggage).collectors {
                registry(&declarations(), now).recall(collector, &baggage, now);
            }
        }
    }
}
