//! `run()`: what every plugin's `main` calls, and the phases of a plugin's life.
//!
//! Under a supervisor (environment `RR_CONTROL`) the configuration comes over the control contract and so does the
//! stop; when the supervisor is gone the plugin serves on for `supervisor.adopt_timeout` ([`held`] keeps what the next one needs),
//! then drains and exits. Alone it loads the configuration itself and a signal stops it. In between both are the same: [`life`].
//!
//! The main thread's runtime starts processes and serves the control socket; requests run on the [`frames`] threads.

mod alone;
mod calls;
mod doors;
mod frames;
mod held;
mod lease;
mod life;
mod manager;
mod page;
mod pause;
mod service;
mod slot;
pub mod snapshot;
mod supervised;
mod told;

use crate::{
    COMPATIBLE_VERSION,
    config::Config,
    descriptors,
    listen::{self, Listeners},
    pool::Pool,
    rpc::{CallError, Codec},
    telemetry::stderr,
};
use bytes::Bytes;
pub use pause::PauseError;
use serde::de::DeserializeOwned;
use std::{
    fs::File,
    future::Future,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
    time::Instant,
};
use tokio::runtime::Handle;

/// What a plugin is given at its start.
#[derive(Debug)]
pub struct Context {
    /// The whole configuration.
    pub config: Arc<Config>,
    /// The plugin's own section as it is written, for a plugin whose section is none of the known ones; null without one.
    pub section: serde_json::Value,
    /// The listening sockets that were handed over.
    pub listeners: Listeners,
    /// The runtimes that move frames and connections: one current-thread runtime a thread, at least one. The main
    /// thread's own runtime, on which `start` runs, spawns processes and serves the control socket.
    pub runtimes: Vec<Handle>,
    /// A file in memory that the supervisor keeps for this plugin and gives to each of its processes: what is written there
    /// outlives a crash. Only for plugins that keep state there; never alone.
    pub state: Option<File>,
    /// What the process before this one has handed over ([`Plugin::pause`]); none after a death, or at the first start.
    pub handover: Option<File>,
}

impl Context {
    /// The plugin's own section in a type of its own. Without a section it is the type's default.
    ///
    /// # Errors
    /// It does not fit.
    pub fn own_section<T: DeserializeOwned + Default>(&self) -> Result<T, StartError> {
        match &self.section {
            serde_json::Value::Null => Ok(T::default()),
            section => T::deserialize(section).map_err(|error| StartError(format!("its section: {error}"))),
        }
    }
}

/// Why a plugin cannot start, in one readable text of one or more lines.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// A plugin: what the shared runtime asks of it.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// Its name, which is also its section's.
    const NAME: &'static str;

    /// Its own version, as `rr plugins` shows it.
    const VERSION: &'static str = COMPATIBLE_VERSION;

    /// Whether a call that waits is dropped when its caller hangs up. Most calls change something and are carried out to
    /// their end.
    const WAITS_FOR_CALLERS: bool = false;

    /// Whether it keeps something for others in its process, which [`Plugin::pause`] hands over to the next one. Any other plugin's next
    /// process serves beside the present one for a while.
    const PAUSES: bool = false;

    /// Number of frame runtimes that it wants.
    fn threads(_config: &Config) -> usize {
        1
    }

    /// Brings everything up; when it returns the plugin is ready.
    fn start(context: Context) -> impl Future<Output = Result<Self, StartError>> + Send;

    /// The pools whose workers are listed, reset, added and removed, by name; most plugins have one, under their own name.
    fn pools(&self) -> Vec<(&str, &Pool)>;

    /// Comes before [`Plugin::drain`] when another process of this plugin serves on the same sockets: there is no hurry then.
    fn replaced(&self) {}

    /// A pause begins: a call that only waits shall end with [`CallError::Again`], whose argument says how much of the wait is left.
    fn pausing(&self) {}

    /// No call runs. Writes what lives only in this process into the file, as a [`snapshot`], and lets go of what two processes must
    /// not have; then nothing is changed any more.
    fn pause(
        &mut self,
        _handover: Option<File>,
        _deadline: Instant,
    ) -> impl Future<Output = Result<(), PauseError>> + Send {
        async { Ok(()) }
    }

    /// The pause has been for nothing, or failed on the way: goes on as before it.
    fn resume(&mut self) -> impl Future<Output = Result<(), PauseError>> + Send {
        async { Ok(()) }
    }

    /// Stops taking work, and returns when what runs has finished, or at the deadline.
    fn drain(&self, deadline: Instant) -> impl Future<Output = ()> + Send;

    /// Stops the workers and lets go of everything else.
    fn stop(self, deadline: Instant) -> impl Future<Output = ()> + Send;

    /// Answers one RPC method (the part after the plugin's prefix). Runs on the first frame runtime; polled in the order of
    /// arrival, so that calls start in order, and may take as long as it needs.
    fn call(
        &self,
        _method: &str,
        _codec: Codec,
        _body: Bytes,
    ) -> impl Future<Output = Result<Bytes, CallError>> + Send {
        async { Err(CallError::NoMethod) }
    }

    /// Why it cannot do any work at present (a server that it needs is gone), for `/health`; the runtime looks at the pools.
    fn unhealthy(&self) -> Option<String> {
        None
    }

    /// The plugin's own metrics in Prometheus' text form; those of its pools are added by the runtime.
    fn metrics(&self) -> String {
        String::new()
    }
}

/// Runs a plugin to its end: under a supervisor (environment `RR_CONTROL`) or alone (`--config`).
pub fn run<P: Plugin>() -> ExitCode {
    // First of all, while there is one thread: what was inherited leaves the environment, so that no worker sees it.
    let inherited = listen::inherit();
    descriptors::raise();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(P::NAME, &error.to_string()),
    };
    let ended = match &inherited.control {
        Some(_) => runtime.block_on(supervised::run::<P>(inherited)),
        None => alone::run::<P>(&runtime, inherited),
    };
    // Nothing that is left may hold up the end: what had to finish has been waited for.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(error) => complain(P::NAME, &error.0),
    }
}

/// The one readable text on stderr that a failed start leaves.
fn complain(plugin: &str, text: &str) -> ExitCode {
    let text = format!("rr-{plugin}: {text}\n");
    if io::stderr().write_all(text.as_bytes()).is_err() {
        // Read by a supervisor that is gone.
        let _ = stderr::write(text.as_bytes());
    }
    ExitCode::FAILURE
}
