//! The `kv` section: storages and the drivers behind them.

use super::Redis;
use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One storage: a driver and its settings.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "driver", content = "config", rename_all = "snake_case")]
pub enum Storage {
    /// In memory.
    Memory(MemoryStorage),
    /// In a file.
    Boltdb(BoltdbStorage),
    /// Memcached.
    Memcached(MemcachedStorage),
    /// Redis.
    Redis(Box<Redis>),
}

/// A storage in memory.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct MemoryStorage {
    /// Most keys that it holds; 0 is no limit. When there are more, keys that nobody has read for long are evicted.
    pub max_items: u64,
    /// Most bytes that it takes, each key counted with its value and 64 bytes more; 0 is no limit.
    pub max_bytes: u64,
    /// Read for the sake of old files, where it was the time between two looks for expired keys. Keys end at their moment.
    pub interval: u64,
}

/// A storage in a file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct BoltdbStorage {
    /// Path of the file.
    pub file: String,
    /// Mode of the file; written with a leading zero it is octal.
    #[schemars(range(max = 0o7777))]
    pub permissions: u32,
    /// Seconds between two looks for expired keys.
    pub interval: u64,
}

/// A storage in Memcached.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct MemcachedStorage {
    /// `host:port` of each server, or the path of its socket. Their order is a part of where keys are placed.
    pub addr: Vec<String>,
    /// How keys are placed on several servers.
    pub hash: MemcachedHash,
    /// Longest wait for a connection, and then for an answer.
    pub timeout: Dur,
}

/// How keys are placed on several servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemcachedHash {
    /// As RoadRunner does: one server more or less moves nearly all keys.
    #[default]
    Crc32,
    /// Consistently, as libmemcached's ketama does: it moves that server's share.
    Ketama,
}

impl Default for BoltdbStorage {
    fn default() -> Self {
        Self {
            file: "rr.db".into(),
            permissions: 0o755,
            interval: 60,
        }
    }
}

impl Default for MemcachedStorage {
    fn default() -> Self {
        Self {
            addr: vec!["127.0.0.1:11211".into()],
            hash: MemcachedHash::default(),
            timeout: Dur(Duration::from_millis(500)),
        }
    }
}
