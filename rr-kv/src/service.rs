//! The RPC edge: checks a method's message, calls the storage's driver, writes the answer. The error texts are the
//! reference's, its misspelt ones too: the public PHP package looks for some of them.
//!
//! What a message says is checked as a whole before anything is stored, so a call that fails for its message changes nothing.

use crate::{
    driver::{Driver, DriverError, Item, Storage, Texts, with},
    expiry::Expiry,
    reply::Reply,
    request::{RawItem, Request},
    rfc3339::BadTime,
    v1,
};
use bytes::Bytes;
use rr_common::rpc::{CallError, Codec, decode_message, encode_message};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// The storages by name. There are few: an ordered map finds one without hashing.
pub type Storages = BTreeMap<String, Storage>;

/// A method: its name in a storage's operations, and in the first place of an error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Method {
    does: Does,
    operation: &'static str,
    rpc: &'static str,
}

/// What a method does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Has,
    Set,
    MGet,
    MExpire,
    Ttl,
    Delete,
    Clear,
    Add,
    Incr,
    Decr,
    Swap,
}

/// Why a call failed, before it is one text.
#[derive(Debug)]
enum Failure {
    EmptyKey,
    NoTimeout,
    BadTime(BadTime),
    Driver(DriverError),
}

/// Answers one call.
///
/// # Errors
/// There is no such method, the argument is wrong, or the storage failed.
pub async fn call(storages: &Storages, method: &str, codec: Codec, body: Bytes) -> Result<Bytes, CallError> {
    let method = Method::named(method).ok_or(CallError::NoMethod)?;
    match method.does {
        Does::Incr | Does::Decr => {
            let request: v1::CounterRequest = decode_message(codec, body)?;
            let storage = method.storage(storages, &request.storage)?;
            let value = with!(storage, driver => method.count(driver, &request).await)?;
            encode_message(codec, &v1::CounterResponse { value })
        }
        Does::Swap => {
            let request: v1::SwapRequest = decode_message(codec, body)?;
            let storage = method.storage(storages, &request.storage)?;
            let swapped = with!(storage, driver => method.swap(driver, &request).await)?;
            encode_message(codec, &v1::SwapResponse { swapped })
        }
        _ if codec == Codec::Proto => {
            let request = Request::parse(&body).map_err(|error| CallError::failed(error.to_string()))?;
            method.on_items(storages, &request).await
        }
        _ => {
            let request: v1::Request = decode_message(codec, body)?;
            let answer = method.on_items(storages, &Request::of(&request)).await?;
            encode_message(codec, &decode_message::<v1::Response>(Codec::Proto, answer)?)
        }
    }
}

impl Method {
    fn named(name: &str) -> Option<Self> {
        let (does, operation, rpc) = match name {
            "Has" => (Does::Has, "has", "rpc_has"),
            "Set" => (Does::Set, "set", "rpc_set"),
            "MGet" => (Does::MGet, "mget", "rpc_mget"),
            "MExpire" => (Does::MExpire, "mexpire", "rpc_mexpire"),
            "TTL" => (Does::Ttl, "ttl", "rpc_ttl"),
            "Delete" => (Does::Delete, "delete", "rcp_delete"),
            "Clear" => (Does::Clear, "clear", "rcp_delete"),
            "Add" => (Does::Add, "add", "rpc_add"),
            "Incr" => (Does::Incr, "incr", "rpc_incr"),
            "Decr" => (Does::Decr, "decr", "rpc_decr"),
            "CompareAndSwap" => (Does::Swap, "compare_and_swap", "rpc_compare_and_swap"),
            _ => return None,
        };
        Some(Self { does, operation, rpc })
    }

