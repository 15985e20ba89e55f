//! Locks over the RPC port, with the real supervisor and `rr-lock` (LOCK-01).
//!
//! - [`start`]: when the plugin is there, what it tells
//! - [`queue`]: who gets a lock when
//! - [`crash`]: the plugin is killed
//! - [`php`]: PHP processes that share something

#![allow(clippy::unwrap_used)]

mod crash;
mod php;
mod queue;
mod start;

use rr_tests::{
    Room, Rpc, Server, eventually,
    port::{free_port, local, tcp},
    process,
    server::merge,
    wait::SOON,
};
use serde_json::{Value, json};

/// Longer than any test.
const LONG: u64 = 60_000_000;

/// A server with an RPC port and nothing else.
struct Place {
    server: Server,
    port: u16,
}

impl Place {
    fn start(settings: Value) -> Self {
        let port = free_port();
        let mut config = json!({
            "version": "3",
            "rpc": {"listen": tcp(port)},
            "logs": {"mode": "production", "level": "debug"},
            // Killed more often than any plugin deserves.
            "supervisor": {"restart": {"window": "1ms"}},
        });
        merge(&mut config, settings);
        let server = Server::launch(Room::new(), port, &config.to_string(), &[]);
        server.wait_started();
        Self { server, port }
    }

    fn client(&self) -> Client {
        Client(Rpc::tcp(local(self.port)))
    }

    fn kill(&self) {
        process::kill_and_wait(self.server.plugin("rr-lock"));
    }
}

/// One connection, which is never made anew.
struct Client(Rpc);

impl Client {
    /// The answer's fields; a call that a death has cut off is made again.
    fn ask(&mut self, method: &str, argument: &Value) -> Value {
        let mut result = Value::Null;
        eventually(SOON, || {
            let answer = self.0.call(&format!("lock.{method}"), argument);
            match answer.error() {
                None => result = answer.json(),
                Some(error) => assert!(error.contains("plugin lock"), "{error}"),
            }
            answer.error().is_none()
        });
        result
    }

    /// The token of a lock, if it was granted.
    fn lock(&mut self, method: &str, resource: &str, id: &str, wait: u64) -> Option<u64> {
        let argument = json!({"resource": resource, "id": id, "ttl": LONG, "wait": wait});
        let answer = self.ask(method, &argument);
        assert_eq!(answer["ok"] == json!(true), answer["token"].is_u64(), "{answer}");
        answer["token"].as_u64()
    }

    fn yes(&mut self, method: &str, resource: &str, id: &str) -> bool {
        self.ask(method, &json!({"resource": resource, "id": id}))["ok"] == json!(true)
    }

    /// Asks for a lock and does not wait for the answer.
    fn begin(&mut self, method: &str, resource: &str, id: &str, wait: u64) -> u32 {
        let argument = json!({"resource": resource, "id": id, "ttl": LONG, "wait": wait});
        let body = argument.to_string();
        self.0.begin(&format!("lock.{method}"), 0x08, body.as_bytes())
    }

    fn granted(&mut self, call: u32) -> bool {
        self.0.answer(call).json()["ok"] == json!(true)
    }
}
