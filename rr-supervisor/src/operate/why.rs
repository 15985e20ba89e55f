//! Why a process is no more: all that is remembered of one process, or of one plugin and its workers.

use super::{Death, process::Seen};
use crate::fleet::Roster;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A process that ended that much before its orphan's end was noticed may have been its parent.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The argument of `supervisor.Why`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    /// A process id or a plugin's name.
    pub about: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Why {
    /// What was asked about.
    pub about: String,
    /// Processes that run.
    pub running: Vec<Running>,
    /// The ends that are remembered, oldest first.
    pub deaths: Vec<Death>,
}

/// A process that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Running {
    /// Whose it is.
    pub plugin: String,
    /// The process.
    pub pid: Option<u32>,
    /// A worker; else the plugin's own process.
    pub worker: bool,
    /// Where in its life it is.
    pub state: String,
    /// Since when.
    pub seconds: Option<u64>,
    /// Requests that the worker was given.
    pub execs: u64,
    /// What it works on.
    pub request: String,
}

impl Why {
    /// What the processes, as they are seen now, and what is remembered tell about it.
    ///
    /// # Errors
    /// Nothing is known of it.
    pub(super) fn told(about: &str, seen: &[Seen], roster: &Roster) -> Result<Self, String> {
        let mut why = Self {
            about: about.to_owned(),
            ..Self::default()
        };
        match about.parse::<u32>() {
            Ok(pid) => {
                for one in seen {
                    why.running
                        .extend(one.running().filter(|running| running.pid == Some(pid)));
                    let deaths = one.process.deaths.iter().chain(&one.process.worker_deaths);
                    why.deaths.extend(deaths.filter(|death| death.pid == pid).cloned());
                }
                // What was left behind is known by its number only.
                if why.running.is_empty() && why.deaths.is_empty() {
                    why.deaths = orphans(pid, roster);
                }
            }
            Err(_) => {
                let one = seen.iter().find(|one| one.process.name == about);
                let one = one.ok_or_else(|| format!("no such plugin: {about}"))?;
                why.running.extend(one.running().take(1));
                let deaths = one.process.deaths.iter().chain(&one.process.worker_deaths);
                why.deaths = deaths.cloned().collect();
            }
        }
        if why.running.is_empty() && why.deaths.is_empty() {
            return Err(format!(
                "nothing is known of {about}: no process of this server has that id, nor had one of those that died lately"
            ));
        }
        why.deaths.sort_by_key(|death| std::cmp::Reverse(death.seconds_ago));
        Ok(why)
    }
}

impl Seen {
    /// Its process, then its workers.
    fn running(&self) -> impl Iterator<Item = Running> {
        let process = &self.process;
        let own = Running {
            plugin: process.name.clone(),
            pid: process.pid,
            state: process.state.clone(),
            seconds: process.uptime_seconds,
            ..Running::default()
        };
        let worker = |worker: &super::Worker| Running {
            plugin: process.name.clone(),
            pid: Some(worker.pid),
            worker: true,
            state: worker.status_text.clone(),
            seconds: worker.age(),
            execs: worker.execs,
            request: worker.request.clone(),
        };
        std::iter::once(own).chain(self.workers.iter().map(worker))
    }
}

/// The end of a process that was left behind, with the plugin whose death it most likely followed.
fn orphans(pid: u32, roster: &Roster) -> Vec<Death> {
    let of = roster
        .orphans
        .iter()
        .filter(|orphan| orphan.pid.as_raw().unsigned_abs() == pid);
    let parent = |at| {
        let ends = roster.members.iter().flat_map(|member| {
            let ends = member.deaths.iter();
            ends.map(|end| (member.name.as_str(), end.at))
        });
        let near = ends.filter(|(_, end)| *end <= at + AT_ONCE && *end + AT_ONCE >= at);
        near.max_by_key(|(_, end)| *end).map_or("", |(name, _)| name)
    };
    of.map(|orphan| Death::of_orphan(parent(orphan.at), orphan)).collect()
}
