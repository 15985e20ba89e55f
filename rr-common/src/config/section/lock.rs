//! The `lock` section: where locks are kept.

use super::Redis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Locks. Without this section they are kept in memory, and `rr-lock` is started by the first call.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Lock {
    /// Where locks are kept.
    pub driver: LockDriver,
    /// The connection, for `driver: redis`.
    pub config: Redis,
}

/// Where locks are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LockDriver {
    /// In the memory of this server.
    #[default]
    Memory,
    /// In Redis, for several hosts.
    Redis,
}
