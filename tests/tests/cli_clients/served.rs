//! A server with PHP and its RPC port, and what commands print.

use rr_tests::{
    Rpc, Server,
    operator::rr_in,
    port::{free_port, local, tcp},
};
use serde_json::{Value, json};
use std::process::Output;

/// A server with PHP and its RPC port.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) rpc: u16,
}

impl Served {
    pub(crate) fn start(settings: Value) -> Self {
        let rpc = free_port();
        let mut all = json!({"rpc": {"listen": tcp(rpc)}});
        rr_tests::server::merge(&mut all, settings);
        let server = Server::http(all);
        Self { server, rpc }
    }

    /// Runs a command in the server's directory to its end.
    pub(crate) fn rr(&self, arguments: &[&str]) -> Output {
        rr_in(self.server.room(), arguments)
    }

    pub(crate) fn rpc(&self) -> Rpc {
        Rpc::tcp(local(self.rpc))
    }
}

/// The cells of the rows of all tables.
pub(crate) fn cells(drawn: &str) -> Vec<Vec<String>> {
    let rows = drawn.lines().filter(|line| line.starts_with('│'));
    let cells = |line: &str| {
        line.trim_matches('│')
            .split('│')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

/// The row of that name.
pub(crate) fn row(rows: &[Vec<String>], name: &str) -> Vec<String> {
    rows.iter()
        .find(|row| row[0] == name)
        .cloned()
        .unwrap_or_else(|| panic!("no row {name}: {rows:?}"))
}

pub(crate) fn pids(plugins: &Value) -> Vec<u32> {
    let workers = plugins["plugins"][0]["workers"].as_array().unwrap();
    workers
        .iter()
        .map(|worker| u32::try_from(worker["pid"].as_u64().unwrap()).unwrap())
        .collect()
}
