//! A server whose configuration is written anew, and told to read it again.

use crate::client::Rpc;
use crate::operator::{self, succeeded};
use crate::port::{free_port, local};
use crate::room::Room;
use crate::server::{Server, http_config, merge};
use serde_json::{Value, json};

/// A server whose configuration can be written anew.
pub struct Place {
    /// The server.
    pub server: Server,
    /// Its port for HTTP.
    pub port: u16,
    /// What its file says over the defaults.
    pub settings: Value,
}

impl Place {
    /// For HTTP, with these settings over the defaults.
    #[track_caller]
    pub fn new(settings: Value) -> Self {
        let room = Room::new();
        Self::at(room, ".rr.yaml", settings)
    }

    /// The same, and it logs no request.
    #[track_caller]
    pub fn quiet(mut settings: Value) -> Self {
        merge(&mut settings, json!({"logs": {"level": "warn"}}));
        Self::new(settings)
    }

    /// With its configuration under another path of the room.
    #[track_caller]
    pub fn at(room: Room, file: &str, settings: Value) -> Self {
        Self::run(room, file, &["serve"], settings)
    }

    /// The same started by these arguments.
    #[track_caller]
    pub fn run(room: Room, file: &str, arguments: &[&str], settings: Value) -> Self {
        let port = free_port();
        let config = http_config(port, settings.clone());
        let path = room.write(file, config.to_string());
        let server = Server::run(room, port, operator::command(arguments, &path));
        server.wait_ready();
        Self { server, port, settings }
    }

    /// The settings with changes, as the file has them from now on.
    pub fn write(&mut self, file: &str, changes: Value) {
        merge(&mut self.settings, changes);
        let config = http_config(self.port, self.settings.clone());
        self.server.room().write(file, config.to_string());
    }

    /// The same in the file where it is most of the time.
    pub fn change(&mut self, changes: Value) {
        self.write(".rr.yaml", changes);
    }

    /// Reloads; the answer.
    #[track_caller]
    pub fn reload(&self) -> Value {
        self.reload_by(".rr.yaml")
    }

    /// The same by another path.
    #[track_caller]
    pub fn reload_by(&self, file: &str) -> Value {
        let file = self.server.room().file(file);
        let output = operator::command(&["reload", "--json"], &file).output().unwrap();
        serde_json::from_str(&succeeded(&self.server, &output)).unwrap()
    }

    /// A reload that fails; the reason.
    #[track_caller]
    pub fn refused(&self) -> String {
        let output = operator::rr(&self.server, &["reload", "--json"]);
        let reason = operator::refused(&output);
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(reason.contains(answer["error"].as_str().unwrap()), "{reason}");
        reason
    }

    /// What HTTP answers.
    pub fn get(&self, path: &str) -> String {
        self.server.client().get(path).text()
    }
}

/// What became of a plugin.
pub fn action<'a>(answer: &'a Value, plugin: &str) -> &'a str {
    let plugins = answer["plugins"].as_array().unwrap();
    let found = plugins.iter().find(|report| report["plugin"] == plugin);
    found.and_then(|report| report["action"].as_str()).unwrap_or("none")
}

/// What became of an endpoint of the supervisor's own.
pub fn endpoint<'a>(answer: &'a Value, name: &str) -> &'a str {
    let endpoints = answer["endpoints"].as_array().unwrap();
    let found = endpoints.iter().find(|report| report["endpoint"] == name);
    found.and_then(|report| report["action"].as_str()).unwrap_or("none")
}

/// What a call of a method at that port fails with.
#[track_caller]
pub fn error(port: u16, method: &str, argument: &Value) -> Option<String> {
    Rpc::tcp(local(port)).call(method, argument).error()
}
