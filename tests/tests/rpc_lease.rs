//! Connections that the supervisor lends to the plugin that answers their calls: nobody notices, whatever happens to them.
#![allow(clippy::unwrap_used)]

use rr_common::{frame::flag, rpc::wire};
use rr_tests::{
    Rpc, process, rounds,
    rpc_place::{self, Place},
    wait::{SOON, eventually},
};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// The error of a call that the plugin had when it died.
const DIED: &str = "rpc: the plugin kv has ended before it answered";

/// More calls than a connection needs to be lent.
const ENOUGH: usize = 40;

fn start() -> Place {
    rpc_place::start(json!({}))
}

/// Sockets that the plugin has open; one more for each connection that is lent.
fn sockets(plugin: u32) -> usize {
    process::sockets(plugin).len()
}

/// How many it has while no connection is lent: those of its start go one after the other.
#[track_caller]
fn idle_sockets(place: &Place) -> usize {
    let mut last = [0; 5];
    eventually(SOON, || {
        last.rotate_left(1);
        last[4] = sockets(place.plugin());
        last.iter().all(|count| *count == last[4])
    });
    last[4]
}

/// Calls until the plugin itself has the connection.
#[track_caller]
fn lend(place: &Place, rpc: &mut Rpc) {
    // Others may go at the same time.
    let before = process::sockets(place.plugin());
    calls(rpc, ENOUGH);
    eventually(SOON, || {
        process::sockets(place.plugin())
            .iter()
            .any(|socket| !before.contains(socket))
    });
}

#[track_caller]
fn calls(rpc: &mut Rpc, count: usize) {
    for number in 0..count {
        let text = format!("call {number}");
        assert_eq!(rpc.exchange("kv.Echo", flag::RAW, text.as_bytes()).text(), text);
    }
}

/// LEASE-01: it is lent after a row of calls to one plugin, comes back for any other call, and is lent again.
#[test]
fn a_connection_goes_to_the_plugin_and_comes_back() {
    let place = start();
    let mut rpc = place.rpc();
    calls(&mut rpc, 1);
    let idle = idle_sockets(&place);
    lend(&place, &mut rpc);
    calls(&mut rpc, 1000);
    eventually(SOON, || sockets(place.plugin()) == idle + 1);
    assert_eq!(rpc.call("rpc.Version", &json!(true)).error(), None);
    eventually(SOON, || sockets(place.plugin()) == idle);
    calls(&mut rpc, 5);
    assert_eq!(
        rpc.call("nope.X", &json!(true)).text(),
        "rpc: can't find service nope.X"
    );
    assert_eq!(rpc.exchange("kv.Fail", flag::RAW, b"words").text(), "words");
    lend(&place, &mut rpc);
    let text = "rpc: can't find method kv.X";
    assert_eq!(rpc.exchange("kv.X", flag::PROTO, b"").text(), text);
    let text = "rpc: the call has failed by a defect of the plugin";
    assert_eq!(rpc.exchange("kv.Panic", flag::RAW, b"").text(), text);
    // Errors are answers like others.
    eventually(SOON, || sockets(place.plugin()) == idle + 1);
    drop(rpc);
    eventually(SOON, || sockets(place.plugin()) == idle);
    assert!(place.server.stop().success());
}

/// LEASE-02: what needs more than one call at a time, or more than a slot, works as on any other connection.
#[test]
fn calls_that_wait_and_calls_at_once_go_the_usual_way() {
    let place = start();
    let mut rpc = place.rpc();
    lend(&place, &mut rpc);
    let waits = rpc.begin("kv.Wait", flag::RAW, b"patient");
    calls(&mut rpc, 3);
    assert_eq!(rpc.exchange("kv.Open", flag::RAW, b"").error(), None);
    assert_eq!(rpc.answer(waits).text(), "patient");

    let mut rpc = place.rpc();
    lend(&place, &mut rpc);
    let mut both = Vec::new();
    wire::answer(&mut both, flag::RAW, 1001, b"kv.Wait", b"first");
    wire::answer(&mut both, flag::RAW, 1002, b"kv.Echo", b"second");
    wire::answer(&mut both, flag::RAW, 1003, b"kv.Open", b"third");
    assert!(rpc.send(&both));
    for (sequence, text) in [(1001, "first"), (1002, "second"), (1003, "third")] {
        assert_eq!(rpc.answer(sequence).text(), text);
    }
    assert!(place.server.stop().success());
}

