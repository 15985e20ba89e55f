//! KV-02 to KV-09: what every driver must do, asked as PHP asks: a method, a message, an answer or an error text.
//!
//! Each driver that is listed in `storages` goes through all of it.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use prost::Message;
use rr_common::{
    config::section::{BoltdbStorage, MemoryStorage, Storage as Settings},
    rpc::Codec,
};
use rr_kv::{
    driver::Storage,
    expiry::Expiry,
    service::{self, Storages},
    v1::{CounterRequest, CounterResponse, Item, Request, Response, SwapRequest, SwapResponse},
};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A storage of each driver, under the driver's name.
async fn storages(directory: &TempDir) -> Storages {
    let file = directory.path().join("kv.db").to_str().unwrap().to_owned();
    let all = [
        ("memory", Settings::Memory(MemoryStorage::default())),
        (
            "boltdb",
            Settings::Boltdb(BoltdbStorage {
                file,
                interval: 1,
                ..BoltdbStorage::default()
            }),
        ),
    ];
    let mut storages = Storages::new();
    for (name, settings) in all {
        let storage = Storage::open(name, &settings, &Handle::current()).await.unwrap();
        storages.insert(name.into(), storage);
    }
    storages
}

/// One storage and its words.
struct Kv<'a> {
    storages: &'a Storages,
    name: &'a str,
}

impl Kv<'_> {
    async fn raw<A: Message + Default>(&self, method: &str, argument: &impl Message) -> Result<A, String> {
        let body = Bytes::from(argument.encode_to_vec());
        let answer = service::call(self.storages, method, Codec::Proto, body).await;
        answer
            .map(|body| A::decode(body).unwrap())
            .map_err(|error| error.to_string())
    }

    async fn call(&self, method: &str, items: &[(&str, &str, &str)]) -> Result<Vec<Item>, String> {
        let item = |(key, value, timeout): &(&str, &str, &str)| Item {
            key: (*key).into(),
            value: Bytes::copy_from_slice(value.as_bytes()),
            timeout: (*timeout).into(),
        };
        let request = Request {
            storage: self.name.into(),
            items: items.iter().map(item).collect(),
        };
        self.raw::<Response>(method, &request).await.map(|answer| answer.items)
    }

    async fn set(&self, key: &str, value: &str, timeout: &str) {
        assert_eq!(self.call("Set", &[(key, value, timeout)]).await.unwrap(), []);
    }

    async fn get(&self, key: &str) -> Option<String> {
        let items = self.call("MGet", &[(key, "", "")]).await.unwrap();
        let value = items
            .first()
            .map(|item| String::from_utf8(item.value.to_vec()).unwrap());
        let exists = self.call("Has", &[(key, "", "")]).await.unwrap();
        assert_eq!(exists.len(), usize::from(value.is_some()));
        value
    }

    async fn ttl(&self, key: &str) -> Option<String> {
        let items = self.call("TTL", &[(key, "", "")]).await.unwrap();
        items
            .first()
            .map(|item| item.timeout.clone())
            .filter(|text| !text.is_empty())
    }

    async fn incr(&self, method: &str, key: &str, by: Option<i64>, timeout: &str) -> Result<i64, String> {
        let request = CounterRequest {
            storage: self.name.into(),
            key: key.into(),
            by,
            timeout: timeout.into(),
        };
        self.raw::<CounterResponse>(method, &request)
            .await
            .map(|answer| answer.value)
    }

    async fn swap(&self, key: &str, expected: Option<&'static str>, value: &'static str) -> bool {
        let request = SwapRequest {
            storage: self.name.into(),
            key: key.into(),
            expected: expected.map(|text| Bytes::from_static(text.as_bytes())),
            value: Bytes::from_static(value.as_bytes()),
            timeout: String::new(),
        };
        self.raw::<SwapResponse>("CompareAndSwap", &request)
            .await
            .unwrap()
            .swapped
    }
}

/// The moment so many milliseconds from now, as a client writes it.
fn soon(milliseconds: u64) -> String {
    let at = Expiry::now().milliseconds() + milliseconds;
    let whole = Expiry::at(at - at % 1000).text();
    format!("{}.{:03}+00:00", whole.trim_end_matches('Z'), at % 1000)
}

