//! Every key-value driver does the same: one set of questions for all of them, asked at the RPC edge, with real servers
//! behind: KV-02, KV-03, KV-05, KV-06. And what becomes of a storage whose server goes and comes back.

#![allow(clippy::unwrap_used)]

use rr_common::config::Dur;
use rr_common::config::section::{self, MemcachedHash, MemcachedStorage, MemoryStorage};
use rr_common::rpc::{Codec, decode_message, encode_message};
use rr_kv::driver::{Driver, Storage};
use rr_kv::expiry::Expiry;
use rr_kv::{service, v1};
use rr_tests::servers::{Cluster, Memcached, Redis};
use rr_tests::wait::SOON;
use rr_tests::{Background, Room, eventually};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One storage called `s`, and the calls to it.
#[derive(Clone)]
struct Kv(Arc<Inner>);

struct Inner {
    background: Background,
    storages: service::Storages,
}

type Pairs = BTreeMap<String, String>;

impl Kv {
    fn open(settings: &section::Storage) -> Self {
        let background = Background::new();
        let storage = Storage::open("s", settings, background.handle());
        let storage = background.wait(storage).unwrap();
        let storages = [("s".to_owned(), storage)].into();
        Self(Arc::new(Inner { background, storages }))
    }

    fn call<A, R>(&self, method: &str, argument: &A) -> Result<R, String>
    where
        A: prost::Message + serde::Serialize,
        R: prost::Message + Default + serde::de::DeserializeOwned,
    {
        let body = encode_message(Codec::Proto, argument).unwrap();
        let call = service::call(&self.0.storages, method, Codec::Proto, body);
        let answer = self.0.background.wait(call).map_err(|error| error.to_string())?;
        Ok(decode_message(Codec::Proto, answer).unwrap())
    }

    fn items(&self, method: &str, items: &[(&str, &str, &str)]) -> Result<Vec<v1::Item>, String> {
        let item = |(key, value, timeout): &(&str, &str, &str)| v1::Item {
            key: (*key).into(),
            value: value.as_bytes().to_vec().into(),
            timeout: (*timeout).into(),
        };
        let request = v1::Request {
            storage: "s".into(),
            items: items.iter().map(item).collect(),
        };
        self.call(method, &request).map(|response: v1::Response| response.items)
    }

    fn keys(&self, method: &str, keys: &[&str]) -> Result<Pairs, String> {
        let items: Vec<_> = keys.iter().map(|key| (*key, "", "")).collect();
        let found = self.items(method, &items)?.into_iter();
        let pair = |item: v1::Item| {
            let value = match method {
                "TTL" => item.timeout,
                _ => String::from_utf8(item.value.to_vec()).unwrap(),
            };
            (item.key, value)
        };
        Ok(found.map(pair).collect())
    }

    fn set(&self, key: &str, value: &str) -> Result<(), String> {
        self.items("Set", &[(key, value, "")]).map(drop)
    }

    fn get(&self, key: &str) -> Result<Option<String>, String> {
        Ok(self.keys("MGet", &[key])?.remove(key))
    }

    fn count(&self, method: &str, key: &str, by: i64, timeout: &str) -> Result<i64, String> {
        let request = v1::CounterRequest {
            storage: "s".into(),
            key: key.into(),
            by: Some(by),
            timeout: timeout.into(),
        };
        self.call(method, &request)
            .map(|response: v1::CounterResponse| response.value)
    }

    fn swap(&self, key: &str, expected: Option<&str>, value: &str) -> Result<bool, String> {
        let request = v1::SwapRequest {
            storage: "s".into(),
            key: key.into(),
            expected: expected.map(|text| text.as_bytes().to_vec().into()),
            value: value.as_bytes().to_vec().into(),
            timeout: String::new(),
        };
        let answer = self.call("CompareAndSwap", &request);
        answer.map(|response: v1::SwapResponse| response.swapped)
    }

    fn unhealthy(&self) -> Option<String> {
        match &self.0.storages["s"] {
            Storage::Redis(driver) => driver.unhealthy(),
            Storage::Memcached(driver) => driver.unhealthy(),
            _ => None,
        }
    }
}

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

/// So many seconds from now (or before) as the text of a timeout.
fn seconds(from_now: i64) -> String {
    let now = i64::try_from(Expiry::now().milliseconds()).unwrap();
    Expiry::at(u64::try_from(now + from_now * 1000).unwrap()).text()
}

