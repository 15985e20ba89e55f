//! Plugins that keep something for others are replaced under load: nothing is lost, and no call fails.
#![allow(clippy::unwrap_used)]

use prost::Message;
use rr_common::frame::flag;
use rr_kv::v1::{CounterRequest, CounterResponse, Item, Request, Response};
use rr_tests::{
    Room, Rpc, Server, bin, eventually,
    operator::{self, done, rr, succeeded, text, upgrade},
    process,
    room::free_port,
    rounds,
    rpc_place::{self, local},
    server::merge,
    wait::SOON,
};
use serde_json::{Value, json};
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Keys in memory before the first upgrade, and in one call.
const KEYS: usize = 100_000;
const PIECE: usize = 1000;

/// A server with storages and locks.
struct Place {
    server: Server,
    port: u16,
}

impl Place {
    fn start(settings: Value) -> Self {
        let (room, port) = (Room::new(), free_port());
        let mut config = json!({
            "version": "3",
            "rpc": {"listen": format!("tcp://127.0.0.1:{port}")},
            "kv": {
                "memory": {"driver": "memory", "config": {}},
                "boltdb": {"driver": "boltdb", "config": {"file": room.file("kv.db"), "interval": 1}},
            },
            "lock": {},
            "logs": {"mode": "production", "level": "debug"},
            "endure": {"log_level": "debug"},
            // Killed more often than any plugin deserves.
            "supervisor": {"restart": {"window": "1ms"}},
        });
        merge(&mut config, settings);
        let server = Server::launch(room, port, &config.to_string(), &[]);
        server.wait_log("RoadRunner server started");
        Self { server, port }
    }

    fn rpc(&self) -> Rpc {
        Rpc::tcp(local(self.port))
    }

    /// An upgrade that must work; the new pid.
    #[track_caller]
    fn upgraded(&self, plugin: &str) -> u32 {
        let old = self.server.plugin(&format!("rr-{plugin}"));
        let new = upgrade(&self.server, plugin);
        assert_ne!(old, new);
        eventually(SOON, || !process::alive(old));
        new
    }

    /// Begins an upgrade to that program.
    fn upgrade_to(&self, program: &Path) -> Child {
        let program = program.to_str().unwrap();
        operator::start(&self.server, &["upgrade", "kv", "--binary", program])
    }

