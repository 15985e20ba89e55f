//! What is seen from outside: the `metrics`, `status` and `otel` sections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The endpoint for Prometheus.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Metrics {
    /// Where it listens, `host:port`.
    #[schemars(extend("format" = "address"))]
    pub address: String,
    /// The application's own metrics, by name.
    pub collect: BTreeMap<String, Collector>,
}

/// One metric of the application.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Collector {
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: CollectorKind,
    /// First part of its exported name.
    pub namespace: String,
    /// Second part of its exported name.
    pub subsystem: String,
    /// What it means.
    pub help: String,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// Upper bounds of a histogram's buckets.
    pub buckets: Vec<f64>,
    /// A summary's quantiles and their tolerated errors.
    pub objectives: BTreeMap<String, f64>,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CollectorKind {
    /// Goes up only.
    #[default]
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
    /// Observations by quantile.
    Summary,
}

/// The health endpoint.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Status {
    /// Where it listens, `host:port`; empty means port 80.
    #[schemars(extend("format" = "address"))]
    pub address: String,
    /// Status of an unhealthy plugin.
    pub unavailable_status_code: u16,
    /// Seconds that a client may take to send its request, and a plugin to answer the check (that at most five).
    #[schemars(extend("x-seconds" = true))]
    pub check_timeout: u64,
}

/// Traces.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Otel {
    /// otlp, zipkin, stdout or stderr.
    pub exporter: String,
    /// http or grpc; empty means http, or what the OTEL_EXPORTER_OTLP_* variables say.
    pub client: String,
    /// Where the collector is; empty means the exporter's default.
    pub endpoint: String,
    /// Without TLS.
    pub insecure: bool,
    /// Compress what is sent with gzip.
    pub compress: bool,
    /// Path at the collector (http only).
    pub custom_url: String,
    /// Headers sent to the collector.
    pub headers: BTreeMap<String, String>,
    /// Who we are in the traces.
    pub resource: Option<OtelResource>,
    /// Older form of `resource.service_name`.
    pub service_name: String,
    /// Older form of `resource.service_version`.
    pub service_version: String,
}

/// Who we are in the traces. What is empty is filled in at the start.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct OtelResource {
    /// Name; RoadRunner when nothing says otherwise.
    pub service_name: String,
    /// Version; 1.0.0 when nothing says otherwise.
    pub service_version: String,
    /// This instance; a random UUID when empty.
    pub service_instance_id: String,
    /// Namespace; the name and a random UUID when empty.
    pub service_namespace: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:2112".into(),
            collect: BTreeMap::new(),
        }
    }
}

impl Default for Status {
    fn default() -> Self {
        Self {
            address: String::new(),
            unavailable_status_code: 503,
            check_timeout: 60,
        }
    }
}

impl Default for Otel {
    fn default() -> Self {
        Self {
            exporter: "otlp".into(),
            client: String::new(),
            endpoint: String::new(),
            insecure: false,
            compress: false,
            custom_url: String::new(),
            headers: BTreeMap::new(),
            resource: None,
            service_name: String::new(),
            service_version: String::new(),
        }
    }
}
