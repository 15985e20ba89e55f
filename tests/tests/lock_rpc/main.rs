//! Locks over the RPC port, with the real supervisor and `rr-lock` (LOCK-01).
#![allow(clippy::unwrap_used)]

use nix::sys::signal::Signal;
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    port::{at, free_port, local, tcp},
    process,
    server::merge,
    wait::{SOON, holds_within},
};
use serde_json::{Value, json};
use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Longer than any test.
const LONG: u64 = 60_000_000;

/// A server with an RPC port and nothing else.
struct Place {
    server: Server,
    port: u16,
}

impl Place {
    fn start(settings: Value) -> Self {
        let port = free_port();
        let mut config = json!({
            "version": "3",
            "rpc": {"listen": tcp(port)},
            "logs": {"mode": "production", "level": "debug"},
            // Killed more often than any plugin deserves.
            "supervisor": {"restart": {"window": "1ms"}},
        });
        merge(&mut config, settings);
        let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
        server.wait_started();
        Self { server, port }
    }

    fn client(&self) -> Client {
        Client(Rpc::tcp(local(self.port)))
    }

    fn kill(&self) {
        process::kill_and_wait(self.server.plugin("rr-lock"));
    }
}

/// One connection, which is never made anew.
struct Client(Rpc);

impl Client {
    /// The answer's fields; a call that a death has cut off is made again.
    fn ask(&mut self, method: &str, argument: &Value) -> Value {
        let mut result = Value::Null;
        eventually(SOON, || {
            let answer = self.0.call(&format!("lock.{method}"), argument);
            match answer.error() {
                None => result = answer.json(),
                Some(error) => assert!(error.contains("plugin lock"), "{error}"),
            }
            answer.error().is_none()
        });
        result
    }

    /// The token of a lock, if it was granted.
    fn lock(&mut self, method: &str, resource: &str, id: &str, wait: u64) -> Option<u64> {
        let argument = json!({"resource": resource, "id": id, "ttl": LONG, "wait": wait});
        let answer = self.ask(method, &argument);
        assert_eq!(answer["ok"] == json!(true), answer["token"].is_u64(), "{answer}");
        answer["token"].as_u64()
    }

    fn yes(&mut self, method: &str, resource: &str, id: &str) -> bool {
        self.ask(method, &json!({"resource": resource, "id": id}))["ok"] == json!(true)
    }

    /// Asks for a lock and does not wait for the answer.
    fn begin(&mut self, method: &str, resource: &str, id: &str, wait: u64) -> u32 {
        let argument = json!({"resource": resource, "id": id, "ttl": LONG, "wait": wait});
        let body = argument.to_string();
        self.0.begin(&format!("lock.{method}"), 0x08, body.as_bytes())
    }

    fn granted(&mut self, call: u32) -> bool {
        self.0.answer(call).json()["ok"] == json!(true)
    }
}

#[test]
fn the_first_call_starts_it() {
    let place = Place::start(json!({}));
    assert!(process::named(place.server.pid(), "rr-lock").is_empty());
    let (mut a, mut b) = (place.client(), place.client());
    let first = a.lock("Lock", "r", "a", 0).unwrap();
    place.server.plugin("rr-lock");
    assert_eq!(b.lock("Lock", "r", "b", 0), None);
    assert_eq!(b.lock("LockRead", "r", "b", 0), None);
    assert!(b.yes("Exists", "r", "a") && b.yes("Exists", "r", "*") && !b.yes("Exists", "r", "b"));
    assert!(!b.yes("Release", "r", "b") && a.yes("Release", "r", "a") && !a.yes("Exists", "r", "*"));
    assert!(b.lock("LockRead", "r", "b", 0).unwrap() > first);
    assert!(b.lock("Lock", "r", "b", 0).is_some(), "the only reader may write");
    assert!(a.yes("ForceRelease", "r", "") && !b.yes("Exists", "r", "*"));
    let nameless = a.0.call("lock.Lock", &json!({"resource": "r"}));
    assert_eq!(nameless.error().as_deref(), Some("empty ID is not allowed"));
    let unknown = a.0.call("lock.Unlock", &json!({}));
    assert_eq!(unknown.error().as_deref(), Some("rpc: can't find method lock.Unlock"));
    assert!(place.server.stop().success());
}

#[test]
fn with_a_section_it_starts_with_the_server() {
    let place = Place::start(json!({"lock": {"driver": "memory"}}));
    place.server.plugin("rr-lock");
    assert!(place.client().lock("Lock", "r", "a", 0).is_some());
    assert!(place.server.stop().success());
}

#[test]
fn a_program_that_is_missing_is_told_to_who_calls_it() {
    let nowhere = json!({"supervisor": {"plugins": {"lock": {"binary": "/nowhere/rr-lock"}}}});
    let place = Place::start(nowhere);
    let error = place
        .client()
        .0
        .call("lock.Lock", &json!({"resource": "r", "id": "a"}))
        .error()
        .unwrap();
    assert!(error.contains("/nowhere/rr-lock"), "{error}");
    assert!(place.server.stop().success());
}

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

