//! One process of the server as operators see it: a plugin's, or the supervisor's own; with its workers and pools.

use super::{
    Death, Worker,
    ask::{self, QUICK},
};
use crate::fleet::{Member, Past};
use rr_common::control::v1::{self, HealthRequest, ReadyRequest, plugin_client::PluginClient};
use serde::{Deserialize, Serialize};
use std::{fs, time::SystemTime};
use tokio::task::spawn_blocking;
use tonic::transport::Channel;

/// Ends of workers that are told of one plugin; it may send more.
const WORKER_DEATHS: usize = 256;

/// One process of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Process {
    /// The plugin's name, or `supervisor`.
    pub name: String,
    /// Where in its life it is: down, starting, running, upgrading, restarting, stopping, failed.
    pub state: String,
    /// Its process, if there is one.
    pub pid: Option<u32>,
    /// Its program's version.
    pub version: String,
    /// Age of the process.
    pub uptime_seconds: Option<u64>,
    /// Processes that were started after the first one.
    pub restarts: u64,
    /// Memory of the process itself, without its workers.
    pub memory: Option<Memory>,
    /// Its workers; null if it has none by its nature.
    pub workers: Option<usize>,
    /// Resident bytes of the workers.
    pub workers_memory: u64,
    /// Why it cannot work at present; empty if it can.
    pub health: String,
    /// Whether it could take work at this moment.
    pub ready: bool,
    /// Started by its first call only.
    pub on_demand: bool,
    /// First parts of its RPC methods.
    pub rpc: Vec<String>,
    /// The last ends of its processes, oldest first.
    pub deaths: Vec<Death>,
    /// The last ends of its workers, oldest first.
    pub worker_deaths: Vec<Death>,
}

impl Process {
    /// Whether it is there for calls and requests.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.state.as_str(), "running" | "upgrading")
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Resident, shared pages counted in full.
    pub rss: u64,
    /// Shared pages divided by those who share them; absent where the kernel does not tell.
    pub pss: Option<u64>,
}

/// One process with all that is below it: the answer of `supervisor.Top` is a list of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Seen {
    /// The process.
    pub process: Process,
    /// Its workers.
    pub workers: Vec<Worker>,
    /// Its pools.
    pub pools: Vec<Queue>,
}

/// What waits in a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Queue {
    /// The pool.
    pub pool: String,
    /// Workers that there should be.
    pub workers: u64,
    /// Requests that wait for a worker.
    pub waiting: u64,
    /// Requests that workers have.
    pub running: u64,
    /// How long the oldest of those that wait has waited.
    pub wait_ms: u64,
}

/// A plugin, as its place in the roster and its own answers show it.
pub(super) async fn look(member: &Member, past: &Past) -> Seen {
    let name = &member.name;
    let mut seen = Seen::default();
    let mut deaths = past.of(name);
    let pid = member.pid.and_then(|pid| u32::try_from(pid.as_raw()).ok());
    seen.process = Process {
        name: name.clone(),
        state: member.word().into(),
        pid,
        version: member.version.clone(),
        uptime_seconds: member.since.and_then(age),
        restarts: member.restarts,
        on_demand: member.on_demand,
        rpc: member.prefixes.clone(),
        deaths: member.deaths.iter().map(|end| Death::of_plugin(name, end)).collect(),
        ..Process::default()
    };
    let process = &mut seen.process;
    if let Some(pid) = pid {
        process.memory = memory_of(pid).await;
    }
    if member.channel.is_some() {
        let health = async |mut client: PluginClient<Channel>| client.health(HealthRequest {}).await;
        let ready = async |mut client: PluginClient<Channel>| client.ready(ReadyRequest {}).await;
        let (told, health, ready) = tokio::join!(
            ask::details(member),
            ask::ask(member, QUICK, health),
            ask::ask(member, QUICK, ready),
        );
        if let Ok(told) = told {
            seen.workers = told.workers.into_iter().map(Worker::from).collect();
            seen.pools = told.pools.into_iter().map(Queue::from).collect();
            deaths.extend(told.deaths);
            process.workers_memory = seen.workers.iter().map(|worker| worker.memory).sum();
            process.workers = Some(seen.workers.len()).filter(|count| *count > 0);
        }
        process.health = match health {
            Ok(answer) => answer.unhealthy,
            Err(error) => error.to_string(),
        };
        process.ready = ready.is_ok_and(|answer| answer.ready);
    }
    let recent = deaths.len().saturating_sub(WORKER_DEATHS);
    let recent = deaths.into_iter().skip(recent);
    process.worker_deaths = recent.map(|death| Death::of_worker(name, death)).collect();
    seen
}

impl From<v1::PoolInfo> for Queue {
    fn from(info: v1::PoolInfo) -> Self {
        Self {
            pool: info.name,
            workers: info.workers,
            waiting: info.waiting,
            running: info.running,
            wait_ms: info.wait_ms,
        }
    }
}

/// Whole seconds since then.
pub(super) fn age(since: SystemTime) -> Option<u64> {
    since.elapsed().ok().map(|age| age.as_secs())
}

/// Memory of a process; the kernel adds it up while it is asked, so not on this thread.
pub(super) async fn memory_of(pid: u32) -> Option<Memory> {
    spawn_blocking(move || memory(pid)).await.ok().flatten()
}

fn memory(pid: u32) -> Option<Memory> {
    if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        && let Some(rss) = kilobytes(&text, "Rss:")
    {
        return Some(Memory {
            rss,
            pss: kilobytes(&text, "Pss:"),
        });
    }
    // Under another user, or another kernel, that file may be closed to us.
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    kilobytes(&text, "VmRSS:").map(|rss| Memory { rss, pss: None })
}

/// The bytes that a line of the kernel's tables names in kB.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}
