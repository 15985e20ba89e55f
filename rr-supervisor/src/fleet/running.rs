//! A plugin's running process as the fleet knows it: how it is reached, what it has said of itself, how it is ended. How one is started
//! is in [`spawn`](super::spawn).

use super::Calls;
use crate::{
    control::ConfigStream,
    plugins::{foreign::Foreign, process},
};
use nix::{sys::signal::Signal, unistd::Pid};
use rr_common::{oom, telemetry::Tail};
use std::{
    os::unix::net::UnixStream,
    time::{Duration, SystemTime},
};
use tonic::transport::{Channel, Endpoint};

/// A plugin's running process.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    /// Its control socket, and the way there, from its registration on.
    pub(super) socket: String,
    pub(super) channel: Option<Channel>,
    /// First parts of the RPC methods that it answers.
    pub(super) prefixes: Vec<String>,
    /// Its own version, from its registration on.
    pub(super) version: String,
    /// Where it takes calls as frames, if it does.
    pub(super) calls: Option<Calls>,
    /// When it was started.
    pub(super) since: SystemTime,
    /// Kept open: its end tells the plugin that we are gone.
    pub(super) config: Option<ConfigStream>,
    /// Why it cannot start, in its own words.
    pub(super) refusal: Option<String>,
    /// It was ready before it registered with us: it comes from a supervisor that is gone.
    pub(super) returns: bool,
    /// A predecessor of ours has started it.
    pub(super) adopted: Option<Adopted>,
    /// The way to its end and to signals, if it is no child of ours.
    pub(super) foreign: Option<Foreign>,
    /// Its requests wait while changed files are dealt with.
    pub(super) waits: bool,
    /// The last of what it logged.
    pub(super) lines: Tail,
    /// Whether the kernel kills for want of memory where it runs.
    pub(super) oom: Option<oom::Watch>,
}

/// What there is to do about an adopted process.
#[derive(Debug)]
pub(super) struct Adopted {
    /// As long as this is open it waits for us to accept its registration.
    pub(super) connection: Option<UnixStream>,
    /// It runs with another configuration than ours.
    pub(super) outdated: bool,
}

impl Process {
    /// A process that has just been started.
    pub(super) fn new(pid: Pid) -> Self {
        Self {
            pid,
            socket: String::new(),
            channel: None,
            prefixes: Vec::new(),
            version: String::new(),
            calls: None,
            since: SystemTime::now(),
            config: None,
            refusal: None,
            returns: false,
            adopted: None,
            foreign: None,
            waits: false,
            lines: Tail::default(),
            oom: None,
        }
    }

    /// Takes down where its control socket is.
    ///
    /// # Errors
    /// That is no path.
    pub(super) fn listens_at(&mut self, socket: String) -> Result<(), tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("unix://{socket}"))?;
        // Connects when it is first needed.
        self.channel = Some(endpoint.connect_timeout(Duration::from_secs(1)).connect_lazy());
        self.socket = socket;
        // In the control group where it stays.
        self.oom = Some(oom::Watch::of(self.pid.as_raw().unsigned_abs()));
        Ok(())
    }

    /// Asks it to stop by a signal.
    pub(super) fn terminate(&self) {
        match &self.foreign {
            Some(foreign) => foreign.signal(Signal::SIGTERM),
            None => process::signal(self.pid, Signal::SIGTERM),
        }
    }

    /// Kills it with what is left of its group.
    pub(super) fn kill(&self) {
        match &self.foreign {
            Some(foreign) if foreign.has_ended() => {}
            Some(foreign) => {
                // The group first: as long as its leader is there the number is nobody else's.
                process::signal_group(self.pid, Signal::SIGKILL);
                foreign.signal(Signal::SIGKILL);
            }
            None => process::kill_group(self.pid),
        }
    }
}
