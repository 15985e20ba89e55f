//! The `grpc` section.

use super::{Pool, Tls};
use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The gRPC plugin.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Grpc {
    /// Where gRPC listens; needed.
    #[schemars(extend("format" = "address"))]
    pub listen: String,
    /// The `.proto` files, also as patterns (`proto/**/*.proto`).
    pub proto: Vec<String>,
    /// TLS of the listener.
    pub tls: Option<Tls>,
    /// More variables for the workers; names are upper-cased.
    pub env: BTreeMap<String, String>,
    /// Names of interceptors.
    pub interceptors: Vec<String>,
    /// Largest answer in MiB.
    pub max_send_msg_size: u64,
    /// Largest request in MiB.
    pub max_recv_msg_size: u64,
    /// Longest idleness of a connection; 0 means no limit.
    pub max_connection_idle: Dur,
    /// Longest life of a connection; 0 means no limit.
    pub max_connection_age: Dur,
    /// Time for running calls after `max_connection_age`; the reference ignores it.
    pub max_connection_age_grace: Dur,
    /// Calls at once on one connection.
    pub max_concurrent_streams: u32,
    /// Idleness after which a client is pinged.
    pub ping_time: Dur,
    /// Longest wait for the answer to a ping.
    pub timeout: Dur,
    /// The workers.
    pub pool: Pool,
}

impl Default for Grpc {
    fn default() -> Self {
        let unlimited = Dur::secs(0);
        Self {
            listen: String::new(),
            proto: Vec::new(),
            tls: None,
            env: BTreeMap::new(),
            interceptors: Vec::new(),
            max_send_msg_size: 50,
            max_recv_msg_size: 50,
            max_connection_idle: unlimited,
            max_connection_age: unlimited,
            max_connection_age_grace: unlimited,
            max_concurrent_streams: 10,
            ping_time: Dur::secs(7200),
            timeout: Dur::secs(20),
            pool: Pool::default(),
        }
    }
}
