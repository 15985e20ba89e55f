//! The typed sections, one file each. Their doc comments become the JSON Schema's descriptions, their `Default` the defaults.

mod http;
mod logs;
mod pool;
mod server;
mod supervisor;
mod tls;

pub use http::{Cors, Fcgi, Headers, Http, Http2, Http3, Static, Uploads};
pub use logs::{FileLogger, LogChannel, Logs};
pub use pool::{DynamicAllocator, Pool, PoolSupervisor};
pub use server::{Endure, OnInit, Rpc, Server};
pub use supervisor::{Control, PluginProcess, Restart, StartPolicy, Supervisor};
pub use tls::{Acme, Ssl};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole configuration, resolved: variables expanded, files included, overrides applied.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Version of the file's format: "3", or "2.7" for older files.
    pub version: String,
    /// Further files, relative to the working directory; their sections replace those here.
    pub include: Vec<String>,
    /// A dotenv file beside this one, read with `-e`.
    pub envfile: String,
    /// Where PHP calls the server.
    pub rpc: Option<Rpc>,
    /// The PHP command and its surroundings.
    pub server: Option<Server>,
    /// Log format and destinations.
    pub logs: Logs,
    /// Life of the whole server.
    pub endure: Endure,
    /// Life of the plugin processes (our own section).
    pub supervisor: Supervisor,
    /// The HTTP plugin.
    pub http: Option<Http>,
}
