//! Where RPC calls come in, and the tasks that accept them.

use super::{
    Plugin,
    calls::{self, Scope},
    slot::Slot,
};
use crate::{control::Door, listen::Listener, rpc::Quiet};
use std::{io, time::Duration};
use tokio::{
    net::{TcpListener, UnixListener},
    runtime::Handle,
    time::sleep,
};
use tokio_stream::StreamExt;

/// The one entrance of a plugin.
#[derive(Debug)]
pub(super) enum Entrance {
    /// The supervisor's: it passes on what its clients call.
    Supervisor(Door),
    /// `rpc.listen`, of a plugin that runs alone.
    Own(Listener),
    /// None is configured.
    None,
}

impl Entrance {
    /// Accepts on that runtime, as long as it lives.
    pub(super) fn open<P: Plugin>(self, runtime: &Handle, slot: Slot<P>) {
        runtime.spawn(async move {
            let accepted = match self {
                Self::Supervisor(door) => routed(door, slot).await,
                Self::Own(Listener::Tcp(listener)) => tcp(listener, slot).await,
                Self::Own(Listener::Unix(listener)) => unix(listener, slot).await,
                Self::None => Ok(()),
            };
            if let Err(error) = accepted {
                tracing::error!(target: "rpc", %error, "the RPC socket is closed");
            }
        });
    }
}

async fn routed<P: Plugin>(door: Door, slot: Slot<P>) -> io::Result<()> {
    let mut connections = door.connections()?;
    while let Some(stream) = connections.next().await {
        tokio::spawn(calls::serve(slot.clone(), Scope::Routed, Quiet::unix(stream?)?));
    }
    Ok(())
}

async fn tcp<P: Plugin>(listener: std::net::TcpListener, slot: Slot<P>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(calls::serve(slot.clone(), Scope::Alone, Quiet::tcp(stream)?));
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn unix<P: Plugin>(listener: std::os::unix::net::UnixListener, slot: Slot<P>) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(calls::serve(
                slot.clone(),
                Scope::Alone,
                Quiet::unix(stream)?,
            ))),
            Err(error) => pause(&error).await,
        }
    }
}

/// A failed accept is most likely a lack of descriptors, which passes.
async fn pause(error: &io::Error) {
    tracing::warn!(target: "rpc", %error, "accepting an RPC connection failed");
    sleep(Duration::from_millis(100)).await;
}
