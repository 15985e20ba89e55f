//! A server with a page of metrics, and what stands on it.

use crate::client::Client;
use crate::port::{at, free_port, local};
use crate::server::{Server, merge};
use serde_json::{Value, json};

/// A server for HTTP with metrics and these settings, and a client for its page.
#[track_caller]
pub fn serve(settings: Value) -> (Server, Client) {
    let port = free_port();
    let mut all = json!({"metrics": {"address": at(port)}});
    merge(&mut all, settings);
    let server = Server::http(all);
    (server, Client::tcp(local(port)))
}

/// The value of a sample, which is named as it stands there, with its labels.
pub fn sample(page: &str, name: &str) -> Option<f64> {
    let rest = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    rest.map(|value| value.parse().unwrap())
}
