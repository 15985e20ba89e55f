//! A storage whose server goes and comes back: errors in time, `unhealthy` tells, and then it works again.

use super::kv::Kv;
use super::{addresses, memcached, redis, several};
use rr_common::config::section::MemcachedHash;
use rr_tests::servers::Redis;
use rr_tests::wait::SOON;
use rr_tests::{Room, eventually};
use std::time::{Duration, Instant};

#[test]
fn redis_gone_is_an_error_in_time_and_back_is_back() {
    let room = Room::new();
    let Some(server) = Redis::start(&room, "redis", &[]) else {
        return;
    };
    let kv = Kv::open(&redis(vec![server.address()]));
    kv.set("k", "v").unwrap();
    server.daemon().kill();
    fails_in_time(&kv, "k");
    assert!(kv.unhealthy().is_some_and(|text| text.contains("redis")));
    server.restart();
    eventually(SOON, || kv.set("k", "v").is_ok());
    assert_eq!(kv.unhealthy(), None);
}

#[test]
fn a_dead_memcached_costs_its_own_keys_and_comes_back_by_itself() {
    let room = Room::new();
    let Some(servers) = several(&room, 2) else { return };
    let kv = Kv::open(&memcached(addresses(&servers), MemcachedHash::Crc32));
    // crc32 modulo 2.
    let (zeroth, first) = ("hello", "a");
    kv.items("Set", &[(zeroth, "v", ""), (first, "v", "")]).unwrap();
    servers[1].daemon().kill();
    fails_in_time(&kv, first);
    assert_eq!(kv.get(zeroth).unwrap().as_deref(), Some("v"));
    assert_eq!(kv.unhealthy(), None, "it can do some work");
    servers[0].daemon().freeze();
    fails_in_time(&kv, zeroth);
    assert!(kv.unhealthy().is_some());
    servers[0].daemon().thaw();
    servers[1].restart();
    // Nobody asks but /health.
    eventually(SOON, || kv.unhealthy().is_none());
    eventually(SOON, || kv.set(first, "v").is_ok());
    assert_eq!(kv.get(zeroth).unwrap().as_deref(), Some("v"));
    // A connection that was idle when its server restarted is not used.
    servers[1].daemon().kill();
    servers[1].restart();
    assert_eq!(kv.count("Incr", first, 1, ""), Ok(1));
}

#[track_caller]
fn fails_in_time(kv: &Kv, key: &str) {
    let began = Instant::now();
    let error = kv.get(key).unwrap_err();
    // The timeouts are a second for the connection and a second for the answer.
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}: {error}",
        began.elapsed()
    );
}
