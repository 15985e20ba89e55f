//! A plugin's life under a supervisor, as the contract has it: register, read the configuration, start, say so, serve.
//!
//! It makes no difference who has started this process. Under *attached* plugins it was a service manager: then the supervisor finds
//! it by its registration, and the sockets are the service manager's. When the supervisor is gone we try to register with the next one
//! at the same place, which may have fetched what we hold ([`super::held`]) before.

use super::{
    Plugin, StartError,
    doors::Entrance,
    held::{Coming, Holding},
    life::{Begun, Left, Life},
    manager::Manager,
    service::Service,
    slot::Slot,
};
use crate::{
    config::Config,
    control::{
        Access, CONTRACT_VERSION, Door, Link, MAX_MESSAGE, farewell,
        v1::{Held, RegisterRequest, WatchConfigResponse, plugin_server::PluginServer},
    },
    listen::{Inherited, Listeners},
    pool,
    shutdown::{Signals, Stopper},
    telemetry,
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::sleep};
use tonic::{Streaming, transport::Server};

/// A supervisor that is away for so long is told to be gone.
const MOMENT: Duration = Duration::from_millis(200);

/// The wait between two looks for the next supervisor.
const RETRY: Duration = Duration::from_millis(20);

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

    if let Some(users) = inherited.stderr {
        telemetry::stderr::hand_on(users);
    }
    if let Some(watch) = inherited.watch {
        pool::gate::install(watch);
    }
    if inherited.repair {
        pool::repair::wait();
    }
    let stopper = Arc::new(Stopper::default());
    let mut stop = stopper.listener();
    let slot = Slot::<P>::new(stopper.listener());
    let door = Door::open(&socket, Access::default()).map_err(|e| readable(&e))?;
    let handover = inherited.handover.map(File::from);
    let service = Service::new(
        slot.clone(),
        Arc::clone(&stopper),
        copy(handover.as_ref()).map_err(|e| readable(&e))?,
    );
    serve(door, service).map_err(|e| readable(&e))?;
    let calls_socket = dir.join(format!("{name}.{}.calls.sock", process::id()));
    let calls = Door::open(&calls_socket, Access::default()).map_err(|e| readable(&e))?;

    let mut registration = RegisterRequest {
        rpc_prefixes: vec![name.clone()],
        plugin: name.clone(),
        plugin_version: P::VERSION.to_owned(),
        program: P::NAME.to_owned(),
        contract_version: CONTRACT_VERSION,
        pid: process::id(),
        socket: socket.display().to_string(),
        calls_socket: calls_socket.display().to_string(),
        leases: true,
        ..RegisterRequest::default()
    };
    let mut link = Link::open(&control, registration.clone())
        .await
        .map_err(|e| readable(&e))?;
    let (json, changes) = link.watch_config().await.map_err(|e| readable(&e))?;
    let tree: serde_json::Value = serde_json::from_slice(&json).map_err(|e| readable(&e))?;
    let section = tree.get(&name).cloned().unwrap_or_default();
    let config: Arc<Config> = Arc::new(serde_json::from_value(tree).map_err(|e| readable(&e))?);
    let held = Held {
        plugin: registration.plugin.clone(),
        plugin_version: registration.plugin_version.clone(),
        contract_version: CONTRACT_VERSION,
        ..Held::default()
    };
    registration.config = json;

    let _log = match inherited.log {
        Some(socket) => telemetry::log::init_on(&config.logs, P::NAME, socket),
        None => telemetry::log::init(&config.logs, P::NAME),
    }
    .map_err(|e| readable(&e))?;

    let grace = config.endure.grace_period.get();
    let signals = Signals::new().map_err(|e| readable(&e))?;
    tokio::spawn(signals.stop(Arc::clone(&stopper), grace));
    let listeners = Listeners::new(inherited.sockets);
    let state = inherited.state.map(File::from);
    let started = watch::Sender::new(false);
    let coming = Arc::new(Coming::new(0));
    let supervisor = control.clone();
    let allegiance = Allegiance {
        control,
        registration,
        started: started.subscribe(),
        coming: coming.subscribe(),
        patience: config.supervisor.adopt_timeout.get(),
    };
    let stop_for_good = {
        let stopper = Arc::clone(&stopper);
        move || stopper.begin(Instant::now() + grace)
    };
    tokio::spawn(async move {
        allegiance.keep(changes).await;
        stop_for_good();
    });
    let held_socket = dir.join(format!("{}.{}.held.sock", held.plugin, process::id()));
    let door = Door::open(&held_socket, Access::default()).map_err(|e| readable(&e))?;
    let holding = Holding {
        held,
        listeners: listeners.clone(),
        state: copy(state.as_ref()).map_err(|e| readable(&e))?,
        handover: copy(handover.as_ref()).map_err(|e| readable(&e))?,
        started: started.subscribe(),
    };
    tokio::spawn(holding.offer(door, coming, stopper.listener()));

    // The supervisor empties the file when nothing is handed over.
    let full = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() > 0);
    let left = Left {
        state,
        handover: handover.filter(full),
    };
    let entrance = Entrance::Supervisor(calls);
    let code = match Life::<P>::begin((config, section), listeners, left, slot, stop.clone(), entrance).await {
        Ok(Begun::Stopped) => ExitCode::SUCCESS,
        Ok(Begun::Ready(life)) => {
            // A supervisor that is gone by now is told by the way of its successor.
            let _ = link.started(None).await;
            started.send_replace(true);
            let manager = Manager::ready(life.threads());
            let deadline = stop.begun().await;
            manager.stopping(deadline);
            let say = async |metrics| {
                if let Err(error) = farewell(&supervisor, metrics).await {
                    tracing::warn!(target: "control", %error, "what was counted last is lost");
                }
            };
            life.end(deadline, say).await;
            ExitCode::SUCCESS
        }
        Err(StartError(reason)) => {
            // The supervisor shows the reason; only when it is gone it is ours to show.
            if link.started(Some(reason.clone())).await.is_err() {
                telemetry::stderr::take_back();
                return Err(StartError(reason));
            }
            ExitCode::FAILURE
        }
    };
    for path in [socket, calls_socket, held_socket] {
        let _ = std::fs::remove_file(path);
    }
    Ok(code)
}

