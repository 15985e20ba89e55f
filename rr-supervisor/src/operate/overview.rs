//! `supervisor.*`: every process of the server with its version, age, restarts, memory, workers and health (`Plugins`), the same
//! with each worker (`Top`), why one is no more (`Why`), a new process for one of them (`Upgrade`), and a changed configuration for
//! all (`Reload`).

use super::{
    Death, Residents, Worker,
    ask::{self, QUICK},
    why::{self, Why},
};
use crate::{
    control::Question,
    fleet::{Member, Past, Roster, RosterWatch, State},
    gateway::{Answer, Local},
    reload,
    renew::{self, Wish},
};
use bytes::Bytes;
use rr_common::{
    COMPATIBLE_VERSION,
    control::v1::{self, HealthRequest, ReadyRequest, plugin_client::PluginClient},
    rpc::{CallError, Codec, decode, encode},
    telemetry::metrics::Usage,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinSet, spawn_blocking},
};
use tonic::transport::Channel;

/// Ends of workers that are told of one plugin; it may send more.
const WORKER_DEATHS: usize = 256;

/// The service.
#[derive(Debug)]
pub(crate) struct Overview {
    roster: RosterWatch,
    residents: Residents,
    questions: mpsc::Sender<Question>,
    since: SystemTime,
}

/// The argument of `supervisor.Upgrade`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Upgrade {
    /// The plugin.
    pub plugin: String,
    /// Its program from now on; the present one without it.
    pub binary: Option<PathBuf>,
}

/// The answer of `supervisor.Self`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Myself {
    /// The supervisor's process.
    pub pid: u32,
    /// Times that it has become another program.
    pub renewals: u64,
    /// Why the last attempt came to nothing; empty if it did not.
    pub failure: String,
}

/// The argument of `supervisor.Reload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reload {
    /// Only tell what would be done.
    pub dry_run: bool,
}

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

impl Overview {
    /// Of these plugins, and of this process.
    pub(crate) fn new(roster: RosterWatch, residents: Residents, questions: mpsc::Sender<Question>) -> Self {
        Self {
            roster,
            residents,
            questions,
            // The process may be older than its program.
            since: Usage::of(std::process::id()).map_or_else(SystemTime::now, |usage| usage.since()),
        }
    }

    /// Replaces a plugin's process; returns the new one's pid when that serves.
    async fn upgrade(&self, upgrade: Upgrade) -> Result<u32, String> {
        let ending = || "the server is stopping".to_owned();
        let (told, hears) = oneshot::channel();
        let question = Question::Upgrade {
            plugin: upgrade.plugin,
            binary: upgrade.binary,
            told,
        };
        self.questions.send(question).await.map_err(|_| ending())?;
        let pid = hears.await.map_err(|_| ending())??;
        Ok(pid.as_raw().unsigned_abs())
    }

    /// Replaces the supervisor's own program; returns when it is about to happen.
    async fn renew(&self, upgrade: Upgrade) -> Result<bool, String> {
        let ending = || "the server is stopping".to_owned();
        let (told, hears) = oneshot::channel();
        let wish = Wish {
            binary: upgrade.binary,
            told: Some(told),
        };
        self.questions.send(Question::Renew(wish)).await.map_err(|_| ending())?;
        hears.await.map_err(|_| ending())??;
        Ok(true)
    }

    /// Makes what has changed in the configuration take effect.
    async fn reload(&self, reload: Reload) -> reload::Outcome {
        let ending = || "the server is stopping".to_owned();
        let (told, hears) = oneshot::channel();
        let dry_run = reload.dry_run;
        let question = Question::Reload { dry_run, told };
        self.questions.send(question).await.map_err(|_| ending())?;
        hears.await.map_err(|_| ending())?
    }

    /// All processes, the supervisor first.
    pub(crate) async fn processes(&self) -> Vec<Process> {
        let roster = Arc::clone(&self.roster.borrow());
        let seen = self.seen(&roster).await;
        seen.into_iter().map(|seen| seen.process).collect()
    }

    /// The same with their workers.
    async fn seen(&self, roster: &Roster) -> Vec<Seen> {
        let mut looking = JoinSet::new();
        for (index, member) in roster.members.iter().enumerate() {
            let (member, past) = (member.clone(), roster.past.clone());
            looking.spawn(async move { (index, look(&member, &past).await) });
        }
        // All at once: however many do not answer, the whole takes one bound.
        let (own, mut plugins) = tokio::join!(self.own(roster.stopping), looking.join_all());
        plugins.sort_by_key(|(index, _)| *index);
        let mut all = vec![own];
        all.extend(plugins.into_iter().map(|(_, seen)| seen));
        all
    }

    /// The supervisor, with the processes of those who live in it as its workers.
    async fn own(&self, stopping: bool) -> Seen {
        let pid = std::process::id();
        let mut workers = Vec::new();
        let residents = self.residents.all();
        let until = Instant::now() + QUICK;
        for resident in &residents {
            let left = until.saturating_duration_since(Instant::now());
            let seen = ask::within(&**resident, left, resident.workers()).await;
            workers.extend(seen.unwrap_or_default());
        }
        let process = Process {
            name: "supervisor".into(),
            state: if stopping { State::Stopping } else { State::Running }.text().into(),
            pid: Some(pid),
            version: COMPATIBLE_VERSION.into(),
            uptime_seconds: age(self.since),
            memory: memory_of(pid).await,
            workers: (!residents.is_empty()).then_some(workers.len()),
            workers_memory: workers.iter().map(|worker| worker.memory).sum(),
            ready: !stopping,
            ..Process::default()
        };
        Seen {
            process,
            workers,
            pools: Vec::new(),
        }
    }
}

impl Local for Overview {
    fn prefix(&self) -> &'static str {
        "supervisor"
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, body: Bytes) -> Answer<'a> {
        Box::pin(async move {
            match method {
                "Plugins" => encode(codec, &self.processes().await),
                "Top" => {
                    let roster = Arc::clone(&self.roster.borrow());
                    encode(codec, &self.seen(&roster).await)
                }
                "Why" => {
                    let question: why::Question = decode(codec, &body)?;
                    let roster = Arc::clone(&self.roster.borrow());
                    let seen = self.seen(&roster).await;
                    let why = Why::told(&question.about, &seen, &roster);
                    encode(codec, &why.map_err(CallError::Failed)?)
                }
                "Renew" => encode(
                    codec,
                    &self.renew(decode(codec, &body)?).await.map_err(CallError::Failed)?,
                ),
                "Self" => {
                    let (renewals, failure) = renew::history();
                    let pid = std::process::id();
                    encode(codec, &Myself { pid, renewals, failure })
                }
                "Reload" => encode(
                    codec,
                    &self.reload(decode(codec, &body)?).await.map_err(CallError::Failed)?,
                ),
                "Upgrade" => encode(
                    codec,
                    &self.upgrade(decode(codec, &body)?).await.map_err(CallError::Failed)?,
                ),
                _ => Err(CallError::NoMethod),
            }
        })
    }
}

async fn look(member: &Member, past: &Past) -> Seen {
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

fn age(since: SystemTime) -> Option<u64> {
    since.elapsed().ok().map(|age| age.as_secs())
}

/// Memory of a process; the kernel adds it up while it is asked, so not on this thread.
async fn memory_of(pid: u32) -> Option<Memory> {
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