    /// A program that is the test plugin with this variable.
    fn misbehaving(&self, variable: &str) -> PathBuf {
        let program = bin::binary("rr-test-plugin");
        let script = format!(
            "#!/bin/sh\nexport TEST_NO_PORT=1 {variable}\nexec {}\n",
            program.display()
        );
        let path = self.server.room().write("next", script);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// A call that must not fail.
#[track_caller]
fn ask<A: Message + Default>(rpc: &mut Rpc, method: &str, argument: &impl Message) -> A {
    let answer = rpc.exchange(&format!("kv.{method}"), flag::PROTO, &argument.encode_to_vec());
    assert_eq!(answer.error(), None, "{method}");
    A::decode(&answer.body[..]).unwrap()
}

#[track_caller]
fn incr(rpc: &mut Rpc, storage: &str, key: &str) -> i64 {
    let request = CounterRequest {
        storage: storage.into(),
        key: key.into(),
        ..CounterRequest::default()
    };
    ask::<CounterResponse>(rpc, "Incr", &request).value
}

fn request(storage: &str, items: Vec<Item>) -> Request {
    Request {
        storage: storage.into(),
        items,
    }
}

/// The key of that number: two of three have an end.
fn item(number: usize) -> Item {
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

fn fill(rpc: &mut Rpc, storage: &str, keys: usize) {
    for first in (0..keys).step_by(PIECE) {
        let items = (first..first + PIECE).map(item).collect();
        ask::<Response>(rpc, "Set", &request(storage, items));
    }
}

/// Every key is there with its value and its end.
#[track_caller]
fn check(rpc: &mut Rpc, storage: &str, keys: usize) {
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

/// Clients that count, each on its one connection, until they are stopped. Any error ends the test.
struct Counting {
    over: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Counting {
    fn start(place: &Place, storages: &[&'static str]) -> Self {
        let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let client = |(number, storage): (usize, &&'static str)| {
            let (mut rpc, storage) = (place.rpc(), *storage);
            let (over, calls) = (Arc::clone(&over), Arc::clone(&calls));
            thread::spawn(move || {
                let (own, mut count) = (format!("own{number}"), 0);
                while !over.load(Ordering::Relaxed) {
                    count += 1;
                    assert_eq!(incr(&mut rpc, storage, &own), count, "none is lost, none is made twice");
                    incr(&mut rpc, storage, "shared");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        Self {
            clients: storages.iter().enumerate().map(client).collect(),
            over,
            calls,
        }
    }

    /// Waits until some calls more have been answered.
    #[track_caller]
    fn goes_on(&self) {
        let before = self.calls.load(Ordering::Relaxed);
        eventually(SOON, || {
            assert!(
                self.clients.iter().all(|client| !client.is_finished()),
                "a call has failed"
            );
            self.calls.load(Ordering::Relaxed) > before + 20
        });
    }

    /// Ends it; how often they have counted.
    #[track_caller]
    fn stop(self) -> i64 {
        self.over.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        i64::try_from(self.calls.load(Ordering::Relaxed)).unwrap()
    }
}

/// 100,000 keys in memory with their ends, and counters, under load from clients that never reconnect, one of them PHP.
#[test]
fn an_upgrade_of_kv_loses_no_key_and_fails_no_call() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", KEYS);
    let going = place.server.room().write("going", "");
    let mut php = Command::new("php");
    php.arg(bin::script("kv/steady.php")).arg("memory").arg(&going);
    php.env("RR_RPC", format!("tcp://127.0.0.1:{}", place.port))
        .stdout(Stdio::piped());
    let php = php.spawn().unwrap();
    let counting = Counting::start(&place, &["memory"; 4]);
    for _ in 0..rounds(3) {
        counting.goes_on();
        place.upgraded("kv");
        counting.goes_on();
    }
    let counted = counting.stop();
    std::fs::remove_file(going).unwrap();
    let php = php.wait_with_output().unwrap();
    assert!(php.status.success());
    let php: i64 = text(&php.stdout).parse().unwrap();
    assert_eq!(incr(&mut rpc, "memory", "shared"), counted + 1);
    assert!(php > 0 && incr(&mut rpc, "memory", "php") == php + 1);
    check(&mut rpc, "memory", KEYS);
    let log = place.server.log();
    assert!(!log.contains("died") && !log.contains(r#""level":"error""#), "{log}");
    assert!(place.server.stop().success());
}

/// The file is closed by one process before the other opens it.
#[test]
fn an_upgrade_of_kv_fails_no_call_on_a_file() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "boltdb", 2 * PIECE);
    let counting = Counting::start(&place, &["boltdb", "boltdb", "memory"]);
    for _ in 0..rounds(3) {
        counting.goes_on();
        place.upgraded("kv");
    }
    counting.goes_on();
    counting.stop();
    check(&mut rpc, "boltdb", 2 * PIECE);
}

/// One that is no plugin is found out before anybody waits; one that cannot take over gives everything back.
#[test]
fn a_new_process_that_is_no_good_changes_nothing() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", 5 * PIECE);
    fill(&mut rpc, "boltdb", PIECE);
    let counting = Counting::start(&place, &["memory", "memory", "boltdb"]);
    let kv = place.server.plugin("rr-kv");
    let refused = |output: Output, reason: &str| {
        let told = operator::refused(&output);
        assert!(told.contains(reason), "{told}");
        assert_eq!(place.server.plugin("rr-kv"), kv);
        counting.goes_on();
    };
    refused(
        rr(&place.server, &["upgrade", "kv", "--binary", "/bin/false"]),
        "exit code 1",
    );
    assert!(!place.server.log().contains("paused"));
    let refusing = place.misbehaving("TEST_REFUSE='I do not like it'");
    refused(
        place.upgrade_to(&refusing).wait_with_output().unwrap(),
        "I do not like it",
    );
    assert!(place.server.log().contains("paused"));

    // Killed while it takes over.
    let hanging = place.misbehaving("TEST_HANG_AT_START=1");
    let upgrade = place.upgrade_to(&hanging);
    eventually(SOON, || place.server.log().matches("has handed over").count() == 2);
    let seen = done(&place.server, &["plugins", "--json"]);
    assert!(seen.contains(r#""upgrading""#), "{seen}");
    process::kill_and_wait(place.server.plugin("rr-test-plugin"));
    refused(upgrade.wait_with_output().unwrap(), "SIGKILL");

    let counted = counting.stop();
    assert!(counted > 0);
    check(&mut rpc, "memory", 5 * PIECE);
    check(&mut rpc, "boltdb", PIECE);
    // And a good one is taken all the same.
    place.upgraded("kv");
    check(&mut rpc, "memory", 5 * PIECE);
}

/// A new process that hangs is given as long as a pause may last.
#[test]
fn a_pause_ends() {
    let place = Place::start(json!({"endure": {"grace_period": "2s"}}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", PIECE);
    let counting = Counting::start(&place, &["memory"; 2]);
    let hanging = place.misbehaving("TEST_HANG_AT_START=1");
    let output = place.upgrade_to(&hanging).wait_with_output().unwrap();
    let told = text(&output.stderr);
    assert!(told.contains("did not take over within 2s"), "{told}");
    counting.goes_on();
    counting.stop();
    check(&mut rpc, "memory", PIECE);
}

/// The present process dies after it has handed over, and the next one goes on; if both die, what was in memory is lost, and the log
/// says so.
#[test]
fn a_death_in_the_pause() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", PIECE);
    fill(&mut rpc, "boltdb", PIECE);
    let old = place.server.plugin("rr-kv");
    let upgrade = place.upgrade_to(&place.misbehaving("TEST_HANG_AT_START=1"));
    place.server.wait_log("has handed over");
    process::kill_and_wait(old);
    place.server.wait_log("died after it had handed over");
    let waits = rpc.begin("kv.Has", flag::PROTO, &request("boltdb", vec![item(1)]).encode_to_vec());
    assert!(
        process::named(place.server.pid(), "rr-kv").is_empty(),
        "never two of them"
    );
    process::kill_and_wait(place.server.plugin("rr-test-plugin"));
    assert!(!upgrade.wait_with_output().unwrap().status.success());
    place.server.wait_log("is lost");
    assert_eq!(rpc.answer(waits).error(), None, "it waited for the next process");
    check(&mut rpc, "boltdb", PIECE);
    let left = ask::<Response>(&mut rpc, "Has", &request("memory", vec![item(1)]));
    assert!(left.items.is_empty());
}

/// The next process is stopped while it takes over, the present one killed: nothing is lost.
#[test]
fn who_has_handed_over_may_die() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", KEYS);
    let old = place.server.plugin("rr-kv");
    let upgrade = place.upgrade_to(&bin::binary("rr-kv"));
    place.server.wait_log("it hands over");
    let next = process::named(place.server.pid(), "rr-kv")
        .into_iter()
        .find(|pid| *pid != old)
        .unwrap();
    process::signal(next, nix::sys::signal::Signal::SIGSTOP);
    place.server.wait_log("has handed over");
    process::kill_and_wait(old);
    process::signal(next, nix::sys::signal::Signal::SIGCONT);
    let output = upgrade.wait_with_output().unwrap();
    succeeded(&place.server, &output);
    check(&mut rpc, "memory", KEYS);
    assert_eq!(place.server.plugin("rr-kv"), next);
}

/// A reload that changes the storages replaces the process in the same way.
#[test]
fn a_reload_that_changes_kv_keeps_its_keys() {
    let place = Place::start(json!({}));
    let mut rpc = place.rpc();
    fill(&mut rpc, "memory", PIECE);
    let (old, counting) = (place.server.plugin("rr-kv"), Counting::start(&place, &["memory"; 2]));
    counting.goes_on();
    let file = place.server.room().file(".rr.yaml");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["kv"]["another"] = json!({"driver": "memory", "config": {}});
    std::fs::write(&file, config.to_string()).unwrap();
    done(&place.server, &["reload"]);
    eventually(SOON, || !process::alive(old));
    counting.goes_on();
    counting.stop();
    check(&mut rpc, "memory", PIECE);
    assert_eq!(incr(&mut rpc, "another", "key"), 1);
}

/// A plugin that does not know how to hand over stays as it is, and whoever asked is told.
#[test]
fn a_plugin_that_cannot_pause_is_left_alone() {
    let place = rpc_place::start(json!({}));
    let (mut rpc, pid) = (place.rpc(), place.plugin());
    let told = operator::refused(&rr(&place.server, &["upgrade", "kv"]));
    assert!(told.contains("does not know `Pause`"), "{told}");
    assert_eq!(rpc.call("kv.Pid", &Value::Null).json(), json!(pid));
    assert_eq!(place.plugin(), pid);
}

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
