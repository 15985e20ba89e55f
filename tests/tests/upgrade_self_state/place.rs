//! A server, and what it tells of its plugins and of its numbers.

use rr_common::frame::flag;
use rr_tests::{
    Client, Rpc, Server, eventually,
    operator::{self, seen},
    port::{at, free_port, local, tcp},
    process,
    server::merge,
    wait::SOON,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A server for HTTP with its RPC port and the page of its metrics.
pub(crate) struct Place {
    pub(crate) server: Server,
    rpc: u16,
    pub(crate) page: Client,
}

impl Place {
    pub(crate) fn start(settings: Value) -> Self {
        let (rpc, page) = (free_port(), free_port());
        let mut all = json!({
            "rpc": {"listen": tcp(rpc)},
            "metrics": {"address": at(page)},
            "supervisor": {"adopt_timeout": "20s"},
        });
        merge(&mut all, settings);
        Self {
            server: Server::http(all),
            rpc,
            page: Client::tcp(local(page)),
        }
    }

    /// One without RPC port and page.
    pub(crate) fn of(server: Server) -> Self {
        Self {
            server,
            rpc: 0,
            page: Client::tcp(local(0)),
        }
    }

    pub(crate) fn client(&self) -> Rpc {
        Rpc::tcp(local(self.rpc))
    }

    /// Waits until no replaced process is on its way out.
    #[track_caller]
    pub(crate) fn wait_alone(&self) {
        eventually(SOON, || process::named(self.server.pid(), "rr-http").len() <= 1);
    }

    /// Replaces the supervisor's program.
    #[track_caller]
    pub(crate) fn upgrade(&self) {
        self.wait_alone();
        operator::upgrade_self(&self.server);
    }

    /// Sets a gauge to what JSON has no words for.
    #[track_caller]
    pub(crate) fn set_packed(&self, name: &str, value: f64, label: &str) {
        let text = |text: &str| [&[0xa0 | text.len() as u8], text.as_bytes()].concat();
        let value = [&[0xcb][..], &value.to_be_bytes()].concat();
        let labels = [vec![0x91], text(label)].concat();
        let fields = [text("name"), text(name), text("value"), value, text("labels"), labels];
        let body = [vec![0x83], fields.concat()].concat();
        assert_eq!(
            self.client().exchange("metrics.Set", flag::MSGPACK, &body).error(),
            None
        );
    }

    /// What `rr plugins` tells of a plugin, but for what moves on: how long ago things were, memory, whether there is work.
    #[track_caller]
    pub(crate) fn told(&self, plugin: &str) -> Value {
        let mut told = seen(&self.server, plugin);
        for key in ["deaths", "worker_deaths"] {
            for death in told[key].as_array_mut().unwrap() {
                death["seconds_ago"].take();
            }
        }
        for key in ["uptime_seconds", "memory", "workers_memory", "ready"] {
            told[key].take();
        }
        told
    }

    /// Waits until the plugin runs, for so long that its death would be no early one.
    #[track_caller]
    pub(crate) fn wait_settled(&self, plugin: &str) {
        eventually(SOON, || self.told(plugin)["state"] == "running");
        let runs = Instant::now();
        eventually(SOON, || runs.elapsed() > SETTLED);
    }

    /// The application's series on the page.
    pub(crate) fn samples(&self, names: &[&str]) -> Vec<String> {
        let page = self.page.get("/").text();
        let is = |line: &&str| names.iter().any(|name| line.starts_with(name));
        page.lines().filter(is).map(str::to_owned).collect()
    }
}

/// What has been ready for so long is restarted at once, however often it dies.
const SETTLED: Duration = Duration::from_millis(500);