/// Killed again and again, with locks held: nobody else gets them, their owners may release them, and tokens go on.
#[test]
fn a_crash_frees_nothing() {
    let place = Place::start(json!({}));
    let (mut me, mut other) = (place.client(), place.client());
    let mut last = 0;
    for round in 0..12 {
        let token = me.lock("Lock", "r", "me", 0).unwrap();
        assert!(token > last, "{token} after {last}");
        last = token;
        for reader in ["x", "y"] {
            assert!(me.lock("LockRead", "shared", reader, 0).unwrap() > last);
        }
        let waiting = other.begin("Lock", "r", "other", LONG);
        assert!(other.yes("Exists", "r", "me"));
        place.kill();
        let answer = other.0.answer(waiting);
        assert!(answer.error().is_some(), "a wait that was cut off is told: {answer:?}");
        assert_eq!(
            other.lock("Lock", "r", "other", 20_000),
            None,
            "a second holder in round {round}"
        );
        assert_eq!(other.lock("Lock", "shared", "x", 0), None, "one reader of two");
        assert!(other.yes("Exists", "r", "me"));
        assert!(me.yes("Release", "r", "me"));
        assert!(!me.yes("Exists", "r", "*"));
    }
    // Time limits go on while it is down.
    let short = json!({"resource": "short", "id": "me", "ttl": 100_000});
    assert_eq!(me.ask("Lock", &short)["ok"], json!(true));
    place.kill();
    assert!(other.lock("Lock", "short", "other", LONG).is_some());
    assert!(place.server.stop().success());
}

/// Kills at random moments while locks come and go: a torn record loses nothing that was told.
#[test]
fn a_crash_in_the_middle_of_calls_loses_nothing_that_was_told() {
    let place = Place::start(json!({}));
    let mut client = place.client();
    let mut last = client.lock("Lock", "first", "me", 0).unwrap();
    for round in 0..6 {
        let rr_lock = place.server.plugin("rr-lock");
        let calls: Vec<(String, u32)> = (0..300)
            .map(|n| {
                let resource = format!("{round}-{n}");
                let call = client.begin("Lock", &resource, "me", 0);
                (resource, call)
            })
            .collect();
        // Some are answered by now, some on the way, some not read yet.
        assert!(client.granted(calls[round * 20].1));
        process::signal(rr_lock, Signal::SIGKILL);
        let mut told = Vec::new();
        for (resource, call) in &calls[1 + round * 20..] {
            let answer = client.0.answer(*call);
            if answer.error().is_none() {
                let token = answer.json()["token"].as_u64().unwrap();
                told.push((resource, token));
            }
        }
        for (resource, token) in told {
            assert!(client.yes("Exists", resource, "me"), "{resource} was told");
            last = last.max(token);
        }
        let next = client.lock("Lock", &format!("{round}-next"), "me", 0).unwrap();
        assert!(next > last, "{next} after {last}");
        last = next;
    }
    assert!(place.server.stop().success());
}

#[test]
fn its_numbers_are_on_the_page() {
    let metrics = free_port();
    let place = Place::start(json!({"metrics": {"address": at(metrics)}}));
    let (mut holder, mut waiting) = (place.client(), place.client());
    holder.lock("LockRead", "r", "a", 0).unwrap();
    holder.lock("LockRead", "r", "b", 0).unwrap();
    waiting.begin("Lock", "r", "c", LONG);
    assert!(!waiting.yes("Exists", "r", "c"));
    let page = rr_tests::Client::tcp(local(metrics)).get("/metrics").text();
    for line in ["rr_lock_held 2", "rr_lock_waiting 1", "rr_lock_granted_total 2"] {
        assert!(page.lines().any(|found| found == line), "{line}:\n{page}");
    }
}

/// PHP processes that add to a number in a file, 25 times each, under one lock; `meanwhile` runs until all have ended.
fn count(place: &Place, mut meanwhile: impl FnMut()) {
    let file = place.server.room().write("counter", "0 0");
    let mut workers: Vec<Child> = (0..6)
        .map(|_| {
            let mut command = Command::new("php");
            command.arg(bin::script("lock-counter.php"));
            command.arg(tcp(place.port)).arg(&file);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    eventually(SOON * 4, || {
        meanwhile();
        workers.iter_mut().all(|worker| worker.try_wait().unwrap().is_some())
    });
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }
    let counter = place.server.room().read("counter");
    assert_eq!(counter.split(' ').next(), Some("150"), "{counter}");
}

#[test]
fn php_processes_share_a_counter() {
    let place = Place::start(json!({}));
    count(&place, || {});
    assert!(place.server.stop().success());
}

#[test]
fn they_count_right_while_the_plugin_is_killed_again_and_again() {
    let place = Place::start(json!({}));
    place.client().lock("Lock", "started", "me", 0).unwrap();
    let (mut kills, mut last) = (0, 0);
    count(&place, || {
        // Each process once, when it has had the time to grant something.
        let pids = process::named(place.server.pid(), "rr-lock");
        let [pid] = pids[..] else { return };
        if pid != last && kills < 8 && place.client().yes("Exists", "counter", "*") {
            process::signal(pid, Signal::SIGKILL);
            last = pid;
            kills += 1;
        }
    });
    assert!(kills > 2, "{kills} kills");
    assert!(place.server.stop().success());
}