/// LEASE-03: a call in pieces, byte by byte, or larger than a slot, and large answers.
#[test]
fn any_size_and_any_piece_of_a_call_arrives() {
    let place = start();
    for pieces in [1, 7, 4000] {
        let mut rpc = place.rpc();
        lend(&place, &mut rpc);
        let body = vec![b'x'; 9000];
        let mut frame = Vec::new();
        wire::answer(&mut frame, flag::RAW, 5000, b"kv.Echo", &body[..2 * pieces + 5]);
        for piece in frame.chunks(pieces) {
            assert!(rpc.send(piece));
        }
        assert_eq!(rpc.answer(5000).body, &body[..2 * pieces + 5]);
        calls(&mut rpc, 3);
    }
    for size in [14_000, 15_335, 15_336, 70_000, 3_000_000] {
        let mut rpc = place.rpc();
        lend(&place, &mut rpc);
        let body = vec![b'y'; size];
        assert!(rpc.exchange("kv.Echo", flag::RAW, &body).body == body, "{size}");
        let mut rpc = place.rpc();
        lend(&place, &mut rpc);
        assert_eq!(rpc.call("kv.Big", &json!(size)).body.len(), size);
        calls(&mut rpc, 3);
    }
    assert!(place.server.stop().success());
}

/// LEASE-04: bytes that are no call close the connection, as everywhere.
#[test]
fn garbage_on_a_lent_connection_closes_it() {
    let place = start();
    let (mut rpc, mut sound) = (place.rpc(), place.rpc());
    lend(&place, &mut rpc);
    lend(&place, &mut sound);
    rpc.send(b"GET / HTTP/1.1\r\n\r\n");
    assert!(rpc.closes_within(SOON));
    calls(&mut sound, 3);
    assert!(place.server.stop().success());
}

/// LEASE-05: the plugin dies with a call that has begun: that call is an error, and the connection goes on.
#[test]
fn the_plugins_death_is_one_error_on_a_lent_connection() {
    let place = start();
    let (mut rpc, mut idle) = (place.rpc(), place.rpc());
    lend(&place, &mut rpc);
    lend(&place, &mut idle);
    let first = place.plugin();
    assert_eq!(rpc.call("kv.Die", &json!(null)).error().as_deref(), Some(DIED));
    eventually(SOON, || !process::alive(first));
    calls(&mut idle, 1);
    calls(&mut rpc, 1);
    assert!(place.server.stop().success());
}

