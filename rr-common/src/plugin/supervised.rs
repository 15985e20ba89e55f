//! A plugin's life under a supervisor, as the contract has it: register, read the configuration, start, say so, serve.

use super::{
    Plugin, StartError,
    doors::Entrance,
    life::{Begun, Life},
    service::Service,
    slot::Slot,
};
use crate::{
    COMPATIBLE_VERSION,
    config::Config,
    control::{
        Access, CONTRACT_VERSION, Door, Link, MAX_MESSAGE,
        v1::{RegisterRequest, WatchConfigResponse, plugin_server::PluginServer},
    },
    listen::{Inherited, Listeners},
    shutdown::{Signals, Stopper},
    telemetry,
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::Arc,
    time::Instant,
};
use tokio::time::sleep;
use tonic::{Streaming, transport::Server};

/// From registration to the end.
pub(super) async fn run<P: Plugin>(inherited: Inherited) -> Result<ExitCode, StartError> {
    let readable = |error: &dyn std::error::Error| StartError(error.to_string());
    let control = PathBuf::from(inherited.control.unwrap_or_default());
    let name = inherited.plugin.unwrap_or_else(|| P::NAME.to_owned());
    let dir = match inherited.control_dir {
        Some(dir) => PathBuf::from(dir),
        None => control.parent().unwrap_or(Path::new("")).to_owned(),
    };
    let socket = dir.join(format!("{name}.{}.sock", process::id()));

    let stopper = Arc::new(Stopper::default());
    let mut stop = stopper.listener();
    let slot = Slot::<P>::new(stopper.listener());
    let door = Door::open(&socket, Access::default()).map_err(|e| readable(&e))?;
    serve(door, slot.clone(), Arc::clone(&stopper)).map_err(|e| readable(&e))?;
    let calls_socket = dir.join(format!("{name}.{}.calls.sock", process::id()));
    let calls = Door::open(&calls_socket, Access::default()).map_err(|e| readable(&e))?;

    let registration = RegisterRequest {
        rpc_prefixes: vec![name.clone()],
        plugin: name,
        plugin_version: COMPATIBLE_VERSION.to_owned(),
        contract_version: CONTRACT_VERSION,
        pid: process::id(),
        socket: socket.display().to_string(),
        calls_socket: calls_socket.display().to_string(),
    };
    let mut link = Link::open(&control, registration).await.map_err(|e| readable(&e))?;
    let (config, changes) = link.watch_config().await.map_err(|e| readable(&e))?;
    let config: Arc<Config> = Arc::new(serde_json::from_slice(&config).map_err(|e| readable(&e))?);

    let _log = match inherited.log {
        Some(socket) => telemetry::log::init_on(&config.logs, P::NAME, socket),
        None => telemetry::log::init(&config.logs, P::NAME),
    }
    .map_err(|e| readable(&e))?;

    let grace = config.endure.grace_period.get();
    let signals = Signals::new().map_err(|e| readable(&e))?;
    tokio::spawn(signals.stop(Arc::clone(&stopper), grace));
    tokio::spawn(watch_supervisor(changes, Arc::clone(&config), Arc::clone(&stopper)));

    let listeners = Listeners::new(inherited.sockets);
    let state = inherited.state.map(File::from);
    let entrance = Entrance::Supervisor(calls);
    let code = match Life::<P>::begin(config, listeners, state, slot, stop.clone(), entrance).await {
        Ok(Begun::Stopped) => ExitCode::SUCCESS,
        Ok(Begun::Ready(life)) => {
            // A supervisor that is gone by now is `watch_supervisor`'s matter.
            let _ = link.started(None).await;
            let deadline = stop.begun().await;
            life.end(deadline).await;
            ExitCode::SUCCESS
        }
        Err(StartError(reason)) => {
            // The supervisor shows the reason; only when it is gone it is ours to show.
            if link.started(Some(reason.clone())).await.is_err() {
                return Err(StartError(reason));
            }
            ExitCode::FAILURE
        }
    };
    for path in [socket, calls_socket] {
        let _ = std::fs::remove_file(path);
    }
    Ok(code)
}

/// Serves the contract until the process ends.
fn serve<P: Plugin>(door: Door, slot: Slot<P>, stopper: Arc<Stopper>) -> io::Result<()> {
    let connections = door.connections()?;
    let service = PluginServer::new(Service::new(slot, stopper)).max_decoding_message_size(MAX_MESSAGE);
    tokio::spawn(async move {
        let served = Server::builder().serve_with_incoming(service, connections).await;
        if let Err(error) = served {
            tracing::error!(target: "control", %error, "the control socket is closed");
        }
    });
    Ok(())
}

/// Begins the stop when the supervisor is gone and nobody has taken its place for `supervisor.adopt_timeout`.
async fn watch_supervisor(mut changes: Streaming<WatchConfigResponse>, config: Arc<Config>, stopper: Arc<Stopper>) {
    // A changed configuration reaches a plugin as a new process, which reads it at its start; this one keeps its own.
    while let Ok(Some(_)) = changes.message().await {}
    let patience = config.supervisor.adopt_timeout.get();
    tracing::warn!(target: "control", "the supervisor is gone; serving on for {patience:?}");
    sleep(patience).await;
    stopper.begin(Instant::now() + config.endure.grace_period.get());
}
