//! The plugins as others see them: the RPC port, the endpoints, the command line. A new picture after each change.

use super::{Counts, End, Orphan, Past};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc, time::SystemTime};
use tonic::transport::Channel;

/// All plugins at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    /// Every configured plugin, in the order of their start.
    pub members: Vec<Member>,
    /// The stop of the whole server has begun.
    pub stopping: bool,
    /// The last ends of processes that plugins had left behind.
    pub orphans: Vec<Orphan>,
    /// What is known of workers whose plugin was replaced.
    pub past: Past,
}

/// One plugin.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its name.
    pub name: String,
    /// Where in its life it is.
    pub state: State,
    /// Another process is to take its place.
    pub upgrading: bool,
    /// It hands over to that process: calls wait.
    pub held: bool,
    /// Started by the first call only.
    pub on_demand: bool,
    /// Its process, if there is one.
    pub pid: Option<Pid>,
    /// What the process said at its registration; empty before.
    pub version: String,
    /// When the process was started.
    pub since: Option<SystemTime>,
    /// Processes that were started after the first one.
    pub restarts: u64,
    /// First parts of the RPC methods that it answers, also while it is down.
    pub prefixes: Vec<String>,
    /// The way to its control socket; none before its registration.
    pub channel: Option<Channel>,
    /// Where it takes calls as frames, if it does.
    pub calls: Option<Calls>,
    /// Its last deaths, oldest first.
    pub deaths: Vec<Arc<End>>,
    /// All of them, by cause.
    pub counts: Counts,
}

/// Where a plugin takes calls as frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Calls {
    /// Its socket.
    pub path: PathBuf,
    /// Clients' connections may be lent to it over this socket.
    pub leases: bool,
}

/// Where in its life a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// No process, and none to come unless somebody asks.
    Down,
    /// Its first process is on the way.
    Starting,
    /// Ready.
    Running,
    /// It died, and a new process is on the way or waits for its time.
    Restarting,
    /// Asked to stop.
    Stopping,
    /// Given up: it died too often before it was of any use.
    Failed,
}

impl State {
    /// As people read it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

impl Member {
    /// It serves, and another process is to take its place.
    pub(crate) fn is_upgrading(&self) -> bool {
        self.upgrading && self.state == State::Running
    }

    /// As people read it in a table.
    pub(crate) fn shown(&self) -> &'static str {
        state_shown(self.word(), self.on_demand)
    }

    /// Where in its life it is, as people read it.
    pub(crate) fn word(&self) -> &'static str {
        match self.is_upgrading() {
            true => "upgrading",
            false => self.state.text(),
        }
    }
}

/// What people read of a state: who waits for its first call, as it should, is not just down.
pub(crate) fn state_shown(state: &str, on_demand: bool) -> &str {
    match state {
        "down" if on_demand => "on demand",
        other => other,
    }
}

/// Sees each new picture.
pub(crate) type RosterWatch = tokio::sync::watch::Receiver<Arc<Roster>>;

impl Roster {
    /// The plugin of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}
