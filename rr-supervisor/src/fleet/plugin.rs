//! One plugin of the fleet: what it is, what there is of it, and how others see it.

use super::{
    Cause, Counts, Member, State,
    handover::{Held, Takeover},
    replace::Told,
    running::Process,
};
use crate::{
    place::Place,
    plugins::{
        catalog::Entry,
        lifecycle::{Actual, Lifecycle},
        output::Output,
    },
    sockets::Substitute,
};
use bytes::Bytes;
use nix::unistd::Pid;
use std::{os::fd::OwnedFd, sync::Arc};

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

    /// True for the next generation, until it has its place.
    pub(super) fn is_coming(&self) -> bool {
        matches!(self.standing, Standing::Coming { .. } | Standing::Held)
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
}
