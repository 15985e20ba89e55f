//! A server whose HTTP plugin is `rr-test-plugin`: no PHP, and it misbehaves on demand (see that program).

use crate::server::merge;
use crate::{
    Room, Server, bin,
    port::{at, free_port},
};
use serde_json::{Value, json};

/// The configuration: the stand-in with these variables, and these settings over the defaults.
pub fn config(port: u16, variables: Value, settings: Value) -> Value {
    let mut config = json!({
        "version": "3",
        "http": {"address": at(port)},
        "logs": {"mode": "production", "level": "debug"},
        "supervisor": {
            "adopt_timeout": "300ms",
            "restart": {"backoff": "20ms"},
            "plugins": {"http": {"binary": bin::binary("rr-test-plugin"), "env": variables}},
        },
    });
    merge(&mut config, settings);
    config
}

/// Starts such a server and waits for nothing.
#[track_caller]
pub fn launch(room: Room, variables: Value, settings: Value) -> Server {
    let port = free_port();
    let config = config(port, variables, settings);
    Server::launch(room, port, &config.to_string(), &[])
}

/// Starts such a server and waits until it answers.
#[track_caller]
pub fn start(variables: Value, settings: Value) -> Server {
    let server = launch(Room::new(), variables, settings);
    server.wait_started();
    server
}