fn copy(file: Option<&File>) -> io::Result<Option<File>> {
    file.map(File::try_clone).transpose()
}

/// Serves the contract until the process ends.
fn serve<P: Plugin>(door: Door, service: Service<P>) -> io::Result<()> {
    let connections = door.connections()?;
    let service = PluginServer::new(service).max_decoding_message_size(MAX_MESSAGE);
    tokio::spawn(async move {
        let served = Server::builder().serve_with_incoming(service, connections).await;
        if let Err(error) = served {
            tracing::error!(target: "control", %error, "the control socket is closed");
        }
    });
    Ok(())
}

/// Whom this plugin belongs to.
struct Allegiance {
    /// Where the supervisor is, and its successor will be.
    control: PathBuf,
    /// What it is told.
    registration: RegisterRequest,
    started: watch::Receiver<bool>,
    /// How many supervisors are about to take us over.
    coming: watch::Receiver<usize>,
    /// `supervisor.adopt_timeout`.
    patience: Duration,
}

/// The next supervisor.
struct Successor {
    link: Link,
    changes: Streaming<WatchConfigResponse>,
    /// It was told that there was none: no mere change of the supervisor's program.
    missed: bool,
}

impl Allegiance {
    /// Follows one supervisor after the other; returns when one is gone and nobody has taken its place in time.
    async fn keep(mut self, mut changes: Streaming<WatchConfigResponse>) {
        let mut link: Option<Link> = None;
        loop {
            tokio::select! {
                // A changed configuration reaches a plugin as a new process, which reads it at its start; this one takes over how it logs.
                change = changes.message() => if let Ok(Some(change)) = change {
                    take_over(&change.config);
                    continue;
                },
                // The first supervisor is told by whoever sees to the start.
                () = ready(&mut self.started), if link.is_some() => {
                    if let Some(mut link) = link.take() {
                        let _ = link.started(None).await;
                    }
                    continue;
                }
            }
            let Some(Successor {
                link: next,
                changes: stream,
                missed,
            }) = self.find_successor().await
            else {
                return;
            };
            if missed {
                tracing::info!(target: "control", "another supervisor has taken the place of the one that is gone");
            }
            link = (!self.registration.started).then_some(next);
            changes = stream;
        }
    }

    /// Registers anew as soon as anybody accepts it.
    async fn find_successor(&mut self) -> Option<Successor> {
        let gone = Instant::now();
        let mut until = gone + self.patience;
        let mut is_told = false;
        loop {
            // Its descriptors may be closed a moment later.
            telemetry::stderr::take_back();
            self.registration.started = *self.started.borrow();
            if let Ok(mut link) = Link::open(&self.control, self.registration.clone()).await
                && let Ok((config, changes)) = link.watch_config().await
            {
                // It may have changed while nobody told us.
                take_over(&config);
                return Some(Successor {
                    link,
                    changes,
                    missed: is_told,
                });
            }
            let now = Instant::now();
            // One that becomes another program is back before that.
            if now - gone >= MOMENT && !std::mem::replace(&mut is_told, true) {
                let patience = self.patience;
                tracing::warn!(target: "control", "the supervisor is gone; serving on for {patience:?}");
            }
            if *self.coming.borrow() > 0 {
                until = now + self.patience;
            } else if now >= until {
                return None;
            }
            sleep(RETRY.min(until.saturating_duration_since(now))).await;
        }
    }
}

/// Takes over what may change in a process that runs: the section `logs`.
fn take_over(config: &[u8]) {
    let changed = serde_json::from_slice::<Config>(config).map_err(|error| error.to_string());
    let taken = changed.and_then(|changed| telemetry::log::reconfigure(&changed.logs).map_err(|e| e.to_string()));
    if let Err(error) = taken {
        tracing::error!(target: "control", error, "the changed configuration is not taken over");
    }
}

/// Waits until the plugin is ready; for ever, if it will not be.
async fn ready(started: &mut watch::Receiver<bool>) {
    if started.wait_for(|started| *started).await.is_err() {
        std::future::pending().await
    }
}
