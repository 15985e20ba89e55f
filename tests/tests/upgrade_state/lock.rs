//! rr-lock is replaced: nothing is freed, and the queue keeps its order.

use crate::place::Place;
use rr_common::frame::flag;
use rr_tests::{Rpc, eventually, rounds, wait::SOON};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

fn lock(rpc: &mut Rpc, method: &str, resource: &str, id: &str, ttl: u64, wait: u64) -> u32 {
    let argument = json!({"resource": resource, "id": id, "ttl": ttl, "wait": wait}).to_string();
    rpc.begin(&format!("lock.{method}"), flag::JSON, argument.as_bytes())
}

/// Whether it is granted; no call fails.
#[track_caller]
fn granted(rpc: &mut Rpc, call: u32) -> bool {
    rpc.answer(call).json()["ok"] == json!(true)
}

const LONG: u64 = 60_000_000;

/// Locks that are held, calls that wait in order, and clients that lock all the time.
#[test]
fn an_upgrade_of_lock_frees_nothing_and_keeps_the_queue() {
    let place = Place::start(json!({}));
    let (mut holder, mut queue) = (place.rpc(), place.rpc());
    for number in 0..50 {
        let call = lock(&mut holder, "Lock", &format!("held{number}"), "holder", LONG, 0);
        assert!(granted(&mut holder, call));
    }
    let short = lock(&mut holder, "Lock", "short", "holder", 4_000_000, 0);
    assert!(granted(&mut holder, short));
    let begun = Instant::now();
    let until_it_ends = lock(&mut holder, "Lock", "short", "other", LONG, LONG);
    let waiting: Vec<u32> = (0..20)
        .map(|n| lock(&mut queue, "Lock", "held0", &format!("w{n}"), LONG, LONG))
        .collect();
    let in_vain = lock(&mut queue, "Lock", "held1", "v", LONG, 1_000_000);

    // Never two at once.
    let (over, inside, rounds_done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let contend = |number: usize| {
        let mut rpc = place.rpc();
        let (over, inside, rounds_done) = (Arc::clone(&over), Arc::clone(&inside), Arc::clone(&rounds_done));
        thread::spawn(move || {
            let id = format!("c{number}");
            while !over.load(Ordering::Relaxed) {
                let call = lock(&mut rpc, "Lock", "contended", &id, LONG, LONG);
                assert!(granted(&mut rpc, call));
                assert!(!inside.swap(true, Ordering::SeqCst), "a second holder");
                thread::yield_now();
                inside.store(false, Ordering::SeqCst);
                rounds_done.fetch_add(1, Ordering::Relaxed);
                let call = lock(&mut rpc, "Release", "contended", &id, 0, 0);
                assert!(granted(&mut rpc, call), "it held it");
            }
        })
    };
    let contending: Vec<_> = (0..4).map(contend).collect();
    for _ in 0..rounds(3) {
        let before = rounds_done.load(Ordering::Relaxed);
        eventually(SOON, || rounds_done.load(Ordering::Relaxed) > before + 20);
        place.upgraded("lock");
        let call = lock(&mut holder, "Lock", "held2", "thief", LONG, 0);
        assert!(!granted(&mut holder, call));
        assert!(!queue.came(waiting[0], Duration::from_millis(20)));
    }
    over.store(true, Ordering::Relaxed);
    contending.into_iter().for_each(|client| client.join().unwrap());

    assert!(!granted(&mut queue, in_vain), "its time is over");
    assert!(granted(&mut holder, until_it_ends));
    assert!(
        begun.elapsed() >= Duration::from_secs(4),
        "not before the end of the lock in its way"
    );
    let mut owner = "holder".to_owned();
    let mut last = 0;
    for (number, call) in waiting.iter().enumerate() {
        assert!(!queue.came(*call, Duration::ZERO), "before its turn");
        let release = lock(&mut holder, "Release", "held0", &owner, 0, 0);
        assert!(granted(&mut holder, release));
        let answer = queue.answer(*call).json();
        let token = answer["token"].as_u64().unwrap();
        assert!(token > last, "{answer}");
        (owner, last) = (format!("w{number}"), token);
    }
    for number in 1..50 {
        let release = lock(&mut holder, "Release", &format!("held{number}"), "holder", 0, 0);
        assert!(granted(&mut holder, release));
    }
    assert!(place.server.stop().success());
}
