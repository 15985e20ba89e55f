//! Locks in Redis, with two drivers as two hosts have them: LOCK-01.

#![allow(clippy::unwrap_used)]

use rr_common::config::Dur;
use rr_common::config::section;
use rr_lock::driver::redis::Redis as Locks;
use rr_lock::driver::{Ask, Driver, Mode, Token};
use rr_tests::servers::{Cluster, Redis};
use rr_tests::wait::SOON;
use rr_tests::{Background, Room, eventually};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// One host.
struct Host {
    background: Background,
    locks: Locks,
}

impl Host {
    fn new(addresses: Vec<String>) -> Self {
        let background = Background::new();
        let settings = section::Redis {
            addrs: addresses,
            dial_timeout: Dur(Duration::from_millis(500)),
            read_timeout: Dur(Duration::from_millis(500)),
            ..section::Redis::default()
        };
        let locks = Locks::open(&settings, background.handle()).unwrap();
        Self { background, locks }
    }

    fn take(&self, id: &str, mode: Mode, ttl: Duration, wait: Duration) -> Option<Token> {
        let ask = Ask {
            resource: "r",
            id,
            mode,
            ttl,
            wait,
        };
        self.background.wait(self.locks.lock(ask)).unwrap()
    }

    fn write(&self, id: &str) -> Option<Token> {
        self.take(id, Mode::Write, LONG, Duration::ZERO)
    }

    fn read(&self, id: &str) -> Option<Token> {
        self.take(id, Mode::Read, LONG, Duration::ZERO)
    }

    fn release(&self, id: &str) -> bool {
        self.background.wait(self.locks.release("r", id)).unwrap()
    }

    fn force(&self) -> bool {
        self.background.wait(self.locks.force_release("r")).unwrap()
    }

    fn exists(&self, id: Option<&str>) -> bool {
        self.background.wait(self.locks.exists("r", id)).unwrap()
    }

    fn update(&self, id: &str, ttl: Duration) -> bool {
        self.background.wait(self.locks.update_ttl("r", id, ttl)).unwrap()
    }
}

fn follows_the_rules(addresses: Vec<String>) {
    let (one, two) = (Host::new(addresses.clone()), Host::new(addresses));
    // One writer, on whichever host
    let first = one.write("a").unwrap();
    assert_eq!((two.write("b"), two.read("b"), one.write("a")), (None, None, None));
    assert!(two.exists(Some("a")) && two.exists(None) && !two.exists(Some("b")));
    assert!(!two.release("b") && two.release("a") && !one.release("a"));
    assert!(!one.exists(None));

    // Tokens grow, readers share, the only reader may write
    let second = two.read("b").unwrap();
    assert!(second > first);
    assert_eq!(one.read("b"), Some(second), "the same lock");
    let third = one.read("c").unwrap();
    assert!(third > second);
    assert_eq!((one.write("b"), one.write("d")), (None, None));
    assert!(one.release("c"));
    assert!(one.write("b").unwrap() > third);
    assert_eq!(two.read("c"), None);
    assert!(two.force() && !two.force() && !one.exists(None));

    // Time
    one.take("a", Mode::Write, Duration::from_millis(80), Duration::ZERO)
        .unwrap();
    let began = Instant::now();
    assert!(two.take("b", Mode::Write, LONG, SOON).is_some());
    assert!(began.elapsed() < SOON);
    assert!(!one.exists(Some("a")) && !one.update("a", LONG));
    assert_eq!(
        one.take("a", Mode::Read, LONG, Duration::from_millis(50)),
        None,
        "the wait ends in time"
    );
    assert!(one.update("b", Duration::from_millis(1)));
    eventually(SOON, || !one.exists(None));

    // Who waits is not overtaken, and what it waits for may come from the other host
    assert!(one.read("reader").is_some());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| two.take("writer", Mode::Write, LONG, SOON));
        eventually(SOON, || two.locks.counts().waiting == 1);
        assert_eq!(one.read("another"), None);
        assert!(one.read("reader").is_some(), "a reader may read once more");
        assert!(one.release("reader"));
        assert!(writer.join().unwrap().is_some());
    });
    assert_eq!(two.locks.counts().waiting, 0);
    assert!(two.release("writer"));

    // Many at once: never two inside, and nobody starves
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (inside, host) = (&inside, if n % 2 == 0 { &one } else { &two });
            scope.spawn(move || {
                let id = format!("worker{n}");
                for _ in 0..5 {
                    host.take(&id, Mode::Write, LONG, SOON).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    assert!(host.release(&id));
                }
            });
        }
    });
    assert_eq!(one.locks.unhealthy(), None);
}

#[test]
fn two_hosts_on_one_redis() {
    let room = Room::new();
    let Some(server) = Redis::start(&room, "redis", &[]) else {
        return;
    };
    follows_the_rules(vec![server.address()]);
    let left: i64 = server.cli(&["pttl", "rr:lock:r"]).parse().unwrap();
    assert!(
        (1..=3_600_000).contains(&left),
        "a resource is forgotten after an hour: {left}"
    );
}

#[test]
fn two_hosts_on_a_cluster() {
    let room = Room::new();
    let Some(cluster) = Cluster::start(&room) else { return };
    follows_the_rules(cluster.addresses());
}

#[test]
fn redis_gone_is_an_error_and_back_is_back() {
    let room = Room::new();
    let Some(server) = Redis::start(&room, "redis", &[]) else {
        return;
    };
    let host = Host::new(vec![server.address()]);
    host.write("a").unwrap();
    server.daemon().kill();
    let ask = Ask {
        resource: "r",
        id: "b",
        mode: Mode::Write,
        ttl: LONG,
        wait: LONG,
    };
    let began = Instant::now();
    let error = host.background.wait(host.locks.lock(ask)).unwrap_err();
    assert!(error.to_string().contains("redis") && began.elapsed() < SOON, "{error}");
    assert!(host.locks.unhealthy().is_some());
    server.restart();
    eventually(SOON, || host.background.wait(host.locks.exists("r", None)).is_ok());
    assert!(host.write("b").is_some());
}
