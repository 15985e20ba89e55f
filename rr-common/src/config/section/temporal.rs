//! The `temporal` section.

use super::Pool;
use crate::config::Dur;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The Temporal plugin.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Temporal {
    /// `host:port` of the Temporal server.
    pub address: String,
    /// Namespace.
    pub namespace: String,
    /// Workflows kept in memory.
    pub cache_size: u64,
    /// The activity workers.
    pub activities: Option<Pool>,
    /// Run workflows only.
    pub disable_activity_workers: bool,
    /// Names of interceptors.
    pub interceptors: Vec<String>,
    /// Names of data converters.
    pub data_converters: Vec<String>,
    /// The client's own metrics.
    pub metrics: Option<TemporalMetrics>,
    /// TLS.
    pub tls: Option<TemporalTls>,
    /// How often a worker reports itself; 0 means 60s, otherwise 1s to 60s.
    pub worker_heartbeat_interval: Dur,
}

/// TLS towards Temporal.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TemporalTls {
    /// Private key, PEM.
    pub key: String,
    /// Certificate chain, PEM.
    pub cert: String,
    /// Authorities of the server's certificate, PEM.
    pub root_ca: String,
    /// no_client_cert, request_client_cert, require_any_client_cert, verify_client_cert_if_given or require_and_verify_client_cert.
    pub client_auth_type: String,
    /// Name that the server's certificate must carry.
    pub server_name: String,
    /// HTTP/2 without TLS.
    pub use_h2c: bool,
}

/// The client's own metrics. The keys of `prometheus` or `statsd` may also stand here directly.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TemporalMetrics {
    /// prometheus or statsd.
    pub driver: String,
    /// An endpoint for Prometheus.
    pub prometheus: Option<TemporalPrometheus>,
    /// A StatsD server.
    pub statsd: Option<TemporalStatsd>,
    /// As in `prometheus`.
    pub address: String,
    /// As in `prometheus`.
    #[serde(rename = "type")]
    pub kind: String,
    /// As in `prometheus` and `statsd`.
    pub prefix: String,
    /// As in `statsd`.
    pub host_port: String,
    /// As in `statsd`.
    pub flush_interval: Option<Dur>,
    /// As in `statsd`.
    pub flush_bytes: u64,
    /// As in `statsd`.
    pub tags: BTreeMap<String, String>,
    /// As in `statsd`.
    pub tag_prefix: String,
    /// As in `statsd`.
    pub tag_separator: String,
}

/// An endpoint for Prometheus.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TemporalPrometheus {
    /// Where it listens.
    pub address: String,
    /// summary or histogram.
    #[serde(rename = "type")]
    pub kind: String,
    /// Prefix of the names.
    pub prefix: String,
}

/// A StatsD server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TemporalStatsd {
    /// `host:port`.
    pub host_port: String,
    /// Prefix of the names.
    pub prefix: String,
    /// How often it is sent to.
    pub flush_interval: Dur,
    /// Largest packet in bytes.
    pub flush_bytes: u64,
    /// Tags of every metric.
    pub tags: BTreeMap<String, String>,
    /// Prefix of the tags.
    pub tag_prefix: String,
    /// What stands between a tag's name and its value.
    pub tag_separator: String,
}

impl Default for Temporal {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:7233".into(),
            namespace: "default".into(),
            cache_size: 10_000,
            activities: None,
            disable_activity_workers: false,
            interceptors: Vec::new(),
            data_converters: Vec::new(),
            metrics: None,
            tls: None,
            worker_heartbeat_interval: Dur::secs(0),
        }
    }
}

impl Default for TemporalMetrics {
    fn default() -> Self {
        Self {
            driver: "prometheus".into(),
            prometheus: None,
            statsd: None,
            address: String::new(),
            kind: String::new(),
            prefix: String::new(),
            host_port: String::new(),
            flush_interval: None,
            flush_bytes: 0,
            tags: BTreeMap::new(),
            tag_prefix: String::new(),
            tag_separator: String::new(),
        }
    }
}

impl Default for TemporalPrometheus {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:9091".into(),
            kind: "summary".into(),
            prefix: String::new(),
        }
    }
}

impl Default for TemporalStatsd {
    fn default() -> Self {
        Self {
            host_port: "127.0.0.1:8125".into(),
            prefix: String::new(),
            flush_interval: Dur::secs(1),
            flush_bytes: 1432,
            tags: BTreeMap::new(),
            tag_prefix: String::new(),
            tag_separator: String::new(),
        }
    }
}
