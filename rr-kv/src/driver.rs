//! What a storage can do, and the list of the drivers that exist: one file each.
//!
//! A driver is given arguments that [`crate::service`] has checked, and writes what it finds into a [`Reply`]. It does its own
//! waiting, so that calls to one storage overlap as its server allows.

mod boltdb;
pub mod memcached;
mod memory;
mod redis;

use crate::{expiry::Expiry, reply::Reply, stats::Stats};
use rr_common::{config::section, plugin::StartError};
use rr_redis::PoolNumbers;
use std::future::Future;
use tokio::runtime::Handle;

pub use boltdb::Boltdb;
pub use memcached::Memcached;
pub use memory::{Contents, Memory};
pub use redis::Redis;

/// A key with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Its name. Most drivers' users never have an empty one, but `Set` lets it through, as the reference's does.
    pub key: &'a str,
    /// What is stored.
    pub value: &'a [u8],
    /// When it ends; `None` for never. If that is past already the key is gone after the call.
    pub expiry: Option<Expiry>,
}

/// Why a driver could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The driver cannot do this at all.
    #[error("{0}")]
    Unsupported(&'static str),
    /// `incr` on something that is no whole number in decimal digits.
    #[error("the value is not an integer")]
    NotAnInteger,
    /// `incr` beyond 64 bits.
    #[error("the number would not fit into 64 bits")]
    Overflow,
    /// What the store or the server behind it said.
    #[error("{0}")]
    Failed(String),
}

/// How the reference's error texts speak of a driver.
#[derive(Clone, Copy, Debug)]
pub struct Texts {
    /// What its operations' names begin with; the method's name in lower case follows.
    pub operation: &'static str,
    /// `MExpire` without a time or a key.
    pub no_timeout: &'static str,
    /// The operations that do not name themselves before what is wrong with a time.
    pub bare_times: &'static [&'static str],
}

/// What a call comes to.
pub type Outcome<T> = Result<T, DriverError>;

/// One storage. Every method is atomic per key, also against other processes that use the same server.
///
/// Keys are not blank, except in `set`. Those of `has`, `mget`, `ttl` and `delete` are distinct; in `set` and `mexpire` the later
/// of two items with the same key wins.
pub trait Driver: Send + Sync + 'static {
    /// Its words.
    const TEXTS: Texts;

    /// Writes the keys that exist ([`Reply::key`]).
    fn has(&self, keys: &[&str], found: &mut Reply) -> impl Future<Output = Outcome<()>> + Send;

    /// Stores the items; an item without expiry never ends, whatever the key had before.
    fn set(&self, items: &[Item<'_>]) -> impl Future<Output = Outcome<()>> + Send;

    /// Writes the keys that exist with their values ([`Reply::value`]).
    fn mget(&self, keys: &[&str], found: &mut Reply) -> impl Future<Output = Outcome<()>> + Send;

    /// Gives existing keys another end; unknown keys are no error. A value stays as it is.
    fn mexpire(&self, keys: &[(&str, Expiry)]) -> impl Future<Output = Outcome<()>> + Send;

    /// Writes the keys with their ends ([`Reply::expiry`]).
    fn ttl(&self, keys: &[&str], found: &mut Reply) -> impl Future<Output = Outcome<()>> + Send;

    /// Removes keys; unknown keys are no error.
    fn delete(&self, keys: &[&str]) -> impl Future<Output = Outcome<()>> + Send;

    /// Removes all keys.
    fn clear(&self) -> impl Future<Output = Outcome<()>> + Send;

    /// Adds `by` to the decimal number under the key and gives the sum. An absent key counts as 0 and gets `expiry`; an
    /// existing one keeps its own.
    fn incr(&self, key: &str, by: i64, expiry: Option<Expiry>) -> impl Future<Output = Outcome<i64>> + Send;

    /// Stores those items whose keys do not exist and writes these keys ([`Reply::key`]), in
    /// their order: of two with the same key the first one.
    fn add(&self, items: &[Item<'_>], stored: &mut Reply) -> impl Future<Output = Outcome<()>> + Send;

    /// Stores the item if its key has exactly the `expected` value, or, with `None`, if it does not exist. Says whether.
    fn compare_and_swap(&self, item: Item<'_>, expected: Option<&[u8]>) -> impl Future<Output = Outcome<bool>> + Send;

    /// Why it cannot do any work at present, for `/health`.
    fn unhealthy(&self) -> Option<String> {
        None
    }

    /// What it counts, for the metrics.
    fn stats(&self) -> Option<Stats> {
        None
    }

    /// What its connections to Redis are, for the metrics.
    fn redis_pool(&self) -> Option<PoolNumbers> {
        None
    }

    /// Another process takes over: lets go of what two of them must not have. What is kept in this process's memory is handed over
    /// elsewhere.
    fn pause(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// No other process has taken over: goes on as before the pause, of which it may know nothing.
    fn resume(&mut self) -> impl Future<Output = Result<(), StartError>> + Send {
        async { Ok(()) }
    }

    /// Lets go of everything; what was acknowledged is safe by then.
    fn close(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async {}
    }
}

/// A storage by its driver.
#[derive(Debug)]
pub enum Storage {
    /// `driver: memory`
    Memory(Memory),
    /// `driver: boltdb`
    Boltdb(Boltdb),
    /// `driver: memcached`
    Memcached(Memcached),
    /// `driver: redis`
    Redis(Redis),
}

/// Evaluates an expression with the driver of a storage, whichever it is.
macro_rules! with {
    ($storage:expr, $driver:ident => $work:expr) => {
        match $storage {
            $crate::driver::Storage::Memory($driver) => $work,
            $crate::driver::Storage::Boltdb($driver) => $work,
            $crate::driver::Storage::Memcached($driver) => $work,
            $crate::driver::Storage::Redis($driver) => $work,
        }
    };
}
pub(crate) use with;

impl Storage {
    /// Opens a storage. What it does in the background runs on `runtime`, where its calls come from.
    ///
    /// # Errors
    /// Its settings are wrong, or its file cannot be used. A server that is away is no error: it may come.
    pub async fn open(name: &str, storage: &section::Storage, runtime: &Handle) -> Result<Self, StartError> {
        match storage {
            section::Storage::Memory(settings) => Ok(Self::Memory(Memory::open(settings, runtime))),
            section::Storage::Boltdb(settings) => Ok(Self::Boltdb(Boltdb::open(name, settings).await?)),
            section::Storage::Memcached(settings) => Memcached::open(name, settings, runtime).map(Self::Memcached),
            section::Storage::Redis(settings) => Redis::open(name, settings, runtime).map(Self::Redis),
        }
    }
}

/// The whole number that a value is in decimal digits, plus `by`: what [`Driver::incr`] stores. No value counts as 0.
///
/// # Errors
/// It is no number, or the sum is too large.
pub(crate) fn sum(value: Option<&[u8]>, by: i64) -> Outcome<i64> {
    let number = match value {
        Some(value) => std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
        None => Some(0_i64),
    };
    let number = number.ok_or(DriverError::NotAnInteger)?;
    number.checked_add(by).ok_or(DriverError::Overflow)
}
