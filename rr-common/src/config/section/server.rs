//! The `server`, `rpc` and `endure` sections.

use crate::config::{CommandLine, Dur};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The PHP command and its surroundings.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Server {
    /// Command of the workers of every pool that names none itself.
    pub command: CommandLine,
    /// User that runs the workers; needs root.
    pub user: String,
    /// Group that runs the workers; empty means the user's own group.
    pub group: String,
    /// Variables for the workers; names are upper-cased.
    pub env: BTreeMap<String, String>,
    /// How workers talk to us: `pipes`, `tcp://host:port` or `unix://path`.
    pub relay: String,
    /// A command that runs once before any plugin starts.
    pub on_init: Option<OnInit>,
}

/// A command that runs once before any plugin starts.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct OnInit {
    /// The command.
    pub command: CommandLine,
    /// Longest run, after which it is killed.
    pub exec_timeout: Dur,
    /// Variables for the command; names are upper-cased.
    pub env: BTreeMap<String, String>,
    /// User that runs the command; needs root.
    pub user: String,
    /// An error or a time-out stops the start.
    pub exit_on_error: bool,
}

/// Where PHP calls the server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Rpc {
    /// `tcp://host:port` or `unix://path?mode=0600&owner=user:group`.
    pub listen: String,
    /// Users that may connect to a `unix://` address besides the server's own and root, by name or number. Empty: everybody whom the
    /// socket's file lets in.
    pub allow_users: Vec<String>,
}

impl Rpc {
    /// The address as its clients write it: without what only the socket's file is given.
    pub fn for_clients(&self) -> &str {
        self.listen.split('?').next().unwrap_or_default()
    }
}

/// Life of the whole server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Endure {
    /// One deadline for the whole stop.
    pub grace_period: Dur,
    /// Level of the supervisor's own messages: debug, info, warn, error.
    pub log_level: String,
    /// Print the plugins in their start order, as graphviz, before starting.
    pub print_graph: bool,
    /// Seconds between systemd watchdog notifications; 0 means off.
    pub watchdog_sec: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            command: CommandLine::default(),
            user: String::new(),
            group: String::new(),
            env: BTreeMap::new(),
            relay: "pipes".into(),
            on_init: None,
        }
    }
}

impl Default for OnInit {
    fn default() -> Self {
        Self {
            command: CommandLine::default(),
            exec_timeout: Dur::secs(60),
            env: BTreeMap::new(),
            user: String::new(),
            exit_on_error: false,
        }
    }
}

impl Default for Rpc {
    fn default() -> Self {
        Self {
            listen: "tcp://127.0.0.1:6001".into(),
            allow_users: Vec::new(),
        }
    }
}

impl Default for Endure {
    fn default() -> Self {
        Self {
            grace_period: Dur::secs(30),
            log_level: "error".into(),
            print_graph: false,
            watchdog_sec: 0,
        }
    }
}
