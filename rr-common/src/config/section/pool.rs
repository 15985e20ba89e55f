//! The `pool` section, the same for every plugin that runs PHP.

use crate::config::{CommandLine, Dur};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pool of PHP workers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Pool {
    /// One fresh worker for each request; error texts go to the client.
    pub debug: bool,
    /// Command of this pool's workers; overrides `server.command`.
    pub command: CommandLine,
    /// Number of workers; 0 means one for each logical CPU; at most 500.
    #[schemars(range(max = 500))]
    pub num_workers: u64,
    /// Requests that a worker serves before it is replaced (plus 0 to 14 % jitter); 0 means no limit.
    pub max_jobs: u64,
    /// Requests inside the pool, waiting and running, beyond which a new one is refused at once; 0 means no limit.
    pub max_queue_size: u64,
    /// Longest boot of a worker, and longest wait for a free one.
    pub allocate_timeout: Dur,
    /// Longest stop of one worker before it is killed.
    pub destroy_timeout: Dur,
    /// Longest wait for a running request when the pool is reset.
    pub reset_timeout: Dur,
    /// How many workers, in percent of `num_workers`, are replaced at once; at least one.
    #[schemars(range(min = 1, max = 100))]
    pub reset_share: u64,
    /// Longest wait for the end of a stream whose client has gone.
    pub stream_timeout: Dur,
    /// Frames that may stand in one worker's pipe: 1, or 2 to let PHP begin the next request without waiting for us.
    #[schemars(range(min = 1, max = 2))]
    pub pipeline: u64,
    /// Limits on a worker's life.
    pub supervisor: Option<PoolSupervisor>,
    /// More workers under load.
    pub dynamic_allocator: Option<DynamicAllocator>,
}

/// Limits on a worker's life, checked each `watch_tick`. All but `exec_ttl` are soft: a running request is never killed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct PoolSupervisor {
    /// How often the limits are checked.
    pub watch_tick: Dur,
    /// Longest life of a worker; 0 means no limit.
    pub ttl: Dur,
    /// Longest idleness of a worker that has served at least one request; 0 means no limit.
    pub idle_ttl: Dur,
    /// Longest run of one request; the worker is killed after it; 0 means no limit.
    pub exec_ttl: Dur,
    /// Memory (RSS) of one worker in MiB; 0 means no limit.
    pub max_worker_memory: u64,
}

/// Adds workers while requests wait, and removes them when they are no longer needed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct DynamicAllocator {
    /// Workers on top of `num_workers`, at most 100.
    #[schemars(range(max = 100), extend("x-clamp" = true))]
    pub max_workers: u64,
    /// Workers started at once, at most 100.
    #[schemars(range(max = 100), extend("x-clamp" = true))]
    pub spawn_rate: u64,
    /// Idleness after which an added worker is removed; below 1s it means 60s.
    pub idle_timeout: Dur,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            debug: false,
            command: CommandLine::default(),
            num_workers: 0,
            max_jobs: 0,
            max_queue_size: 0,
            allocate_timeout: Dur::secs(60),
            destroy_timeout: Dur::secs(60),
            reset_timeout: Dur::secs(60),
            reset_share: 25,
            stream_timeout: Dur::secs(60),
            pipeline: 1,
            supervisor: None,
            dynamic_allocator: None,
        }
    }
}

impl Default for PoolSupervisor {
    fn default() -> Self {
        let off = Dur::secs(0);
        Self {
            watch_tick: Dur::secs(5),
            ttl: off,
            idle_ttl: off,
            exec_ttl: off,
            max_worker_memory: 0,
        }
    }
}

impl Default for DynamicAllocator {
    fn default() -> Self {
        Self {
            max_workers: 10,
            spawn_rate: 5,
            idle_timeout: Dur::secs(60),
        }
    }
}
