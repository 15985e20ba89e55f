//! A server with the plugin `own`, which is `rr-test-custom` and misbehaves by its mode.

use rr_tests::{
    Room, Rpc, Server, bin,
    port::{free_port, tcp},
    server::merge,
};
use serde_json::{Value, json};
use std::fs;

/// A server with RPC on a port, and the test's own plugin `own` with this mode and these settings over it.
pub(crate) fn config(port: u16, mode: &str, settings: Value) -> Value {
    let mut config = json!({
        "version": "3",
        "rpc": {"listen": tcp(port)},
        "logs": {"mode": "production", "level": "debug"},
        "own": {"free": {"to": ["be", "anything"]}},
        "supervisor": {
            "restart": {"backoff": "20ms"},
            "plugins": {"own": {
                "command": [bin::binary("rr-test-custom")],
                "env": {"TEST_MODE": mode},
                "rpc_prefixes": ["own"],
            }},
        },
    });
    merge(&mut config, settings);
    config
}

pub(crate) fn launch(mode: &str, settings: Value) -> Server {
    let port = free_port();
    let config = config(port, mode, settings);
    Server::launch(Room::new(), port, &config.to_string(), &[])
}

pub(crate) fn start(mode: &str, settings: Value) -> Server {
    let server = launch(mode, settings);
    server.wait_started();
    server
}

pub(crate) fn rpc(server: &Server) -> Rpc {
    Rpc::tcp(server.address())
}

/// What is in the control directory besides the server's own files.
pub(crate) fn left_behind(server: &Server) -> Vec<String> {
    let dir = rpc(server).call("own.Env", &json!("RR_CONTROL_DIR")).json();
    let dir = dir.as_str().unwrap();
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("own."))
        .collect();
    names.sort();
    names
}
