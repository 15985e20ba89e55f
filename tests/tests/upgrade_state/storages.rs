//! What is in a storage: filled before, checked after.

use prost::Message;
use rr_common::frame::flag;
use rr_kv::v1::{CounterRequest, CounterResponse, Item, Request, Response};
use rr_tests::Rpc;

/// Keys in memory before the first upgrade, and in one call.
pub(crate) const KEYS: usize = 100_000;

pub(crate) const PIECE: usize = 1000;

/// A call that must not fail.
#[track_caller]
pub(crate) fn ask<A: Message + Default>(rpc: &mut Rpc, method: &str, argument: &impl Message) -> A {
    let answer = rpc.exchange(&format!("kv.{method}"), flag::PROTO, &argument.encode_to_vec());
    assert_eq!(answer.error(), None, "{method}");
    A::decode(&answer.body[..]).unwrap()
}

#[track_caller]
pub(crate) fn incr(rpc: &mut Rpc, storage: &str, key: &str) -> i64 {
    let request = CounterRequest {
        storage: storage.into(),
        key: key.into(),
        ..CounterRequest::default()
    };
    ask::<CounterResponse>(rpc, "Incr", &request).value
}

pub(crate) fn request(storage: &str, items: Vec<Item>) -> Request {
    Request {
        storage: storage.into(),
        items,
    }
}

/// The key of that number: two of three have an end.
pub(crate) fn item(number: usize) -> Item {
    let timeout = match number % 3 {
        0 => String::new(),
        _ => format!("2100-01-{:02}T12:00:00Z", number % 28 + 1),
    };
    Item {
        key: format!("key{number}"),
        value: format!("value {number}").into_bytes().into(),
        timeout,
    }
}

pub(crate) fn fill(rpc: &mut Rpc, storage: &str, keys: usize) {
    for first in (0..keys).step_by(PIECE) {
        let items = (first..first + PIECE).map(item).collect();
        ask::<Response>(rpc, "Set", &request(storage, items));
    }
}

/// Every key is there with its value and its end.
#[track_caller]
pub(crate) fn check(rpc: &mut Rpc, storage: &str, keys: usize) {
    for first in (0..keys).step_by(PIECE) {
        let expected: Vec<Item> = (first..first + PIECE).map(item).collect();
        let names = request(
            storage,
            expected
                .iter()
                .map(|item| Item {
                    key: item.key.clone(),
                    ..Item::default()
                })
                .collect(),
        );
        let sorted = |mut items: Vec<Item>| {
            items.sort_by(|a, b| a.key.cmp(&b.key));
            items
        };
        let values = sorted(ask::<Response>(rpc, "MGet", &names).items);
        let ends = sorted(ask::<Response>(rpc, "TTL", &names).items);
        let expected = sorted(expected);
        let ends = ends.iter().filter(|item| !item.timeout.is_empty());
        assert!(
            values
                .iter()
                .map(|item| (&item.key, &item.value))
                .eq(expected.iter().map(|item| (&item.key, &item.value)))
        );
        assert!(
            ends.map(|item| (&item.key, &item.timeout)).eq(expected
                .iter()
                .filter(|item| !item.timeout.is_empty())
                .map(|item| (&item.key, &item.timeout)))
        );
    }
}
