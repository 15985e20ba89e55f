//! `supervisor.*`: every process of the server with its version, age, restarts, memory, workers and health (`Plugins`), the same
//! with each worker (`Top`), why one is no more (`Why`), a new process for one of them (`Upgrade`), and a changed configuration for
//! all (`Reload`). What is told of a process is in [`process`](super::process).

use super::{
    Residents,
    ask::{self, QUICK},
    process::{Process, Seen, age, look, memory_of},
    why::{self, Why},
};
use crate::{
    control::Question,
    fleet::{Roster, RosterWatch, State},
    gateway::{Answer, Local},
    reload,
    renew::{self, Wish},
};
use bytes::Bytes;
use rr_common::{
    COMPATIBLE_VERSION,
    rpc::{CallError, Codec, decode, encode},
    telemetry::metrics::Usage,
};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

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
