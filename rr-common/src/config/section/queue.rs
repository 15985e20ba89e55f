//! Pipelines that need no broker: in memory and in a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Priority of a pipeline's jobs where nothing else is said; lower runs first.
pub(super) const PRIORITY: i64 = 10;

/// A queue in memory.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct MemoryQueue {
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Jobs fetched ahead.
    pub prefetch: u64,
}

/// A queue in a file.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct BoltdbQueue {
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Path of the file.
    pub file: String,
    /// Mode of the file; written with a leading zero it is octal.
    #[schemars(range(max = 0o7777))]
    pub permissions: u32,
    /// Jobs fetched ahead.
    pub prefetch: u64,
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self {
            priority: PRIORITY,
            prefetch: 100_000,
        }
    }
}

impl Default for BoltdbQueue {
    fn default() -> Self {
        Self {
            priority: PRIORITY,
            file: "rr.db".into(),
            permissions: 0o755,
            prefetch: 1000,
        }
    }
}
