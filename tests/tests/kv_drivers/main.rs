//! Every key-value driver does the same: one set of questions for all of them, asked at the RPC edge, with real servers
//! behind: KV-02, KV-03, KV-05, KV-06. Here is which drivers are asked.
//!
//! - [`kv`]: a storage and the calls to it
//! - [`questions`]: what every driver does
//! - [`outage`]: a storage whose server goes and comes back

#![allow(clippy::unwrap_used)]

mod kv;
mod outage;
mod questions;

use kv::{Kv, Pairs};
use questions::{does_what_every_driver_does, tells_ends};
use rr_common::config::Dur;
use rr_common::config::section::{self, MemcachedHash, MemcachedStorage, MemoryStorage};
use rr_tests::Room;
use rr_tests::servers::{Cluster, Memcached, Redis};
use std::time::Duration;

fn redis(addresses: Vec<String>) -> section::Storage {
    section::Storage::Redis(Box::new(section::Redis {
        addrs: addresses,
        dial_timeout: Dur(Duration::from_secs(1)),
        read_timeout: Dur(Duration::from_secs(1)),
        ..section::Redis::default()
    }))
}

fn memcached(addr: Vec<String>, hash: MemcachedHash) -> section::Storage {
    let timeout = Dur(Duration::from_secs(1));
    section::Storage::Memcached(MemcachedStorage { addr, hash, timeout })
}

fn several(room: &Room, n: usize) -> Option<Vec<Memcached>> {
    (0..n)
        .map(|n| Memcached::start(room, &format!("memcached{n}")))
        .collect()
}

fn addresses(servers: &[Memcached]) -> Vec<String> {
    servers.iter().map(Memcached::address).collect()
}

#[test]
fn memory() {
    let kv = Kv::open(&section::Storage::Memory(MemoryStorage::default()));
    does_what_every_driver_does(&kv);
    tells_ends(&kv);
}

#[test]
fn redis_single() {
    let room = Room::new();
    let Some(server) = Redis::start(&room, "redis", &[]) else {
        return;
    };
    let kv = Kv::open(&redis(vec![server.address()]));
    does_what_every_driver_does(&kv);
    tells_ends(&kv);
    // Others find what we write, and we what others have written.
    kv.set("ours", "v").unwrap();
    assert_eq!(server.cli(&["get", "ours"]), "v");
    server.cli(&["rpush", "list", "x"]);
    assert_eq!(kv.get("list").unwrap(), None, "a list is no value");
    assert_eq!(
        kv.keys("TTL", &["ours"]).unwrap(),
        Pairs::new(),
        "as the reference: keys without an end are left out"
    );
}

#[test]
fn redis_cluster() {
    let room = Room::new();
    let Some(cluster) = Cluster::start(&room) else { return };
    let kv = Kv::open(&redis(cluster.addresses()));
    does_what_every_driver_does(&kv);
    tells_ends(&kv);
}

#[test]
fn memcached_one() {
    let room = Room::new();
    let Some(servers) = several(&room, 1) else { return };
    does_what_every_driver_does(&Kv::open(&memcached(addresses(&servers), MemcachedHash::Crc32)));
}

#[test]
fn memcached_several_consistent() {
    let room = Room::new();
    let Some(servers) = several(&room, 3) else { return };
    does_what_every_driver_does(&Kv::open(&memcached(addresses(&servers), MemcachedHash::Ketama)));
}

#[test]
fn memcached_several_as_the_reference() {
    let room = Room::new();
    let Some(servers) = several(&room, 3) else { return };
    let kv = Kv::open(&memcached(addresses(&servers), MemcachedHash::Crc32));
    does_what_every_driver_does(&kv);
    // Where the reference would have put them: Go's crc32.ChecksumIEEE modulo 3.
    for (key, checksum) in [
        ("a", 0xe8b7_be43u32),
        ("hello", 0x3610_a686),
        ("123456789", 0xcbf4_3926),
    ] {
        kv.set(key, "v").unwrap();
        let answer = servers[(checksum % 3) as usize].ask(&format!("get {key}\r\n")).unwrap();
        assert!(
            answer.starts_with(&format!("VALUE {key} 0 1\r\nv\r\n")),
            "{key}: {answer}"
        );
    }
    let error = kv.keys("TTL", &["a"]).unwrap_err();
    assert_eq!(
        error,
        "rpc_ttl:\n\tmemcached_plugin_ttl: not valid request for memcached, see https://github.com/memcached/memcached/issues/239"
    );
    for key in ["a b", "line\nbreak", &"k".repeat(251)] {
        let error = kv.set(key, "v").unwrap_err();
        assert!(error.contains("is no key for memcached"), "{error}");
    }
    let error = kv.set("huge", &"x".repeat(2 << 20)).unwrap_err();
    assert!(error.contains("too large"), "{error}");
    kv.set("after", "v").unwrap();
}