/// Clients that never reconnect and call as fast as they can; each tells its errors.
struct Clients {
    over: Arc<AtomicBool>,
    answers: Vec<Arc<AtomicUsize>>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Clients {
    fn start(place: &Place, count: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let answers: Vec<Arc<AtomicUsize>> = (0..count).map(|_| Arc::default()).collect();
        let client = |answers: &Arc<AtomicUsize>| {
            let (answers, over, mut rpc) = (Arc::clone(answers), Arc::clone(&over), place.rpc());
            thread::spawn(move || ask(&mut rpc, &over, &answers))
        };
        let threads = answers.iter().map(client).collect();
        Self { over, answers, threads }
    }

    /// Waits until each has got that many more answers.
    #[track_caller]
    fn go_on(&self, more: usize) {
        let read = |answers: &Arc<AtomicUsize>| answers.load(Ordering::Relaxed);
        let goals: Vec<usize> = self.answers.iter().map(|answers| read(answers) + more).collect();
        eventually(SOON, || {
            self.answers
                .iter()
                .zip(&goals)
                .all(|(answers, goal)| read(answers) >= *goal)
        });
    }

    /// The errors of each.
    fn stop(self) -> Vec<Vec<String>> {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

/// Every answer is that of its call, or an error.
fn ask(rpc: &mut Rpc, over: &AtomicBool, answers: &AtomicUsize) -> Vec<String> {
    let mut errors = Vec::new();
    let mut number = 0_u64;
    while !over.load(Ordering::Relaxed) {
        number += 1;
        let body = number.to_string().repeat(1 + number as usize % 50);
        let answer = rpc.exchange("kv.Echo", flag::RAW, body.as_bytes());
        match answer.error() {
            Some(error) => errors.push(error),
            None => {
                assert_eq!(answer.text(), body);
                answers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    errors
}

/// LEASE-06: `kill -9` again and again under load: each costs a connection at most the one call that it had in flight.
#[test]
fn kills_under_load_cost_only_calls_in_flight() {
    let kills = rounds(6);
    let place = rpc_place::start(json!({"supervisor": {"restart": {"window": "1ms"}}}));
    let idle = idle_sockets(&place);
    let clients = Clients::start(&place, 8);
    for _ in 0..kills {
        clients.go_on(100);
        let plugin = place.plugin();
        eventually(SOON, || sockets(plugin) > idle);
        process::kill_and_wait(plugin);
        clients.go_on(1);
    }
    for errors in clients.stop() {
        assert!(errors.iter().all(|error| error == DIED), "{errors:?}");
        assert!(errors.len() <= kills, "{} errors of {kills} kills", errors.len());
    }
    assert!(place.server.stop().success());
}

/// LEASE-07: more connections than slots: those that find none go the usual way.
#[test]
fn more_connections_than_slots() {
    let place = start();
    let idle = idle_sockets(&place);
    let mut all: Vec<Rpc> = (0..300).map(|_| place.rpc()).collect();
    for rpc in &mut all {
        calls(rpc, ENOUGH);
    }
    eventually(SOON, || sockets(place.plugin()) == idle + 256);
    for rpc in &mut all {
        calls(rpc, 2);
    }
    all.truncate(280);
    drop(all.split_off(20));
    eventually(SOON, || sockets(place.plugin()) <= idle + 20);
    let mut more: Vec<Rpc> = (0..30).map(|_| place.rpc()).collect();
    for rpc in &mut more {
        lend(&place, rpc);
    }
    process::kill_and_wait(place.plugin());
    for rpc in all.iter_mut().chain(&mut more) {
        calls(rpc, 2);
    }
    assert!(place.server.stop().success());
}

/// LEASE-08: the server's stop under load: every call is answered as long as there is a connection, and it ends in order.
#[test]
fn a_stop_under_load_is_in_order() {
    let place = start();
    let stopped = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (mut rpc, stopped) = (place.rpc(), Arc::clone(&stopped));
            calls(&mut rpc, ENOUGH);
            thread::spawn(move || {
                for number in 0_u32.. {
                    let mut frame = Vec::new();
                    let sequence = 10_000 + number;
                    wire::answer(&mut frame, flag::RAW, sequence, b"kv.Echo", b"x");
                    if !rpc.send(&frame) || !rpc.came(sequence, SOON) {
                        assert!(stopped.load(Ordering::SeqCst), "a connection ended before the stop");
                        return;
                    }
                    if let Some(error) = rpc.answer(sequence).error() {
                        assert!(stopped.load(Ordering::SeqCst), "{error}");
                    }
                }
            })
        })
        .collect();
    stopped.store(true, Ordering::SeqCst);
    assert!(place.server.stop().success());
    for client in clients {
        client.join().unwrap();
    }
}
