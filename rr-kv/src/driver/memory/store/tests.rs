//! The store against a model: a sorted map and a clock that the test moves.

#![allow(clippy::unwrap_used)]

use super::{
    slots::{END, VACANT},
    *,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Set(u8, Vec<u8>, Option<u16>),
    Get(u8),
    Expire(u8, u16),
    Remove(u8),
    Sweep(u8),
    Wait(u8),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        5 => (0..20u8, value, prop::option::of(0..300u16)).prop_map(|(key, value, end)| Step::Set(key, value, end)),
        5 => (0..20u8).prop_map(Step::Get),
        2 => (0..20u8, 0..300u16).prop_map(|(key, end)| Step::Expire(key, end)),
        2 => (0..20u8).prop_map(Step::Remove),
        2 => (0..5u8).prop_map(Step::Sweep),
        3 => any::<u8>().prop_map(Step::Wait),
        1 => Just(Step::Clear),
    ]
}

fn name(key: u8) -> String {
    // Some are longer than others, and one is empty.
    "k".repeat(usize::from(key))
}

fn item<'a>(key: &'a str, value: &'a [u8], expiry: Option<Expiry>) -> Item<'a> {
    Item { key, value, expiry }
}

/// What must hold between any two steps.
fn check(store: &Store) {
    let live = store.slots.list.iter().filter(|slot| slot.key != VACANT);
    assert_eq!(live.clone().count(), store.table.len());
    assert_eq!(
        live.clone().map(|slot| slot.data.len() + OVERHEAD).sum::<usize>(),
        store.bytes
    );
    assert_eq!(live.filter(|slot| slot.end != NEVER).count(), store.ends.len());
    let mut vacant = 0;
    let mut next = store.slots.vacant;
    while let Some(number) = next {
        let slot = &store.slots[number];
        assert_eq!(slot.key, VACANT);
        vacant += 1;
        next = (slot.hash != END).then_some(slot.hash);
    }
    assert_eq!(vacant + store.table.len(), store.slots.list.len());
}

proptest! {
    #[test]
    fn it_is_a_map_with_ends(steps in prop::collection::vec(step(), 1..200)) {
        let mut store = Store::new(Limits::default());
        let mut model: BTreeMap<String, (Vec<u8>, Option<u64>)> = BTreeMap::new();
        let mut now = 1000;
        for step in steps {
            let clock = &mut Clock::fixed(Expiry::at(now));
            model.retain(|_, (_, end)| end.is_none_or(|end| end > now));
            match step {
                Step::Set(key, value, end) => {
                    let (key, end) = (name(key), end.map(|end| now + u64::from(end)));
                    store.set(&item(&key, &value, end.map(Expiry::at)), clock).unwrap();
                    model.insert(key, (value, end));
                }
                Step::Get(key) => {
                    let key = name(key);
                    let expected = model.get(&key);
                    prop_assert_eq!(store.get(&key, clock), expected.map(|(value, _)| &value[..]));
                    let end = store.expiry(&key, clock).map(|end| end.map(Expiry::milliseconds));
                    prop_assert_eq!(end, expected.map(|(_, end)| *end));
                }
                Step::Expire(key, end) => {
                    let (key, end) = (name(key), now + u64::from(end));
                    store.expire(&key, Expiry::at(end), clock);
                    if let Some((_, old)) = model.get_mut(&key) {
                        *old = Some(end);
                    }
                }
                Step::Remove(key) => {
                    store.remove(&name(key));
                    model.remove(&name(key));
                }
                Step::Sweep(at_most) => {
                    let swept = store.sweep(Expiry::at(now), at_most.into());
                    let next = model.values().filter_map(|(_, end)| *end).min();
                    match swept {
                        Swept::More => {}
                        Swept::Idle => prop_assert_eq!(next, None),
                        Swept::Next(end) => prop_assert_eq!(next, Some(end.milliseconds())),
                    }
                }
                Step::Wait(time) => now += u64::from(time),
                Step::Clear => {
                    store.clear();
                    model.clear();
                }
            }
            check(&store);
        }
        while store.sweep(Expiry::at(now), 7) == Swept::More {}
        model.retain(|_, (_, end)| end.is_none_or(|end| end > now));
        prop_assert_eq!(store.table.len(), model.len());
    }

    #[test]
    fn limits_hold(steps in prop::collection::vec(step(), 1..200), items in 1..8u64, bytes in 150..500u64) {
        let mut store = Store::new(Limits { items, bytes });
        let mut now = 1000;
        for step in steps {
            let clock = &mut Clock::fixed(Expiry::at(now));
            match step {
                Step::Set(key, value, end) => {
                    let (key, end) = (name(key), end.map(|end| Expiry::at(now + 1 + u64::from(end))));
                    store.set(&item(&key, &value, end), clock).unwrap();
                    // Whatever had to go, it was not this one.
                    prop_assert_eq!(store.get(&key, clock), Some(&value[..]));
                }
                Step::Get(key) => drop(store.get(&name(key), clock).map(<[u8]>::to_vec)),
                Step::Wait(time) => now += u64::from(time),
                _ => {}
            }
            check(&store);
            prop_assert!(store.table.len() as u64 <= items);
            prop_assert!(store.bytes as u64 <= bytes);
        }
    }
}

#[test]
fn what_is_read_outlives_what_is_not() {
    let mut store = Store::new(Limits { items: 10, bytes: 0 });
    let clock = &mut Clock::fixed(Expiry::at(0));
    store.set(&item("hot", b"", None), clock).unwrap();
    for key in 0..1000 {
        assert!(store.get("hot", clock).is_some(), "gone at {key}");
        store.set(&item(&format!("cold{key}"), b"", None), clock).unwrap();
    }
    assert_eq!(
        store.counts,
        Stats {
            hits: 1000,
            evicted: 991,
            ..Stats::default()
        }
    );
}

#[test]
fn what_has_ended_goes_before_anything_else() {
    let mut store = Store::new(Limits { items: 2, bytes: 0 });
    let clock = &mut Clock::fixed(Expiry::at(0));
    store.set(&item("a", b"", None), clock).unwrap();
    store.set(&item("b", b"", Some(Expiry::at(5))), clock).unwrap();
    let clock = &mut Clock::fixed(Expiry::at(5));
    store.set(&item("c", b"", None), clock).unwrap();
    assert!(store.get("a", clock).is_some());
    assert_eq!(
        store.counts,
        Stats {
            hits: 1,
            expired: 1,
            ..Stats::default()
        }
    );
}

#[test]
fn an_item_larger_than_the_storage_is_refused_and_nothing_goes_for_it() {
    let mut store = Store::new(Limits { items: 0, bytes: 100 });
    let clock = &mut Clock::fixed(Expiry::at(0));
    store.set(&item("a", b"1", None), clock).unwrap();
    let error = store.set(&item("b", &[0; 100], None), clock).unwrap_err();
    assert_eq!(error.to_string(), "the item is too large: 101 bytes");
    assert_eq!(store.get("a", clock), Some(&b"1"[..]));
}