/// Runs a test on every driver.
async fn on_each(test: impl AsyncFn(Kv<'_>)) {
    let directory = TempDir::new().unwrap();
    let storages = storages(&directory).await;
    for name in storages.keys() {
        println!("driver {name}");
        test(Kv {
            storages: &storages,
            name,
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_stored_is_found_until_it_is_removed() {
    on_each(async |kv| {
        kv.set("a", "1", "").await;
        kv.set("b", "", "").await;
        kv.set("a", "22", "").await;
        assert_eq!(kv.get("a").await.as_deref(), Some("22"));
        assert_eq!(kv.get("b").await.as_deref(), Some(""));
        let found = kv
            .call("MGet", &[("b", "", ""), ("none", "", ""), ("a", "", ""), ("a", "", "")])
            .await
            .unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(kv.call("Delete", &[("a", "", ""), ("none", "", "")]).await.unwrap(), []);
        assert_eq!(kv.get("a").await, None);
        assert_eq!(kv.call("Clear", &[]).await.unwrap(), []);
        assert_eq!(kv.get("b").await, None);
        // Of two items with one key the later one stays.
        kv.call("Set", &[("c", "1", ""), ("c", "2", "")]).await.unwrap();
        assert_eq!(kv.get("c").await.as_deref(), Some("2"));
    })
    .await;
}

#[tokio::test]
async fn a_key_ends_at_its_moment_and_not_before() {
    on_each(async |kv| {
        let start = Instant::now();
        kv.set("short", "1", &soon(300)).await;
        kv.set("past", "1", "").await;
        kv.set("past", "2", "2001-01-01T00:00:00Z").await;
        assert_eq!(kv.get("past").await, None);
        // It may end between two questions, so only one is asked at a time.
        while !kv.call("Has", &[("short", "", "")]).await.unwrap().is_empty() {
            assert!(start.elapsed() < Duration::from_secs(3));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(start.elapsed() >= Duration::from_millis(290));
        assert_eq!(kv.get("short").await, None);
    })
    .await;
}

#[tokio::test]
async fn another_end_leaves_the_value() {
    on_each(async |kv| {
        let (first, second) = ("2100-01-01T00:00:00+00:00", "2100-01-01T02:00:00+01:00");
        kv.set("a", "1", "").await;
        assert_eq!(kv.ttl("a").await, None);
        for (end, told) in [(first, "2100-01-01T00:00:00Z"), (second, "2100-01-01T01:00:00Z")] {
            assert_eq!(
                kv.call("MExpire", &[("a", "ignored", end), ("none", "", end)])
                    .await
                    .unwrap(),
                []
            );
            assert_eq!(kv.ttl("a").await.as_deref(), Some(told));
            assert_eq!(kv.get("a").await.as_deref(), Some("1"));
        }
        assert_eq!(kv.get("none").await, None);
        kv.call("MExpire", &[("a", "", "2001-01-01T00:00:00Z")]).await.unwrap();
        assert_eq!(kv.get("a").await, None);
        // A new value without an end has none.
        kv.set("a", "1", first).await;
        kv.set("a", "2", "").await;
        assert_eq!(kv.ttl("a").await, None);
    })
    .await;
}

#[tokio::test]
async fn counters_count_and_keep_their_end() {
    on_each(async |kv| {
        let end = "2100-01-01T00:00:00Z";
        assert_eq!(kv.incr("Incr", "n", None, end).await, Ok(1));
        assert_eq!(kv.incr("Incr", "n", Some(41), "").await, Ok(42));
        assert_eq!(kv.incr("Decr", "n", Some(2), "").await, Ok(40));
        assert_eq!(kv.get("n").await.as_deref(), Some("40"));
        assert_eq!(kv.ttl("n").await.as_deref(), Some(end));
        kv.set("text", "forty", "").await;
        let error = kv.incr("Incr", "text", None, "").await.unwrap_err();
        assert!(error.ends_with("the value is not an integer"), "{error}");
        assert_eq!(kv.get("text").await.as_deref(), Some("forty"));
        kv.set("most", &i64::MAX.to_string(), "").await;
        let error = kv.incr("Incr", "most", None, "").await.unwrap_err();
        assert!(error.ends_with("would not fit into 64 bits"), "{error}");
        assert!(kv.incr("Decr", "most", Some(i64::MIN), "").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn only_what_is_not_there_is_added() {
    on_each(async |kv| {
        kv.set("old", "1", "").await;
        let stored = kv
            .call("Add", &[("old", "2", ""), ("new", "3", ""), ("new", "4", "")])
            .await
            .unwrap();
        let keys: Vec<_> = stored.iter().map(|item| item.key.as_str()).collect();
        assert_eq!(keys, ["new"]);
        assert_eq!(kv.get("old").await.as_deref(), Some("1"));
        assert_eq!(kv.get("new").await.as_deref(), Some("3"));
    })
    .await;
}

#[tokio::test]
async fn a_value_is_swapped_only_for_the_expected_one() {
    on_each(async |kv| {
        assert!(!kv.swap("a", Some("1"), "2").await);
        assert!(kv.swap("a", None, "1").await);
        assert!(!kv.swap("a", None, "2").await);
        assert!(!kv.swap("a", Some("2"), "3").await);
        assert!(kv.swap("a", Some("1"), "3").await);
        assert_eq!(kv.get("a").await.as_deref(), Some("3"));
    })
    .await;
}

#[tokio::test]
async fn errors_are_in_the_words_of_the_reference() {
    on_each(async |kv| {
        let operation = match kv.name {
            "memory" => "in_memory_plugin_",
            "boltdb" => "boltdb_driver_",
            other => panic!("{other}"),
        };
        for (method, name, at_edge) in [
            ("Has", "has", "rpc_has"),
            ("MGet", "mget", "rpc_mget"),
            ("TTL", "ttl", "rpc_ttl"),
            ("Delete", "delete", "rcp_delete"),
        ] {
            let error = kv.call(method, &[("a", "", ""), (" ", "", "")]).await.unwrap_err();
            assert_eq!(
                error,
                format!("{at_edge}: key can't be empty string:\n\t{operation}{name}")
            );
        }
        let error = kv
            .call("Set", &[("a", "1", ""), ("b", "1", "bad-time")])
            .await
            .unwrap_err();
        let parsing =
            "parsing time \"bad-time\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"bad-time\" as \"2006\"";
        match kv.name {
            "memory" => assert_eq!(error, format!("rpc_set: {parsing}")),
            _ => assert_eq!(error, format!("rpc_set:\n\t{operation}set: {parsing}")),
        }
        // Nothing of a call that failed for its message was stored.
        assert_eq!(kv.get("a").await, None);
        let error = kv.call("MExpire", &[("a", "", "")]).await.unwrap_err();
        assert!(
            error.starts_with(&format!("rpc_mexpire:\n\t{operation}mexpire: ")),
            "{error}"
        );
        let error = kv.call("MExpire", &[("a", "", "bad-time")]).await.unwrap_err();
        assert_eq!(error, format!("rpc_mexpire:\n\t{operation}mexpire: {parsing}"));
    })
    .await;
}

#[tokio::test]
async fn a_storage_must_be_named_and_exist() {
    let storages = Storages::new();
    for (method, name) in [("Has", "rpc_has"), ("MExpire", "rpc_mexpire"), ("Clear", "rcp_delete")] {
        let unnamed = Kv {
            storages: &storages,
            name: "",
        };
        assert_eq!(
            unnamed.call(method, &[]).await.unwrap_err(),
            format!("{name}: no storage provided")
        );
        let unknown = Kv {
            storages: &storages,
            name: "X",
        };
        assert_eq!(
            unknown.call(method, &[]).await.unwrap_err(),
            format!("{name}: no such storage: X")
        );
    }
    let unnamed = Kv {
        storages: &storages,
        name: "",
    };
    assert_eq!(
        unnamed.call("Set", &[]).await.unwrap_err(),
        "rpc_set: no such storage: "
    );
    assert_eq!(unnamed.call("Get", &[]).await.unwrap_err(), "rpc: can't find method");
}

#[tokio::test]
async fn messages_come_as_json_too() {
    on_each(async |kv| {
        let call = async |method: &str, body: String| {
            let answer = service::call(kv.storages, method, Codec::Json, body.into()).await;
            answer.map(|body| String::from_utf8(body.to_vec()).unwrap()).unwrap()
        };
        let name = kv.name;
        let items = r#"[{"key":"a","value":"eA=="}]"#;
        assert_eq!(
            call("Set", format!(r#"{{"storage":"{name}","items":{items}}}"#)).await,
            "{}"
        );
        let found = call("MGet", format!(r#"{{"storage":"{name}","items":[{{"key":"a"}}]}}"#)).await;
        assert_eq!(found, format!(r#"{{"items":{items}}}"#));
        let swap = format!(r#"{{"storage":"{name}","key":"a","expected":"eA==","value":"eQ=="}}"#);
        assert_eq!(call("CompareAndSwap", swap).await, r#"{"swapped":true}"#);
        let absent = format!(r#"{{"storage":"{name}","key":"b","value":"eQ=="}}"#);
        assert_eq!(call("CompareAndSwap", absent).await, r#"{"swapped":true}"#);
    })
    .await;
}
