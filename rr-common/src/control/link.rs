//! A plugin's link to its supervisor, and connections in general.

use super::{
    CONTRACT_VERSION, MAX_MESSAGE,
    v1::{
        FarewellRequest, RegisterRequest, StartedRequest, WatchConfigRequest, WatchConfigResponse,
        supervisor_client::SupervisorClient,
    },
};
use std::{path::Path, time::Duration};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

/// Longest wait for a connection or an answer of the supervisor, which does nothing slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a farewell may take, and how soon it is said again to a supervisor that is just becoming another program.
const FAREWELL: Duration = Duration::from_secs(2);
const SAID_AGAIN: Duration = Duration::from_millis(50);

/// How long the configuration may take. The supervisor loses its patience before.
const HANDOVER: Duration = Duration::from_secs(3600);

/// A plugin's link to its supervisor.
#[derive(Clone, Debug)]
pub struct Link {
    client: SupervisorClient<Channel>,
    plugin: String,
}

/// Why the supervisor cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No connection.
    #[error("cannot reach the supervisor: {0}")]
    Connect(#[from] tonic::transport::Error),
    /// It refused us, or is gone.
    #[error("the supervisor refused {call}: {reason}")]
    Refused {
        /// The call.
        call: &'static str,
        /// The supervisor's reason.
        reason: String,
    },
    /// It speaks another version of the contract.
    #[error("the supervisor speaks version {theirs} of the control contract, this program version {CONTRACT_VERSION}")]
    Version {
        /// The supervisor's version.
        theirs: u32,
    },
    /// Its configuration cannot be read by this build.
    #[error("the supervisor's configuration cannot be read: {0}")]
    Config(String),
}

/// Connects to a control socket.
///
/// # Errors
/// Nobody listens there.
pub async fn connect(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("unix://{}", socket.display()))?
        .connect_timeout(PATIENCE)
        .connect()
        .await
}

impl Link {
    /// Connects and registers.
    ///
    /// # Errors
    /// No supervisor there, or it refuses this plugin.
    pub async fn open(socket: &Path, registration: RegisterRequest) -> Result<Self, LinkError> {
        let channel = connect(socket).await?;
        let mut client = SupervisorClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let plugin = registration.plugin.clone();
        let answer = client
            .register(within(registration))
            .await
            .map_err(refused("Register"))?
            .into_inner();
        if answer.contract_version != CONTRACT_VERSION {
            return Err(LinkError::Version {
                theirs: answer.contract_version,
            });
        }
        Ok(Self { client, plugin })
    }

    /// The stream of configurations and its first value. The stream's end means that the supervisor is gone.
    ///
    /// # Errors
    /// The supervisor is gone or refuses.
    pub async fn watch_config(&mut self) -> Result<(Vec<u8>, Streaming<WatchConfigResponse>), LinkError> {
        let plugin = self.plugin.clone();
        // No deadline on the request: the stream lives as long as both of us. The first value has one, a long one: it comes when
        // the process before this one has handed over.
        let mut stream = self
            .client
            .watch_config(WatchConfigRequest { plugin })
            .await
            .map_err(refused("WatchConfig"))?
            .into_inner();
        let first = tokio::time::timeout(HANDOVER, stream.message())
            .await
            .map_err(|_| LinkError::Config("it does not come".into()))?
            .map_err(refused("WatchConfig"))?
            .ok_or_else(|| LinkError::Config("the stream ended".into()))?;
        Ok((first.config, stream))
    }

    /// Says that the start is over: ready, or the reason why not.
    ///
    /// # Errors
    /// The supervisor is gone or refuses.
    pub async fn started(&mut self, error: Option<String>) -> Result<(), LinkError> {
        let plugin = self.plugin.clone();
        let error = error.unwrap_or_default();
        self.client
            .started(within(StartedRequest { plugin, error }))
            .await
            .map_err(refused("Started"))?;
        Ok(())
    }
}

/// Says what a plugin has counted that another process has replaced. Its end does not wait long for that.
///
/// # Errors
/// The supervisor is gone or refuses.
pub async fn farewell(control: &Path, metrics: String) -> Result<(), LinkError> {
    let say = async || {
        let channel = connect(control)
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut client = SupervisorClient::new(channel).max_encoding_message_size(MAX_MESSAGE);
        let mut request = tonic::Request::new(FarewellRequest {
            metrics: metrics.clone(),
        });
        request.set_timeout(FAREWELL / 2);
        client.farewell(request).await
    };
    // What was noted already is noted once more. What was refused would be again.
    let said = async {
        loop {
            match say().await {
                Ok(_) => return Ok(()),
                Err(status) if is_away(&status) => tokio::time::sleep(SAID_AGAIN).await,
                Err(status) => return Err(refused("Farewell")(status)),
            }
        }
    };
    let late = |_| LinkError::Refused {
        call: "Farewell",
        reason: "it does not answer".into(),
    };
    tokio::time::timeout(FAREWELL, said).await.map_err(late)?
}

/// Whether nobody was there, or has answered.
fn is_away(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded
    )
}

fn within<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

fn refused(call: &'static str) -> impl Fn(Status) -> LinkError {
    move |status| LinkError::Refused {
        call,
        reason: match status.code() {
            Code::Unavailable | Code::Unknown => format!("it is gone ({})", status.message()),
            _ => status.message().to_owned(),
        },
    }
}
