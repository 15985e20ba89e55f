//! Questions to a plugin over the contract. Every one has a bound, and every failure is one readable line.

use super::{Reply, Resident, Worker};
use crate::fleet::{Member, State};
use rr_common::control::{
    MAX_MESSAGE,
    v1::{self, plugin_client::PluginClient},
};
use std::time::Duration;
use tonic::{Code, Response, Status, transport::Channel};

/// For what a plugin knows already.
pub(crate) const QUICK: Duration = Duration::from_secs(5);
/// For what takes the start of a worker. The plugin has its own, shorter bounds: `pool.allocate_timeout` above all.
pub(crate) const SLOW: Duration = Duration::from_secs(600);

/// Why a plugin did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// It has no process that could.
    #[error("the plugin {name} is {}", .state.text())]
    NotUp {
        /// Its name.
        name: String,
        /// What it does instead.
        state: State,
    },
    /// It has nothing of the kind.
    #[error("the plugin {0} does not know that question")]
    Unsupported(String),
    /// Its process has ended, or it is just starting or stopping.
    #[error("the plugin {name} is not there: {text}")]
    Away {
        /// Its name.
        name: String,
        /// What was seen.
        text: String,
    },
    /// It was asked, and time is up.
    #[error("the plugin {name} did not answer within {bound:?}")]
    Late {
        /// Its name.
        name: String,
        /// How long was waited.
        bound: Duration,
    },
    /// It tried.
    #[error("{0}")]
    Failed(String),
}

/// Asks a plugin.
pub(crate) async fn ask<T>(
    member: &Member,
    bound: Duration,
    question: impl AsyncFnOnce(PluginClient<Channel>) -> Result<Response<T>, Status>,
) -> Result<T, AskError> {
    let name = || member.name.clone();
    let channel = member.channel.clone().ok_or_else(|| AskError::NotUp {
        name: name(),
        state: member.state,
    })?;
    let client = PluginClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
    let answer = tokio::time::timeout(bound, question(client)).await;
    let answer = answer.map_err(|_| AskError::Late { name: name(), bound })?;
    answer.map(Response::into_inner).map_err(|status| {
        let text = status.message().to_owned();
        match status.code() {
            Code::Unimplemented | Code::NotFound => AskError::Unsupported(name()),
            Code::Unavailable | Code::Unknown | Code::Cancelled => AskError::Away { name: name(), text },
            _ => AskError::Failed(text),
        }
    })
}

/// Gives what lives in the supervisor itself the same bound.
pub(crate) async fn within<T>(resident: &dyn Resident, bound: Duration, reply: Reply<'_, T>) -> Result<T, AskError> {
    let late = |_| AskError::Late {
        name: resident.name().to_owned(),
        bound,
    };
    let answer = tokio::time::timeout(bound, reply).await.map_err(late)?;
    answer.map_err(AskError::Failed)
}

/// Its workers.
pub(super) async fn workers(member: &Member) -> Result<Vec<Worker>, AskError> {
    let question = async |mut client: PluginClient<Channel>| client.workers(v1::WorkersRequest::default()).await;
    let answer = ask(member, QUICK, question).await?;
    Ok(answer.workers.into_iter().map(Worker::from).collect())
}

/// Its workers and what they work on, its pools, and the workers that are no more.
pub(super) async fn details(member: &Member) -> Result<v1::WorkersResponse, AskError> {
    let request = v1::WorkersRequest { details: true };
    let question = async |mut client: PluginClient<Channel>| client.workers(request).await;
    ask(member, QUICK, question).await
}

impl From<v1::WorkerInfo> for Worker {
    fn from(info: v1::WorkerInfo) -> Self {
        Self {
            pid: info.pid,
            status: info.status,
            execs: info.execs,
            created: info.created_ns,
            memory: info.memory_bytes,
            cpu: info.cpu_percent,
            command: String::new(),
            status_text: info.status_text,
            pool: info.pool,
            busy_ms: info.busy_ms,
            request: info.request,
        }
    }
}
