//! `informer.*`: which plugins have workers, which workers those are, one more, one less.

use super::{
    Residents, Worker,
    ask::{self, AskError, QUICK, SLOW},
};
use crate::{
    fleet::{Member, Roster, RosterWatch},
    gateway::{Answer, Local},
    messages::jobs::{Empty, Stat, Stats},
};
use bytes::Bytes;
use rr_common::{
    control::v1,
    rpc::{CallError, Codec, decode, encode},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// The bundled plugins that have a pool. Another one counts when it has workers.
const WITH_POOL: [&str; 6] = ["http", "grpc", "tcp", "centrifuge", "jobs", "temporal"];

type Client = v1::plugin_client::PluginClient<Channel>;

/// The service.
#[derive(Debug)]
pub(crate) struct Informer {
    roster: RosterWatch,
    residents: Residents,
}

/// The answer of `informer.Workers`; without workers it is null.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct WorkerList {
    /// Its workers.
    pub workers: Option<Vec<Worker>>,
}

/// One pipeline, with the names of Go's fields, which the reference shows.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Pipeline {
    /// Its name.
    pub pipeline: String,
    /// Its driver.
    pub driver: String,
    /// Its queue at the driver.
    pub queue: String,
    /// Jobs that wait or run.
    pub active: i64,
    /// Jobs whose time has not come.
    pub delayed: i64,
    /// Jobs that are taken and not acknowledged.
    pub reserved: i64,
    /// Not paused.
    pub ready: bool,
    /// Its jobs' priority.
    pub priority: u64,
    /// Why its state is not known.
    pub error_message: String,
}

impl Informer {
    /// For these plugins.
    pub(crate) fn new(roster: RosterWatch, residents: Residents) -> Self {
        Self { roster, residents }
    }

    async fn workers(&self, plugin: &str) -> Result<WorkerList, CallError> {
        if let Some(resident) = self.residents.find(plugin) {
            let workers = ask::within(&*resident, QUICK, resident.workers()).await;
            let workers = workers.map_err(|error| CallError::failed(error.to_string()))?;
            return Ok(WorkerList { workers: Some(workers) });
        }
        let roster = Arc::clone(&self.roster.borrow());
        let Some(member) = roster.get(plugin) else {
            return Ok(WorkerList::default());
        };
        match ask::workers(member).await {
            Ok(workers) => Ok(WorkerList {
                workers: Some(workers).filter(|workers| !workers.is_empty()),
            }),
            Err(AskError::Unsupported(_)) => Ok(WorkerList::default()),
            Err(error) => Err(CallError::failed(error.to_string())),
        }
    }

    /// The pipelines of `jobs`; null for any other plugin.
    async fn jobs(&self, plugin: &str) -> Result<Option<Vec<Pipeline>>, CallError> {
        let roster = Arc::clone(&self.roster.borrow());
        let Some(member) = roster.get(plugin).filter(|_| plugin == "jobs") else {
            return Ok(None);
        };
        let request = v1::CallRequest {
            method: "Stat".into(),
            codec: Codec::Proto.flag().into(),
            body: prost::Message::encode_to_vec(&Empty {}),
        };
        let answer = ask::ask(member, QUICK, async |mut client: Client| client.call(request).await).await;
        let body = answer.map_err(|error| CallError::failed(error.to_string()))?.body;
        let stats =
            <Stats as prost::Message>::decode(&body[..]).map_err(|error| CallError::failed(error.to_string()))?;
        Ok(Some(stats.stats.into_iter().map(Pipeline::from).collect()))
    }

    async fn add_worker(&self, plugin: &str) -> Result<(), CallError> {
        let roster = Arc::clone(&self.roster.borrow());
        let member = managed(&roster, plugin)?;
        let question = async |mut client: Client| client.add_worker(v1::AddWorkerRequest::default()).await;
        let answer = ask::ask(member, SLOW, question).await;
        answer.map(drop).map_err(|error| unmanaged(plugin, error))
    }

    async fn remove_worker(&self, plugin: &str) -> Result<(), CallError> {
        let roster = Arc::clone(&self.roster.borrow());
        let member = managed(&roster, plugin)?;
        let question = async |mut client: Client| client.remove_worker(v1::RemoveWorkerRequest::default()).await;
        let answer = ask::ask(member, SLOW, question).await;
        answer.map(drop).map_err(|error| unmanaged(plugin, error))
    }
}

impl Local for Informer {
    fn prefix(&self) -> &'static str {
        "informer"
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, body: Bytes) -> Answer<'a> {
        Box::pin(async move {
            match method {
                "List" => {
                    let roster = Arc::clone(&self.roster.borrow());
                    encode(codec, &with_workers(&roster, &self.residents).await)
                }
                "Workers" => encode(codec, &self.workers(&decode::<String>(codec, &body)?).await?),
                "Jobs" => encode(codec, &self.jobs(&decode::<String>(codec, &body)?).await?),
                "AddWorker" => {
                    self.add_worker(&decode::<String>(codec, &body)?).await?;
                    encode(codec, &false)
                }
                "RemoveWorker" => {
                    self.remove_worker(&decode::<String>(codec, &body)?).await?;
                    encode(codec, &false)
                }
                _ => Err(CallError::NoMethod),
            }
        })
    }
}

/// The plugins that have workers, those with a pool first.
pub(super) async fn with_workers(roster: &Roster, residents: &Residents) -> Vec<String> {
    let mut names = Vec::new();
    let mut doubtful = JoinSet::new();
    for member in &roster.members {
        if WITH_POOL.contains(&member.name.as_str()) {
            names.push(member.name.clone());
        } else if member.channel.is_some() {
            let member = member.clone();
            doubtful.spawn(async move {
                let workers = ask::workers(&member).await;
                workers.is_ok_and(|workers| !workers.is_empty()).then_some(member.name)
            });
        }
    }
    let mut others: Vec<String> = doubtful.join_all().await.into_iter().flatten().collect();
    others.sort_unstable();
    names.extend(others);
    names.extend(residents.all().iter().map(|resident| resident.name().to_owned()));
    names
}

fn managed<'a>(roster: &'a Roster, plugin: &str) -> Result<&'a Member, CallError> {
    roster.get(plugin).ok_or_else(|| unsupported(plugin))
}

fn unmanaged(plugin: &str, error: AskError) -> CallError {
    match error {
        AskError::Unsupported(_) => unsupported(plugin),
        other => CallError::failed(other.to_string()),
    }
}

/// The reference's text.
fn unsupported(plugin: &str) -> CallError {
    CallError::failed(format!("plugin {plugin} does not support workers management"))
}

impl From<Stat> for Pipeline {
    fn from(stat: Stat) -> Self {
        Self {
            pipeline: stat.pipeline,
            driver: stat.driver,
            queue: stat.queue,
            active: stat.active,
            delayed: stat.delayed,
            reserved: stat.reserved,
            ready: stat.ready,
            priority: stat.priority,
            error_message: String::new(),
        }
    }
}
