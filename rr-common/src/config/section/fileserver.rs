//! The `fileserver` section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A server of files beside the HTTP plugin.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Fileserver {
    /// Where it listens; needed.
    #[schemars(extend("format" = "address"))]
    pub address: String,
    /// Send an ETag.
    pub calculate_etag: bool,
    /// Make it a weak one.
    pub weak: bool,
    /// Do not read request bodies ahead.
    pub stream_request_body: bool,
    /// The directories.
    pub serve: Vec<ServedDir>,
}

/// One directory.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ServedDir {
    /// Path under which it is seen; needed.
    pub prefix: String,
    /// The directory; needed.
    pub root: String,
    /// Answer range requests.
    pub bytes_range: bool,
    /// Compress answers.
    pub compress: bool,
    /// Seconds for which opened files are kept.
    pub cache_duration: u64,
    /// Seconds for the client's cache.
    pub max_age: u64,
}
