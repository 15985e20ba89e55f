//! Redis: a connection, as kv storages and pipelines configure it.

use super::queue::PRIORITY;
use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A connection to Redis. Zeros mean the client's own defaults.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Redis {
    /// `host:port`; two or more mean a cluster, with `master_name` the sentinels.
    pub addrs: Vec<String>,
    /// Number of the database.
    pub db: u64,
    /// User.
    pub username: String,
    /// Password.
    pub password: String,
    /// Name of the master that the sentinels watch.
    pub master_name: String,
    /// Password of the sentinels.
    pub sentinel_password: String,
    /// In a cluster: read from any node; latency is not measured.
    pub route_by_latency: bool,
    /// In a cluster: read from masters and replicas in turn.
    pub route_randomly: bool,
    /// In a cluster: read from replicas.
    pub read_only: bool,
    /// Tries of one command after the first.
    pub max_retries: i64,
    /// Connections at most.
    pub pool_size: u64,
    /// Idle connections at least.
    pub min_idle_conns: u64,
    /// Longest dial.
    pub dial_timeout: Dur,
    /// Longest wait for an answer.
    pub read_timeout: Dur,
    /// How long what was written may stay unacknowledged; `read_timeout` if zero.
    pub write_timeout: Dur,
    /// Longest wait for a free connection.
    pub pool_timeout: Dur,
    /// Longest life of a connection.
    pub max_conn_age: Dur,
    /// Longest idleness of a connection.
    pub idle_timeout: Dur,
    /// Shortest wait before a retry; the reference ignores it.
    pub min_retry_backoff: Dur,
    /// Longest wait before a retry.
    pub max_retry_backoff: Dur,
    /// Read and without effect, as in the reference.
    pub idle_check_freq: Dur,
    /// TLS.
    pub tls: Option<RedisTls>,
}

/// TLS towards Redis.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct RedisTls {
    /// Authorities of the server's certificate, PEM; needed.
    pub root_ca: String,
    /// Certificate chain, PEM.
    pub cert: String,
    /// Private key, PEM.
    pub key: String,
}

/// A queue in Redis.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct RedisQueue {
    /// The connection.
    #[serde(flatten)]
    pub connection: Redis,
    /// Priority of its jobs; lower runs first.
    pub priority: i64,
    /// Jobs fetched ahead.
    pub prefetch: u64,
}

impl Default for Redis {
    fn default() -> Self {
        let unset = Dur::secs(0);
        Self {
            addrs: vec!["127.0.0.1:6379".into()],
            db: 0,
            username: String::new(),
            password: String::new(),
            master_name: String::new(),
            sentinel_password: String::new(),
            route_by_latency: false,
            route_randomly: false,
            read_only: false,
            max_retries: 0,
            pool_size: 0,
            min_idle_conns: 0,
            dial_timeout: unset,
            read_timeout: unset,
            write_timeout: unset,
            pool_timeout: unset,
            max_conn_age: unset,
            idle_timeout: unset,
            min_retry_backoff: unset,
            max_retry_backoff: unset,
            idle_check_freq: unset,
            tls: None,
        }
    }
}

impl Default for RedisQueue {
    fn default() -> Self {
        Self {
            connection: Redis::default(),
            priority: PRIORITY,
            prefetch: 10,
        }
    }
}
