//! Accepts connections: one loop for each listening socket on each thread, all on copies of the same socket.

use crate::{
    connection::{Connection, Peer},
    handle::App,
    io::Socket,
    serve::serve,
    watch::Watch,
};
use rr_common::listen;
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, UnixListener},
    runtime::Handle,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;

/// The pause after an error that will not go away by itself, as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// Such errors are logged this often.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// A listening socket on a runtime.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What an accept loop needs.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) app: Arc<App>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) tls: Option<TlsAcceptor>,
    /// Room for connections; further ones wait in the kernel's queue.
    pub(crate) room: Option<Arc<Semaphore>>,
}

impl Listener {
    /// Registers a socket with a runtime.
    pub(crate) fn new(listener: listen::Listener, runtime: &Handle) -> io::Result<Self> {
        let _entered = runtime.enter();
        Ok(match listener {
            listen::Listener::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            listen::Listener::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept().await?;
                // An answer is written whole; waiting for more to send would only delay it.
                socket.set_nodelay(true)?;
                Ok((Socket::Tcp(socket), Peer::Tcp(peer)))
            }
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((Socket::Unix(socket), Peer::Unix))
            }
        }
    }
}

impl Acceptor {
    /// Accepts for ever. Between taking a connection and starting its task there is no wait, so that aborting this loop
    /// loses none.
    pub(crate) async fn run(self, listener: Listener) {
        let mut logged: Option<Instant> = None;
        loop {
            let permit = match &self.room {
                Some(room) => room.clone().acquire_owned().await.ok(),
                None => None,
            };
            match listener.accept().await {
                Ok((socket, peer)) => {
                    let secure = self.tls.is_some();
                    let connection = Arc::new(Connection::new(self.app.clone(), self.watch.clone(), peer, secure));
                    let served = serve(connection, self.watch.clone(), socket, self.tls.clone());
                    tokio::spawn(async move {
                        served.await;
                        drop(permit);
                    });
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                        logged = Some(Instant::now());
                        tracing::error!(target: "http", %error, "cannot accept connections");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Errors of the connection that was to be accepted: the next one may be fine.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput, NotConnected};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | InvalidInput | NotConnected
    )
}
