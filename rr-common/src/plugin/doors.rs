//! Where RPC calls come in, and the tasks that accept them.

use super::{
    Plugin,
    calls::{self, Scope},
    slot::Slot,
};
use crate::{
    control::Door,
    rpc::{Port, Quiet},
};
use std::io;
use tokio::runtime::Handle;
use tokio_stream::StreamExt;

/// The one entrance of a plugin.
#[derive(Debug)]
pub(super) enum Entrance {
    /// The supervisor's: it passes on what its clients call.
    Supervisor(Door),
    /// `rpc.listen`, of a plugin that runs alone.
    Own(Port),
    /// None is configured.
    None,
}

impl Entrance {
    /// Accepts on that runtime, as long as it lives.
    pub(super) fn open<P: Plugin>(self, runtime: &Handle, slot: Slot<P>) {
        runtime.spawn(async move {
            let accepted = match self {
                Self::Supervisor(door) => routed(door, slot).await,
                Self::Own(port) => alone(port, slot).await,
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

async fn alone<P: Plugin>(port: Port, slot: Slot<P>) -> io::Result<()> {
    let port = port.open()?;
    loop {
        tokio::spawn(calls::serve(slot.clone(), Scope::Alone, port.accept().await));
    }
}
