//! A server with an RPC port, and a plugin `kv` that needs nothing else: `rr-test-plugin`, which says there what it answers.

use crate::server::merge;
use crate::{
    Room, Rpc, Server, bin,
    port::{free_port, local, tcp},
};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A server with an RPC port on TCP and a plugin `kv` that is the test plugin.
pub struct Place {
    /// The server.
    pub server: Server,
    /// Its RPC port.
    pub port: u16,
}

/// Its configuration with these settings over it, and the port in it.
pub fn config(settings: Value) -> (u16, Value) {
    let port = free_port();
    let mut config = json!({
        "version": "3",
        "rpc": {"listen": tcp(port)},
        "kv": {},
        "logs": {"mode": "production", "level": "debug"},
        "supervisor": {
            "adopt_timeout": "300ms",
            "restart": {"backoff": "20ms"},
            "plugins": {"kv": {"binary": bin::binary("rr-test-plugin")}},
        },
    });
    merge(&mut config, settings);
    (port, config)
}

/// Starts one and waits until it is up.
#[track_caller]
pub fn start(settings: Value) -> Place {
    let (port, config) = config(settings);
    let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
    server.wait_started();
    Place { server, port }
}

impl Place {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        local(self.port)
    }

    /// A new connection.
    #[track_caller]
    pub fn rpc(&self) -> Rpc {
        Rpc::tcp(self.address())
    }

    /// The plugin's process id.
    #[track_caller]
    pub fn plugin(&self) -> u32 {
        self.server.plugin("rr-test-plugin")
    }
}
