//! A server of nothing but services, whose program is replaced.

use rr_tests::{
    Room, Rpc, Server,
    operator::upgrade_self,
    port::{free_port, local, tcp},
    server::merge,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A server of nothing but services.
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) rpc: Rpc,
    pub(crate) port: u16,
}

pub(crate) fn config(port: u16, services: &Value) -> String {
    let mut config = json!({
        "version": "3",
        "rpc": {"listen": tcp(port)},
        "service": {},
        "logs": {"mode": "production", "level": "debug"},
    });
    merge(&mut config, json!({"service": services}));
    config.to_string()
}

pub(crate) fn start(room: Room, services: &Value) -> Place {
    let port = free_port();
    let server = Server::launch(room, port, &config(port, services), &[]);
    server.wait_started();
    Place {
        rpc: Rpc::tcp(local(port)),
        server,
        port,
    }
}

/// The command that runs a script of the room.
pub(crate) fn script(room: &Room, name: &str, text: &str) -> Value {
    json!(["sh", room.write(name, text)])
}

impl Place {
    #[track_caller]
    pub(crate) fn upgrade(&self) {
        upgrade_self(&self.server);
    }

    #[track_caller]
    pub(crate) fn ok(&mut self, method: &str, argument: &Value) -> Value {
        let answer = self.rpc.call(method, argument);
        assert_eq!(answer.error(), None, "{}", self.server.log());
        answer.json()
    }

    pub(crate) fn names(&mut self) -> Vec<String> {
        let all = self.ok("service.List", &json!({}));
        serde_json::from_value(all["services"].clone()).unwrap_or_default()
    }

    /// Pid, command and end of every process.
    pub(crate) fn statuses(&mut self) -> BTreeMap<String, Vec<(Value, Value, Value)>> {
        let names = self.names().into_iter();
        let of = |name: String| {
            let all = self.ok("service.Statuses", &json!({"name": name}));
            let all = all["status"].as_array().cloned().unwrap_or_default().into_iter();
            let one = |one: Value| (one["pid"].clone(), one["command"].clone(), one["status"].clone());
            (name, all.map(one).collect())
        };
        names.map(of).collect()
    }

    pub(crate) fn pid(&mut self, name: &str) -> u32 {
        let all = self.ok("service.Statuses", &json!({"name": name}));
        u32::try_from(all["status"][0]["pid"].as_u64().unwrap()).unwrap()
    }

    /// What a service has written.
    pub(crate) fn said(&self, name: &str) -> Vec<String> {
        let logger = format!("service.{name}");
        let lines = self.server.log_json().into_iter();
        let lines = lines.filter(|line| line["logger"] == logger && line["name"].is_null());
        lines.map(|line| line["msg"].as_str().unwrap().to_owned()).collect()
    }

    /// How often a line of the supervisor's about a service was logged.
    pub(crate) fn logged(&self, message: &str, name: &str) -> usize {
        let lines = self.server.log_json().into_iter();
        lines
            .filter(|line| line["msg"] == message && line["name"] == name)
            .count()
    }

    pub(crate) fn runs(&self, file: &str) -> usize {
        let path = self.server.room().file(file);
        std::fs::read_to_string(path).unwrap_or_default().lines().count()
    }

    pub(crate) fn write(&self, services: &Value) {
        self.server.room().write(".rr.yaml", config(self.port, services));
    }
}