    fn storage<'a>(self, storages: &'a Storages, name: &str) -> Result<&'a Storage, CallError> {
        let rpc = self.rpc;
        storages.get(name).ok_or_else(|| match (name, self.does) {
            // The reference's Set does not look whether a storage is named at all.
            ("", does) if does != Does::Set => CallError::Failed(format!("{rpc}: no storage provided")),
            _ => CallError::Failed(format!("{rpc}: no such storage: {name}")),
        })
    }

    /// A method with the messages `Request` and `Response`; the answer is in protobuf.
    async fn on_items(self, storages: &Storages, request: &Request<'_>) -> Result<Bytes, CallError> {
        let storage = self.storage(storages, request.storage)?;
        with!(storage, driver => {
            let mut reply = Reply::default();
            let done = self.work(driver, &request.items, &mut reply).await;
            done.map_err(|failure| self.error(driver, failure))?;
            reply.finish().map_err(|error| CallError::Failed(format!("{}: {error}", self.rpc)))
        })
    }

    async fn work<D: Driver>(self, driver: &D, items: &[RawItem<'_>], reply: &mut Reply) -> Result<(), Failure> {
        match self.does {
            Does::Has => driver.has(&keys(items)?, reply).await?,
            Does::Set => driver.set(&values(items)?).await?,
            Does::MGet => driver.mget(&keys(items)?, reply).await?,
            Does::MExpire => driver.mexpire(&expiries(items)?).await?,
            Does::Ttl => driver.ttl(&keys(items)?, reply).await?,
            Does::Delete => driver.delete(&keys(items)?).await?,
            Does::Add => {
                keys(items)?;
                driver.add(&values(items)?, reply).await?;
            }
            // The others have messages of their own, and are answered elsewhere.
            Does::Clear | Does::Incr | Does::Decr | Does::Swap => driver.clear().await?,
        }
        Ok(())
    }

    async fn count<D: Driver>(self, driver: &D, request: &v1::CounterRequest) -> Result<i64, CallError> {
        let by = request.by.unwrap_or(1);
        let by = if self.does == Does::Decr {
            by.checked_neg()
        } else {
            Some(by)
        };
        let done = async {
            let expiry = expiry(&request.timeout)?;
            let by = by.ok_or(DriverError::Overflow)?;
            Ok(driver.incr(key(&request.key)?, by, expiry).await?)
        };
        done.await.map_err(|failure| self.error(driver, failure))
    }

    async fn swap<D: Driver>(self, driver: &D, request: &v1::SwapRequest) -> Result<bool, CallError> {
        let done = async {
            let item = Item {
                key: key(&request.key)?,
                value: &request.value,
                expiry: expiry(&request.timeout)?,
            };
            Ok(driver.compare_and_swap(item, request.expected.as_deref()).await?)
        };
        done.await.map_err(|failure| self.error(driver, failure))
    }

    /// The text of a failure: the chain of operations as the reference writes it.
    fn error<D: Driver>(self, _: &D, failure: Failure) -> CallError {
        let Texts {
            operation,
            no_timeout,
            bare_times,
        } = D::TEXTS;
        let (rpc, method) = (self.rpc, self.operation);
        CallError::Failed(match failure {
            Failure::EmptyKey => format!("{rpc}: key can't be empty string:\n\t{operation}{method}"),
            Failure::NoTimeout => format!("{rpc}:\n\t{operation}{method}: {no_timeout}"),
            Failure::BadTime(error) if bare_times.contains(&method) => format!("{rpc}: {error}"),
            Failure::BadTime(error) => format!("{rpc}:\n\t{operation}{method}: {error}"),
            Failure::Driver(error) => format!("{rpc}:\n\t{operation}{method}: {error}"),
        })
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        Self::Driver(error)
    }
}

/// The items' keys, each once.
fn keys<'a>(items: &[RawItem<'a>]) -> Result<SmallVec<[&'a str; 4]>, Failure> {
    let mut keys = SmallVec::with_capacity(items.len());
    for item in items {
        keys.push(key(item.key)?);
    }
    if keys.len() > 1 {
        keys.sort_unstable();
        keys.dedup();
    }
    Ok(keys)
}

fn values<'a>(items: &[RawItem<'a>]) -> Result<SmallVec<[Item<'a>; 2]>, Failure> {
    let item = |item: &RawItem<'a>| {
        Ok(Item {
            key: item.key,
            value: item.value,
            expiry: expiry(item.timeout)?,
        })
    };
    items.iter().map(item).collect()
}

fn expiries<'a>(items: &[RawItem<'a>]) -> Result<SmallVec<[(&'a str, Expiry); 4]>, Failure> {
    let of = |item: &RawItem<'a>| match expiry(item.timeout)? {
        Some(expiry) if !is_blank(item.key) => Ok((item.key, expiry)),
        _ => Err(Failure::NoTimeout),
    };
    items.iter().map(of).collect()
}

fn expiry(text: &str) -> Result<Option<Expiry>, Failure> {
    match text {
        "" => Ok(None),
        text => Expiry::parse(text).map(Some).map_err(Failure::BadTime),
    }
}

fn key(key: &str) -> Result<&str, Failure> {
    if is_blank(key) { Err(Failure::EmptyKey) } else { Ok(key) }
}

fn is_blank(key: &str) -> bool {
    key.trim().is_empty()
}