fn pairs(expected: &[(&str, &str)]) -> Pairs {
    expected
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

/// The questions.
fn does_what_every_driver_does(kv: &Kv) {
    // Set, MGet, Has, Delete
    kv.set("a", "1").unwrap();
    kv.items(
        "Set",
        &[
            ("b", "2\r\nEND\r\n", ""),
            ("c", "first", ""),
            ("c", "last", ""),
            ("e", "", ""),
        ],
    )
    .unwrap();
    let found = kv.keys("MGet", &["a", "b", "c", "e", "none"]).unwrap();
    assert_eq!(
        found,
        pairs(&[("a", "1"), ("b", "2\r\nEND\r\n"), ("c", "last"), ("e", "")])
    );
    let found = kv.keys("Has", &["none", "a", "b"]).unwrap();
    assert_eq!(found, pairs(&[("a", ""), ("b", "")]));
    kv.keys("Delete", &["a", "b", "none"]).unwrap();
    assert_eq!(kv.keys("MGet", &["a", "b", "c"]).unwrap(), pairs(&[("c", "last")]));

    // Many keys, and a large value
    let names: Vec<String> = (0..300).map(|n| format!("many:{n}")).collect();
    let items: Vec<_> = names.iter().map(|name| (name.as_str(), name.as_str(), "")).collect();
    kv.items("Set", &items).unwrap();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = kv.keys("MGet", &keys).unwrap();
    assert_eq!(found.len(), 300);
    assert!(found.iter().all(|(key, value)| key == value));
    let large = "x".repeat(700_000);
    kv.set("large", &large).unwrap();
    assert!(kv.get("large").unwrap() == Some(large));

    // Ends
    let soon = seconds(2);
    kv.items(
        "Set",
        &[
            ("short", "v", &soon),
            ("long", "v", &seconds(1000)),
            ("past", "v", &seconds(-5)),
        ],
    )
    .unwrap();
    kv.items("MExpire", &[("c", "", &soon), ("none", "", &soon)]).unwrap();
    let found = kv.keys("MGet", &["short", "long", "past", "c"]).unwrap();
    assert_eq!(found, pairs(&[("short", "v"), ("long", "v"), ("c", "last")]));
    // Their end is looked at below.

    // Numbers
    assert_eq!(kv.count("Incr", "n", 1, ""), Ok(1));
    assert_eq!(kv.count("Incr", "n", 98, ""), Ok(99));
    assert_eq!(kv.count("Incr", "n", 1, ""), Ok(100));
    assert_eq!(kv.count("Decr", "n", 1, ""), Ok(99));
    assert_eq!(
        kv.get("n").unwrap().as_deref(),
        Some("99"),
        "decimal text, without blanks"
    );
    assert_eq!(kv.count("Decr", "n", 200, ""), Ok(-101));
    assert_eq!(kv.count("Incr", "n", 102, ""), Ok(1));
    kv.set("n", &i64::MAX.to_string()).unwrap();
    let error = kv.count("Incr", "n", 1, "").unwrap_err();
    assert!(error.contains("would not fit into 64 bits"), "{error}");
    assert_eq!(kv.get("n").unwrap(), Some(i64::MAX.to_string()));
    kv.set("n", "many").unwrap();
    let error = kv.count("Incr", "n", 1, "").unwrap_err();
    assert!(error.contains("not an integer"), "{error}");
    // The first call gives the end, and later ones leave it.
    let end = seconds(2);
    for n in 1..=20 {
        assert_eq!(kv.count("Incr", "limit", 1, &end), Ok(n));
    }
    assert_eq!(kv.count("Incr", "limit", 5, &seconds(1000)), Ok(25));

    // Add and CompareAndSwap
    kv.set("there", "old").unwrap();
    let added = kv
        .items("Add", &[("there", "new", ""), ("new", "1", ""), ("new", "2", "")])
        .unwrap();
    assert_eq!(added.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["new"]);
    assert_eq!(
        kv.keys("MGet", &["there", "new"]).unwrap(),
        pairs(&[("there", "old"), ("new", "1")])
    );
    assert_eq!(kv.swap("there", Some("other"), "x"), Ok(false));
    assert_eq!(kv.swap("there", Some("old"), "x"), Ok(true));
    assert_eq!(kv.swap("nowhere", Some(""), "x"), Ok(false));
    assert_eq!(kv.swap("there", None, "y"), Ok(false));
    assert_eq!(kv.swap("nowhere", None, "y"), Ok(true));
    assert_eq!(
        kv.keys("MGet", &["there", "nowhere"]).unwrap(),
        pairs(&[("there", "x"), ("nowhere", "y")])
    );

    // At once
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    kv.count("Incr", "sum", 1, "").unwrap();
                    loop {
                        let old = kv.get("swapped").unwrap();
                        let number = old.as_ref().map_or(0, |old| old.parse::<u32>().unwrap());
                        if kv.swap("swapped", old.as_deref(), &(number + 1).to_string()).unwrap() {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(kv.get("sum").unwrap().as_deref(), Some("200"));
    assert_eq!(kv.get("swapped").unwrap().as_deref(), Some("200"));

    let gone = || kv.keys("Has", &["short", "long", "c", "limit"]).unwrap() == pairs(&[("long", "")]);
    eventually(SOON, gone);
    kv.keys("Clear", &[]).unwrap();
    assert_eq!(
        kv.keys("Has", &["there", "large", "sum", "many:7"]).unwrap(),
        Pairs::new()
    );
    assert_eq!(kv.unhealthy(), None);
}

/// What `TTL` tells: this key's end to the second, and nothing of keys without.
fn tells_ends(kv: &Kv) {
    let end = seconds(1000);
    kv.items("Set", &[("ends", "v", &end), ("stays", "v", "")]).unwrap();
    let told = kv.keys("TTL", &["ends", "stays", "none"]).unwrap();
    assert_eq!(told.get("ends"), Some(&end), "{told:?}");
    assert!(!told.contains_key("none"));
    let later = seconds(2000);
    kv.items("MExpire", &[("ends", "", &later)]).unwrap();
    assert_eq!(kv.keys("TTL", &["ends"]).unwrap(), pairs(&[("ends", &later)]));
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
