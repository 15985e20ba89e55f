//! The `tcp` section.

use super::Pool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The TCP plugin.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Tcp {
    /// The servers, by name.
    pub servers: BTreeMap<String, TcpServer>,
    /// Read buffer of a connection in MiB.
    pub read_buf_size: u64,
    /// The workers.
    pub pool: Pool,
}

/// One TCP server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct TcpServer {
    /// Where it listens; needed.
    #[schemars(extend("format" = "address"))]
    pub addr: String,
    /// What ends a message.
    pub delimiter: String,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            servers: BTreeMap::new(),
            read_buf_size: 1,
            pool: Pool::default(),
        }
    }
}

impl Default for TcpServer {
    fn default() -> Self {
        Self {
            addr: String::new(),
            delimiter: "\r\n".into(),
        }
    }
}
