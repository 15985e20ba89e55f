//! One plugin of the fleet: its life, and what we know of its running process.

use super::{
    Calls, Cause, Counts, Member, State, Surroundings,
    handover::{Held, Takeover},
    replace::Told,
};
use crate::{
    control::{self, ConfigStream, Question},
    deadline, metrics,
    place::Place,
    plugins::{
        catalog::Entry,
        foreign::Foreign,
        lifecycle::{Actual, Lifecycle},
        output::Output,
        process::{self, Spawn, SpawnError},
    },
    sockets::Substitute,
    watch::Gate,
};
use bytes::Bytes;
use nix::{
    sys::{
        memfd::{MFdFlags, memfd_create},
        signal::Signal,
    },
    unistd::Pid,
};
use rr_common::{
    control::v1::{RegisterRequest, WatchConfigResponse},
    oom,
    telemetry::Tail,
};
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// One generation of a plugin. Most of the time there is one of each; while it is replaced there are two.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) entry: Entry,
    /// The configuration that its process gets: as JSON, the whole of it.
    pub(super) config: Bytes,
    /// Where its process is started.
    pub(super) place: Arc<Place>,
    pub(super) standing: Standing,
    pub(super) life: Lifecycle,
    pub(super) process: Option<Process>,
    /// Answers on its sockets since it was given up.
    pub(super) substitute: Option<Substitute>,
    /// Processes that were started, or tried to.
    pub(super) starts: u64,
    /// Why its process is no more, once it was asked to go.
    pub(super) parting: Cause,
    /// What each of its processes may keep for the next one. We only hold it.
    pub(super) state: Option<OwnedFd>,
    /// Where one of its processes hands over to the next.
    pub(super) handover: Option<OwnedFd>,
    /// It is paused for its next generation.
    pub(super) held: Option<Held>,
    /// Makes log lines of what it writes to its stderr, and a custom plugin to its stdout.
    pub(super) output: Option<Output>,
}

/// What a generation is there for.
#[derive(Debug)]
pub(super) enum Standing {
    /// It serves, and is restarted when it dies.
    Serving,
    /// It is to take the serving one's place as soon as it is ready. It has one try.
    Coming {
        /// Who waits for it: it serves now, or why it does not.
        told: Told,
        /// Ready, it waits for others of the same reload.
        held: bool,
        /// What it has been given of the serving one's.
        takeover: Takeover,
    },
    /// It is ready to take the serving one's place, and waits until it shall.
    Held,
    /// Another one has its place; it finishes what it has begun.
    Leaving,
}

impl Standing {
    /// A coming generation becomes something else, and whoever waits for it is to be told; any other stays what it is.
    pub(super) fn settle(&mut self, then: Self) -> Option<Told> {
        match std::mem::replace(self, then) {
            Self::Coming { told, .. } => Some(told),
            other => {
                *self = other;
                None
            }
        }
    }
}

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

impl Plugin {
    /// A plugin without a process.
    pub(super) fn new(entry: Entry, config: Bytes, life: Lifecycle) -> Self {
        Self {
            entry,
            config,
            place: Arc::default(),
            standing: Standing::Serving,
            life,
            process: None,
            substitute: None,
            starts: 0,
            parting: Cause::Stop,
            state: None,
            handover: None,
            held: None,
            output: None,
        }
    }

    /// Waits for its first call.
    pub(super) fn is_asleep(&self) -> bool {
        self.entry.on_demand && self.starts == 0
    }

