//! The `supervisor` section, our own: the life of the plugin processes.

use crate::config::{CommandLine, Dur};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Life of the plugin processes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Supervisor {
    /// How long plugins serve on after the supervisor's death before they drain and exit.
    #[schemars(extend("x-zero" = true))]
    pub adopt_timeout: Dur,
    /// What a plugin that cannot start means for the others.
    pub start: StartPolicy,
    /// Restarts of a plugin that dies.
    pub restart: Restart,
    /// The directory of the control sockets.
    pub control: Control,
    /// Directory of a control group (version 2) that is ours to divide, for `limits`; empty means the one that we run in, `none` that
    /// limits are not set.
    pub cgroup: String,
    /// Settings of single plugin processes, by plugin name.
    pub plugins: BTreeMap<String, PluginProcess>,
}

/// What a plugin that cannot start means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartPolicy {
    /// The whole start fails, with exit code 1.
    #[default]
    FailFast,
    /// The others start; the failed one is retried with backoff.
    KeepGoing,
}

/// Restarts of a plugin that dies before it is ready or within half a second after; any other death is followed by a restart at once.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Restart {
    /// Wait before the second restart; doubled for each further one, up to 30s.
    #[schemars(extend("x-zero" = true))]
    pub backoff: Dur,
    /// Early deaths within `window` after which the plugin is given up.
    #[schemars(extend("x-zero" = true))]
    pub max: u64,
    /// The time in which early deaths are counted.
    #[schemars(extend("x-zero" = true))]
    pub window: Dur,
}

/// The directory of the control sockets.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Control {
    /// Path; empty means a directory under XDG_RUNTIME_DIR or /run.
    pub dir: String,
    /// Group that may use the sockets besides our own user.
    pub group: String,
    /// Users that may use the sockets besides our own.
    pub allow_users: Vec<String>,
}

/// One plugin's process.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct PluginProcess {
    /// Command of a custom plugin; any program that speaks `rr.control.v1`.
    pub command: CommandLine,
    /// Path of a bundled plugin's binary, instead of the one that is looked for.
    pub binary: String,
    /// Variables for the process; names are upper-cased.
    pub env: BTreeMap<String, String>,
    /// User that runs the process; needs root.
    pub user: String,
    /// Started by a service manager such as systemd, not by us: the process registers by itself (environment `RR_CONTROL`, `RR_PLUGIN`)
    /// and has its own listening sockets. It is asked to stop with the server, and comes back when its manager starts it.
    pub attached: bool,
    /// Working directory of the process; the server's own without it.
    pub dir: String,
    /// Prefixes of the RPC methods that a custom plugin answers. Calls wait for it while it is on its way.
    pub rpc_prefixes: Vec<String>,
    /// Place of a custom plugin in the flow of work.
    pub role: PluginRole,
    /// Addresses on which a custom plugin is given listening sockets: `host:port`, `tcp://host:port` or `unix://path`.
    pub listen: Vec<String>,
    /// How long the process may take to be ready; without it 60s more than the pool's `allocate_timeout`.
    pub start_timeout: Dur,
    /// What the process may use together with all that it starts, its PHP workers above all.
    pub limits: Limits,
}

/// Place of a custom plugin in the flow of work: when it is started and stopped, and how it is upgraded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PluginRole {
    /// Others call it: started first, stopped last. Two processes may run side by side during an upgrade.
    #[default]
    Methods,
    /// The same, and it keeps in its process what must not be lost: never two processes side by side.
    State,
    /// Fetches work from elsewhere: started after those, stopped before them.
    Consumer,
    /// Takes work from clients: started last, stopped first.
    Ingress,
}

/// Limits of a plugin's process with all that it starts; needs a control group of our own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Limits {
    /// Memory in MB. What goes beyond is killed by the kernel, the largest process first.
    #[schemars(extend("x-zero" = true))]
    pub memory: u64,
    /// Processors: 1.5 is the time of one and a half.
    #[schemars(range(min = 0), extend("x-zero" = true))]
    pub cpu: f64,
    /// Processes and threads.
    #[schemars(extend("x-zero" = true))]
    pub tasks: u64,
}

impl Limits {
    /// True when nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            adopt_timeout: Dur::secs(2),
            start: StartPolicy::default(),
            restart: Restart::default(),
            control: Control::default(),
            cgroup: String::new(),
            plugins: BTreeMap::new(),
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            backoff: Dur(std::time::Duration::from_millis(250)),
            max: 5,
            window: Dur::secs(60),
        }
    }
}
