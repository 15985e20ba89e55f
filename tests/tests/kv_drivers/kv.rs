//! A storage in this process, and the calls to it as they come over RPC.

use rr_common::config::section;
use rr_common::rpc::{Codec, decode_message, encode_message};
use rr_kv::driver::{Driver, Storage};
use rr_kv::expiry::Expiry;
use rr_kv::{service, v1};
use rr_tests::Background;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One storage called `s`, and the calls to it.
#[derive(Clone)]
pub(super) struct Kv(Arc<Inner>);

struct Inner {
    background: Background,
    storages: service::Storages,
}

pub(super) type Pairs = BTreeMap<String, String>;

impl Kv {
    pub(super) fn open(settings: &section::Storage) -> Self {
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

    pub(super) fn items(&self, method: &str, items: &[(&str, &str, &str)]) -> Result<Vec<v1::Item>, String> {
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

    pub(super) fn keys(&self, method: &str, keys: &[&str]) -> Result<Pairs, String> {
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

    pub(super) fn set(&self, key: &str, value: &str) -> Result<(), String> {
        self.items("Set", &[(key, value, "")]).map(drop)
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<String>, String> {
        Ok(self.keys("MGet", &[key])?.remove(key))
    }

    pub(super) fn count(&self, method: &str, key: &str, by: i64, timeout: &str) -> Result<i64, String> {
        let request = v1::CounterRequest {
            storage: "s".into(),
            key: key.into(),
            by: Some(by),
            timeout: timeout.into(),
        };
        self.call(method, &request)
            .map(|response: v1::CounterResponse| response.value)
    }

    pub(super) fn swap(&self, key: &str, expected: Option<&str>, value: &str) -> Result<bool, String> {
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

    pub(super) fn unhealthy(&self) -> Option<String> {
        match &self.0.storages["s"] {
            Storage::Redis(driver) => driver.unhealthy(),
            Storage::Memcached(driver) => driver.unhealthy(),
            _ => None,
        }
    }
}

/// So many seconds from now (or before) as the text of a timeout.
pub(super) fn seconds(from_now: i64) -> String {
    let now = i64::try_from(Expiry::now().milliseconds()).unwrap();
    Expiry::at(u64::try_from(now + from_now * 1000).unwrap()).text()
}

pub(super) fn pairs(expected: &[(&str, &str)]) -> Pairs {
    expected
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}
