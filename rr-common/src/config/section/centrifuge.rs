//! The `centrifuge` section.

use super::Pool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The Centrifugo plugin.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Centrifuge {
    /// Where Centrifugo's proxy calls arrive.
    #[schemars(extend("format" = "address"))]
    pub proxy_address: String,
    /// Centrifugo's own API.
    pub grpc_api_address: String,
    /// Compress calls to the API with gzip.
    pub use_compressor: bool,
    /// Our name, for information.
    pub name: String,
    /// Our version, for information.
    pub version: String,
    /// TLS towards the API.
    pub tls: Option<CentrifugeTls>,
    /// The workers.
    pub pool: Pool,
}

/// TLS towards Centrifugo.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct CentrifugeTls {
    /// Private key, PEM.
    pub key: String,
    /// Certificate chain, PEM.
    pub cert: String,
}

impl Default for Centrifuge {
    fn default() -> Self {
        Self {
            proxy_address: "tcp://127.0.0.1:30000".into(),
            grpc_api_address: "127.0.0.1:10000".into(),
            use_compressor: false,
            name: "roadrunner".into(),
            version: "1.0.0".into(),
            tls: None,
            pool: Pool::default(),
        }
    }
}
