//! One connection, by mode.
//!
//! To one server (or the master that the sentinels name) we dial ourselves: so we know at once when the connection has
//! died, and a broken one is never used for a command that must not run twice. A cluster's connections, its slots and its
//! redirections are the business of the `redis` crate's cluster client.

use crate::{
    address::Address,
    lanes::Link,
    sentinel,
    settings::{Mode, Reads, Settings, SetupError},
};
use redis::{
    AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_read_routing::{RandomReplicaStrategy, ReadCandidates, ReadRoutingStrategy},
    io::tcp::TcpSettings,
};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

/// A peer that vanished while nothing was sent is noticed after about this long.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// An open connection; its copies share it.
#[derive(Clone)]
pub(crate) enum Wire {
    /// To one server, and the task that moves its bytes.
    Server(MultiplexedConnection, Arc<Driver>),
    /// To the nodes of a cluster.
    Cluster(ClusterConnection),
}

/// The task behind a connection; it ends when the connection does.
pub(crate) struct Driver(tokio::task::JoinHandle<()>);

/// What connections are opened from.
pub(crate) enum Opener {
    Server(RedisConnectionInfo),
    Sentinel(String),
    Cluster(Box<ClusterClient>),
}

/// Reads that take any node: all of a shard's in turn.
#[derive(Default)]
struct InTurn(AtomicUsize);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link for Wire {
    fn alive(&self) -> bool {
        match self {
            Self::Server(_, driver) => !driver.0.is_finished(),
            // It connects anew by itself.
            Self::Cluster(_) => true,
        }
    }
}

impl Wire {
    /// Sends a command and waits for its answer, for `read_timeout` at most.
    pub(crate) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Server(connection, _) => connection.req_packed_command(command).await,
            Self::Cluster(connection) => connection.req_packed_command(command).await,
        }
    }
}

impl Opener {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SetupError> {
        Ok(match &settings.mode {
            Mode::Single => Self::Server(settings.login.clone()),
            Mode::Sentinel(master) => Self::Sentinel(master.clone()),
            Mode::Cluster(reads) => Self::Cluster(Box::new(cluster(settings, *reads)?)),
        })
    }

    /// Opens a connection; the caller bounds the time.
    pub(crate) async fn open(&self, settings: &Settings) -> RedisResult<Wire> {
        match self {
            Self::Server(login) => server(settings, &settings.addresses[0], login).await,
            Self::Sentinel(master) => sentinel::master(settings, master).await,
            Self::Cluster(client) => client.get_async_connection().await.map(Wire::Cluster),
        }
    }
}

/// Connects to one server and logs in.
pub(crate) async fn server(settings: &Settings, address: &Address, login: &RedisConnectionInfo) -> RedisResult<Wire> {
    let stream = dial(settings, address).await?;
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(Some(settings.read_timeout))
        .set_connection_timeout(Some(settings.dial_timeout));
    let (connection, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
    Ok(Wire::Server(connection, Arc::new(Driver(tokio::spawn(driver)))))
}

async fn dial(settings: &Settings, address: &Address) -> io::Result<Box<dyn Stream>> {
    let (host, port) = match address {
        Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        Address::Tcp(host, port) => (host.as_str(), *port),
    };
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive())?;
    // What was written must be taken within this time, or the connection is dead.
    socket.set_tcp_user_timeout(Some(settings.write_timeout))?;
    let Some(tls) = &settings.tls else {
        return Ok(Box::new(stream));
    };
    let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    Ok(Box::new(connector.connect(name, stream).await?))
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4)
}

fn cluster(settings: &Settings, reads: Reads) -> Result<ClusterClient, SetupError> {
    let refused = |error: RedisError| SetupError::Cluster(error.to_string());
    let nodes = settings
        .addresses
        .iter()
        .map(|address| address.for_cluster(settings.tls.is_some()));
    let wait = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive())
        .set_user_timeout(settings.write_timeout);
    let mut builder = ClusterClientBuilder::new(nodes)
        .connection_timeout(settings.dial_timeout)
        .response_timeout(settings.read_timeout)
        .overall_response_timeout(Some(settings.bound()))
        .retries(settings.retries)
        .min_retry_wait(wait(settings.min_backoff))
        .max_retry_wait(wait(settings.max_backoff))
        .tcp_settings(tcp);
    if let Some(user) = settings.login.username() {
        builder = builder.username(user);
    }
    if let Some(password) = settings.login.password() {
        builder = builder.password(password);
    }
    if let Some(tls) = &settings.tls {
        builder = builder.certs(tls.certificates.clone());
    }
    builder = match reads {
        Reads::Masters => builder,
        Reads::Replicas => builder.read_routing_strategy(RandomReplicaStrategy),
        Reads::AnyNode => builder.read_routing_strategy(InTurn::default()),
    };
    builder.build().map_err(refused)
}

impl ReadRoutingStrategy for InTurn {
    fn route_read<'a>(&self, candidates: &ReadCandidates<'a>) -> &'a redis::cluster::NodeAddress {
        let turn = self.0.fetch_add(1, Ordering::Relaxed);
        match candidates {
            ReadCandidates::ReplicasOnly(nodes) => {
                let replicas = nodes.replicas();
                replicas.get(turn % replicas.len()).unwrap_or(replicas.first())
            }
            ReadCandidates::AnyNode(nodes) => {
                let replicas = nodes.replicas();
                // One turn in so many is the master's.
                replicas
                    .get(turn % (replicas.len().get() + 1))
                    .unwrap_or(nodes.primary())
            }
        }
    }
}
