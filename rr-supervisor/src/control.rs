//! Our side of the contract: every call of a plugin becomes a question to the supervisor's loop, which owns all state.

use crate::{
    calls::Calls,
    fleet::{Handover, Told},
    reload,
    renew::Wish,
};
use nix::unistd::{Pid, getpgid};
use rr_common::{
    COMPATIBLE_VERSION,
    control::{
        CONTRACT_VERSION, Door, MAX_MESSAGE,
        v1::{self, plugin_client::PluginClient, supervisor_server},
    },
    telemetry::metrics::Families,
};
use std::{io, path::PathBuf, time::Duration};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, async_trait,
    transport::{Channel, Server, server::UdsConnectInfo},
};

/// The stream of configurations to one plugin.
pub(crate) type ConfigStream = mpsc::Sender<Result<v1::WatchConfigResponse, Status>>;

/// A question of a plugin, with the way for the answer.
#[derive(Debug)]
pub(crate) enum Question {
    /// It registers.
    Register {
        /// The process group that the kernel tells for the caller: its leader is the process that was started as the plugin, by us or
        /// by a service manager.
        group: Pid,
        /// What it says.
        registration: v1::RegisterRequest,
        /// Accepted, or why not.
        answer: oneshot::Sender<Result<(), Status>>,
    },
    /// It wants its configuration.
    WatchConfig {
        /// As above.
        group: Pid,
        /// The stream's writing end; it is dropped when the plugin is none of ours.
        stream: ConfigStream,
    },
    /// Its start is over.
    Started {
        /// As above.
        group: Pid,
        /// Why it cannot start; empty when it is ready.
        error: String,
    },
    /// It ends, and another process of it serves.
    Farewell {
        /// As above.
        group: Pid,
        /// What it has counted.
        metrics: Families,
        /// It is noted.
        noted: oneshot::Sender<()>,
    },
    /// The RPC port's: somebody calls a plugin that is started by its first call.
    Wake {
        /// Its name.
        plugin: String,
    },
    /// An operator's: replace a plugin's process by a new one, of another program if one is named.
    Upgrade {
        /// The plugin.
        plugin: String,
        /// The program to be used from now on.
        binary: Option<PathBuf>,
        /// How it went.
        told: Told,
    },
    /// An operator's: replace the supervisor's own program.
    Renew(Wish),
    /// An operator's: what the configuration says now shall be so.
    Reload {
        /// Only tell what would be done.
        dry_run: bool,
        /// How it went.
        told: oneshot::Sender<reload::Outcome>,
    },
    /// Our own: a plugin's process that is no child of ours has ended.
    Left {
        /// The process.
        pid: Pid,
    },
    /// Our own: what became of a pause.
    Handover(Handover),
    /// Our own: a plugin did not hear that it shall stop.
    Unheard {
        /// Its process.
        pid: Pid,
    },
}

/// Serves the contract.
#[derive(Debug)]
struct Service {
    questions: mpsc::Sender<Question>,
    calls: Calls,
}

/// Serves the contract until the process ends.
///
/// # Errors
/// The runtime cannot watch the socket.
pub(crate) fn serve(door: Door, questions: mpsc::Sender<Question>, calls: Calls) -> io::Result<()> {
    let connections = door.connections()?;
    let service = supervisor_server::SupervisorServer::new(Service { questions, calls })
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    tokio::spawn(async move {
        let served = Server::builder().serve_with_incoming(service, connections).await;
        if let Err(error) = served {
            tracing::error!(target: "supervisor", %error, "the control socket is closed");
        }
    });
    Ok(())
}

impl Service {
    async fn ask(&self, question: Question) -> Result<(), Status> {
        self.questions
            .send(question)
            .await
            .map_err(|_| Status::unavailable("the supervisor is ending"))
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl supervisor_server::Supervisor for Service {
    type WatchConfigStream = ReceiverStream<Result<v1::WatchConfigResponse, Status>>;

    async fn register(&self, request: Request<v1::RegisterRequest>) -> Answer<v1::RegisterResponse> {
        let group = caller(&request)?;
        let registration = request.into_inner();
        let (answer, accepted) = oneshot::channel();
        self.ask(Question::Register {
            group,
            registration,
            answer,
        })
        .await?;
        accepted
            .await
            .map_err(|_| Status::unavailable("the supervisor is ending"))??;
        Ok(Response::new(v1::RegisterResponse {
            server_version: COMPATIBLE_VERSION.to_owned(),
            contract_version: CONTRACT_VERSION,
        }))
    }

    async fn watch_config(&self, request: Request<v1::WatchConfigRequest>) -> Answer<Self::WatchConfigStream> {
        let group = caller(&request)?;
        let (stream, configs) = mpsc::channel(1);
        self.ask(Question::WatchConfig { group, stream }).await?;
        Ok(Response::new(ReceiverStream::new(configs)))
    }

    async fn started(&self, request: Request<v1::StartedRequest>) -> Answer<v1::StartedResponse> {
        let group = caller(&request)?;
        let error = request.into_inner().error;
        self.ask(Question::Started { group, error }).await?;
        Ok(Response::new(v1::StartedResponse {}))
    }

    async fn farewell(&self, request: Request<v1::FarewellRequest>) -> Answer<v1::FarewellResponse> {
        let group = caller(&request)?;
        let metrics = Families::parse(&request.get_ref().metrics);
        let metrics = metrics.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (noted, answer) = oneshot::channel();
        self.ask(Question::Farewell { group, metrics, noted }).await?;
        let stranger = |_| Status::permission_denied("it is no plugin of this supervisor");
        answer.await.map_err(stranger)?;
        Ok(Response::new(v1::FarewellResponse {}))
    }

    async fn call(&self, request: Request<v1::CallRequest>) -> Answer<v1::CallResponse> {
        // Whoever may open this socket may open the RPC socket beside it: there is nothing more to ask.
        self.calls.call(request.into_inner()).await.map(Response::new)
    }
}

/// The process group of the caller, as the kernel knows it.
fn caller<T>(request: &Request<T>) -> Result<Pid, Status> {
    let stranger = || Status::permission_denied("the kernel does not tell who is calling");
    let info = request.extensions().get::<UdsConnectInfo>().ok_or_else(stranger)?;
    let pid = info.peer_cred.and_then(|peer| peer.pid()).ok_or_else(stranger)?;
    getpgid(Some(Pid::from_raw(pid))).map_err(|_| stranger())
}

/// Asks a plugin to stop within that time; false when it did not hear.
pub(crate) async fn ask_stop(channel: Channel, within: Duration, replaced: bool) -> bool {
    let mut request = Request::new(v1::StopRequest {
        replaced,
        deadline_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
    });
    request.set_timeout(Duration::from_secs(1));
    PluginClient::new(channel).stop(request).await.is_ok()
}
