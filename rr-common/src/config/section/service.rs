//! The `service` section: commands under supervision.

use crate::config::{CommandLine, Dur};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One supervised command.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Service {
    /// The command; needed.
    pub command: CommandLine,
    /// Processes of it.
    pub process_num: u64,
    /// Longest run, after which it is killed; 0 means no limit.
    pub exec_timeout: Dur,
    /// Start it again after any exit.
    pub remain_after_exit: bool,
    /// Seconds before it is started again.
    pub restart_sec: u64,
    /// Seconds between SIGINT and SIGKILL.
    pub timeout_stop_sec: u64,
    /// Name the service in each of its log lines.
    pub service_name_in_log: bool,
    /// More variables; names are upper-cased.
    pub env: BTreeMap<String, String>,
    /// User that runs it; needs root.
    pub user: String,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            command: CommandLine::default(),
            process_num: 1,
            exec_timeout: Dur::secs(0),
            remain_after_exit: false,
            restart_sec: 30,
            timeout_stop_sec: 5,
            service_name_in_log: false,
            env: BTreeMap::new(),
            user: String::new(),
        }
    }
}