    /// Its process has registered.
    pub(super) fn is_registered(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.channel.is_some())
    }

    /// Keeps why it cannot start, for whoever asks after its end.
    pub(super) fn refuse(&mut self, reason: String) {
        if let Some(process) = &mut self.process {
            process.refusal = Some(reason);
        }
    }

    /// Why it is killed at a time limit.
    pub(super) fn lateness(&self) -> String {
        let within = self.life.patience();
        match self.life.actual() {
            Actual::Up { .. } if self.is_registered() => {
                format!("it took too long: it has registered, but was not ready within {within:?}")
            }
            Actual::Up { .. } => format!("it took too long: it had not even registered within {within:?}"),
            _ => "it took too long to stop".to_owned(),
        }
    }

    /// Waits for what its last process wrote to become log lines.
    pub(super) async fn last_words(&mut self) {
        if let Some(output) = self.output.take() {
            output.last_words().await;
        }
    }

    /// Its process.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// True unless another generation has its place, or it has not got its place yet.
    pub(super) fn is_serving(&self) -> bool {
        matches!(self.standing, Standing::Serving)
    }

    /// As others see it.
    pub(super) fn member(&self) -> Member {
        let process = self.process.as_ref();
        let mut prefixes = match self.entry.is_custom() {
            true => Vec::new(),
            false => vec![self.entry.name.clone()],
        };
        // Those in the configuration are its own at every moment: calls wait for a process that has not registered yet.
        let told = process.into_iter().flat_map(|process| &process.prefixes);
        for prefix in self.entry.process.rpc_prefixes.iter().chain(told) {
            if !prefixes.contains(prefix) {
                prefixes.push(prefix.clone());
            }
        }
        Member {
            name: self.entry.name.clone(),
            state: self.state(),
            upgrading: false,
            held: self.held.is_some(),
            on_demand: self.entry.on_demand,
            pid: process.map(|process| process.pid),
            version: process.map(|process| process.version.clone()).unwrap_or_default(),
            since: process.map(|process| process.since),
            restarts: self.starts.saturating_sub(1),
            prefixes,
            channel: process.and_then(|process| process.channel.clone()),
            calls: process.and_then(|process| process.calls.clone()),
            deaths: Vec::new(),
            counts: Counts::new(),
        }
    }

    fn state(&self) -> State {
        match self.life.actual() {
            Actual::Down => State::Down,
            Actual::Failed => State::Failed,
            Actual::Stopping { .. } => State::Stopping,
            Actual::Up { .. } if self.life.is_ready() => State::Running,
            Actual::Up { .. } if self.starts <= 1 => State::Starting,
            Actual::Up { .. } | Actual::Waiting { .. } => State::Restarting,
        }
    }

    /// Starts its process.
    pub(super) fn spawn(&mut self, around: &Surroundings) -> Result<Process, SpawnError> {
        let failed = |error: io::Error| SpawnError::Prepare(error);
        let name = self.entry.name.as_str();
        let state = memory_file(&mut self.state, name, self.entry.keeps_state).map_err(failed)?;
        let handover = memory_file(&mut self.handover, name, self.entry.is_single).map_err(failed)?;
        let lines = Tail::default();
        let is_custom = self.entry.is_custom();
        let (output, words) = Output::open(name, is_custom, lines.clone()).map_err(failed)?;
        let entry = &self.entry;
        let control_dir: PathBuf = match process::user(&entry.process)? {
            Some(user) => around.control_dir.for_user(&user).map_err(failed)?,
            None => around.control_dir.path().to_owned(),
        };
        let limits = &entry.process.limits;
        let group = around
            .groups
            .wants(limits)
            .then(|| around.groups.place(&entry.name, limits));
        let group = group
            .transpose()
            .map_err(|error| SpawnError::Limits(entry.name.clone(), error))?;
        let spawn = Spawn {
            group,
            name: &entry.name,
            program: &entry.program,
            process: &entry.process,
            place: &self.place,
            control: &around.control_dir.socket(),
            control_dir,
            sockets: around.sockets.of(&entry.addresses).map_err(failed)?,
            log: around.log.socket(lines.clone()).map_err(failed)?,
            state,
            watch: around.watch.as_ref().map(Gate::copy).transpose().map_err(failed)?,
            // A next generation that does not start must not take a good one's place.
            repair: around.repair && self.is_serving(),
            handover,
            output,
            is_custom,
        };
        let mut process = Process::new(spawn.run()?);
        process.lines = lines;
        process.waits = around.watch.is_some();
        self.output = Some(words);
        Ok(process)
    }

    /// Gives its process the configuration, by a stream whose end will tell it that we are gone.
    pub(super) fn give_config(&mut self, stream: ConfigStream) {
        let config = self.config.to_vec();
        if let Some(process) = &mut self.process
            && stream.try_send(Ok(WatchConfigResponse { config })).is_ok()
        {
            process.config = Some(stream);
        }
    }

    /// Tells its process of another configuration. One that has not taken the last one yet reads this one at its next start.
    pub(super) fn send_config(&self) {
        let config = self.config.to_vec();
        let stream = self.process.as_ref().and_then(|process| process.config.as_ref());
        if let Some(stream) = stream
            && stream.try_send(Ok(WatchConfigResponse { config })).is_err()
        {
            tracing::warn!(target: "supervisor", plugin = self.entry.name, "the plugin does not take its changed configuration");
        }
    }

    /// Takes the registration of its process.
    pub(super) fn register(&mut self, registration: RegisterRequest) -> Result<(), Status> {
        let process = match &mut self.process {
            Some(process) if registration.plugin == self.entry.name => process,
            _ => return Err(stranger(&registration.plugin)),
        };
        process
            .listens_at(registration.socket)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        process.version = registration.plugin_version;
        process.calls = (!registration.calls_socket.is_empty()).then(|| Calls {
            path: registration.calls_socket.into(),
            leases: registration.leases,
        });
        process.prefixes = registration.rpc_prefixes;
        process.returns = registration.started;
        if let Some(adopted) = &mut process.adopted {
            adopted.connection = None;
            adopted.outdated = registration.config != self.config;
        }
        let configured = &self.entry.process.rpc_prefixes;
        process.prefixes.extend(configured.iter().cloned());
        Ok(())
    }

    /// Asks its process to stop: over the contract, or by a signal when it is not registered yet or does not hear.
    pub(super) fn ask_stop(&self, around: &Surroundings, now: Instant) {
        let Some(process) = &self.process else { return };
        let pid = process.pid;
        let Some(channel) = process.channel.clone() else {
            return process.terminate();
        };
        let kill_at = self.life.wake().unwrap_or(now);
        let within = deadline::told(now, kill_at);
        let questions = around.questions.clone();
        let ledger = around.ledger.clone();
        let name = self.entry.name.clone();
        let replaced = matches!(self.standing, Standing::Leaving);
        let (past, parting) = (around.past.clone(), self.parting);
        tokio::spawn(async move {
            if let Some(ledger) = ledger {
                metrics::last_words(&ledger, &name, pid, channel.clone()).await;
            }
            if replaced {
                past.gather(&name, parting, channel.clone()).await;
            }
            if !control::ask_stop(channel, within, replaced).await {
                let _ = questions.send(Question::Unheard { pid }).await;
            }
        });
    }
}

/// A copy of a memory file, which the first start makes, if there is to be one.
fn memory_file(kept: &mut Option<OwnedFd>, name: &str, wanted: bool) -> io::Result<Option<OwnedFd>> {
    if !wanted {
        return Ok(None);
    }
    let file = match kept.take() {
        Some(file) => file,
        None => memfd_create(name, MFdFlags::MFD_CLOEXEC)?,
    };
    kept.insert(file).try_clone().map(Some)
}

/// The refusal of a process that we have not started under that name.
pub(super) fn stranger(name: &str) -> Status {
    Status::permission_denied(format!(
        "this supervisor has not started a plugin {name} with this process"
    ))
}
