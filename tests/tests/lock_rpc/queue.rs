//! Who gets a lock when: waits, their order and their end, time limits, clients that have gone.

use super::{Client, LONG, Place};
use rr_tests::wait::{SOON, holds_within};
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn a_call_that_waits_for_a_lock_does_not_hold_up_its_release() {
    let place = Place::start(json!({}));
    let mut client = place.client();
    client.lock("Lock", "r", "a", 0).unwrap();
    let waits = client.begin("Lock", "r", "b", LONG);
    assert!(client.lock("Lock", "other", "a", 0).is_some());
    assert!(client.yes("Release", "r", "a"));
    assert!(client.granted(waits));
}

#[test]
fn who_came_first_is_served_first() {
    let place = Place::start(json!({}));
    let mut holder = place.client();
    holder.lock("LockRead", "r", "holder", 0).unwrap();
    // Writers and readers by turns: no reader overtakes a writer that came before it.
    let mut others: Vec<(Client, String, u32)> = Vec::new();
    for n in 0..6 {
        let (mut client, id) = (place.client(), format!("id-{n}"));
        let method = if n % 2 == 0 { "Lock" } else { "LockRead" };
        let call = client.begin(method, "r", &id, LONG);
        // A call behind it on the same connection is answered when it is in the queue.
        assert!(!client.yes("Exists", "r", &id));
        others.push((client, id, call));
    }
    assert!(holder.yes("Release", "r", "holder"));
    for (mut client, id, call) in others {
        assert!(client.granted(call), "{id}");
        let held = holder.ask("Exists", &json!({"resource": "r", "id": id}));
        assert_eq!(held["ok"], json!(true));
        assert!(client.yes("Release", "r", &id));
    }
}

#[test]
fn a_lock_ends_with_its_time() {
    let place = Place::start(json!({}));
    let (mut a, mut b) = (place.client(), place.client());
    let begun = Instant::now();
    let argument = json!({"resource": "r", "id": "a", "ttl": 300_000});
    assert_eq!(a.ask("Lock", &argument)["ok"], json!(true));
    assert!(b.lock("Lock", "r", "b", LONG).is_some());
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert!(!a.yes("Release", "r", "a"));
    // Prolonged, it is there for long; and a wait ends in time.
    assert_eq!(
        b.ask("UpdateTTL", &json!({"resource": "r", "id": "b", "ttl": LONG}))["ok"],
        json!(true)
    );
    let begun = Instant::now();
    assert_eq!(a.lock("Lock", "r", "a", 200_000), None);
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_client_that_has_gone_leaves_the_queue_but_keeps_what_it_holds() {
    leaves_the_queue(0);
}

/// The same when the plugin itself has read its call (LEASE-09).
#[test]
fn a_client_whose_connection_is_lent_leaves_the_queue_as_well() {
    leaves_the_queue(40);
}

/// After that many calls.
fn leaves_the_queue(calls: usize) {
    let place = Place::start(json!({}));
    let mut reader = place.client();
    reader.lock("LockRead", "r", "reader", 0).unwrap();
    let mut gone = place.client();
    for _ in 0..calls {
        assert!(!gone.yes("Exists", "r", "gone"));
    }
    gone.lock("Lock", "held", "gone", 0).unwrap();
    gone.begin("Lock", "r", "gone", LONG);
    assert!(!gone.yes("Exists", "r", "gone"));
    assert_eq!(
        reader.lock("LockRead", "r", "other", 0),
        None,
        "a writer waits before it"
    );
    drop(gone);
    let left = holds_within(SOON, || reader.lock("LockRead", "r", "other", 0).is_some());
    assert!(left, "the writer that nobody waits for is in the queue still");
    assert!(reader.yes("Exists", "held", "gone"));
    assert_eq!(reader.lock("Lock", "held", "reader", 50_000), None);
}
