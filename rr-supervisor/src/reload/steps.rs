//! The loop's side of a reload: carries out its steps, and lets everything take effect at once.

use super::{Current, report::Settings};
use crate::{
    control_dir::Signature,
    fleet::{Change, Next, Told},
    place::Place,
    plugins::{catalog::Listen, lifecycle::Exit},
    run::Run,
    watch::{self, Gate},
};
use nix::unistd::Pid;
use rr_common::{
    config::{
        Config,
        section::{Collector, Logs},
    },
    control::Access,
    telemetry::log::Outputs,
};
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tokio::sync::oneshot;

/// What a reload asks of the loop.
#[derive(Debug)]
pub(crate) enum Step {
    /// How are the plugins?
    Look(oneshot::Sender<Look>),
    /// Open what is not open yet, and say what that was.
    Bind(Vec<Listen>, oneshot::Sender<Result<Vec<String>, String>>),
    /// Close these again.
    Close(Vec<String>),
    /// Make our own endpoints ready for a configuration, and let these in.
    Prepare(Arc<Config>, Access, oneshot::Sender<Result<(), String>>),
    /// What was made ready is not wanted any more.
    Unprepare,
    /// What the requests of plugins that are started from now on wait for; say what it was.
    Gate(Option<Gate>, oneshot::Sender<Option<Gate>>),
    /// Start a plugin's next process, which waits when it is ready.
    Begin(Box<Next>, Told),
    /// Replace a plugin that keeps state.
    Exchange(Box<Next>, Told),
    /// What waits is not wanted any more.
    Abandon,
    /// Where services are started.
    Place(Arc<Place>),
    /// Tell when this child ends.
    Await(Pid, oneshot::Sender<Exit>),
    /// Let it all take effect.
    Commit(Box<Commit>, oneshot::Sender<Result<Vec<(String, u32)>, String>>),
}

/// The plugins as a reload finds them.
#[derive(Debug)]
pub(crate) struct Look {
    /// That one of them is being replaced already.
    pub coming: Option<String>,
    /// Those that were given up.
    pub failed: Vec<String>,
    /// Those that wait for their first call.
    pub asleep: Vec<String>,
    /// Those whose process keeps what others gave it.
    pub stateful: Vec<String>,
    /// Those whose requests wait for nothing when files change.
    pub hasty: Vec<String>,
    /// What all of them are.
    pub present: Vec<Next>,
}

/// Everything that takes effect at once.
#[derive(Debug)]
pub(crate) struct Commit {
    /// The plugins.
    pub change: Change,
    /// Addresses that nobody has any more.
    pub closed: Vec<String>,
    /// Plugins that go on as they are, and should not: somebody else starts them.
    pub attached: Vec<String>,
    /// What is watched from now on, if that is something else.
    pub watch: Option<Option<watch::Prepared>>,
    /// Other outputs of the log, and the settings of our own lines.
    pub logs: Option<(Box<Outputs>, Box<Logs>)>,
    pub(super) settings: Settings,
    /// Metrics of the application that are new.
    pub collect: BTreeMap<String, Collector>,
    /// And those that are not wanted any more.
    pub uncollect: Vec<String>,
    /// What the control directory is signed with.
    pub signature: Signature,
    /// The working directory is another one.
    pub moved: bool,
    /// What is in force then.
    pub current: Current,
}

impl Run {
    /// Carries out a step. True when everything has taken effect in another working directory.
    pub(crate) fn take(&mut self, step: Step, now: Instant) -> bool {
        match step {
            Step::Look(told) => drop(told.send(self.fleet.look(now))),
            Step::Bind(addresses, told) => {
                let opened = self.fleet.sockets().open(&addresses);
                let _ = told.send(opened.map_err(|error| error.to_string()));
            }
            Step::Close(addresses) => self.fleet.sockets().close(&addresses),
            Step::Prepare(config, access, told) => {
                let prepared = self.endpoints.prepare(&config, access);
                let _ = told.send(prepared.map_err(|unfit| unfit.to_string()));
            }
            Step::Unprepare => self.endpoints.abandon(),
            Step::Gate(gate, told) => drop(told.send(self.fleet.set_gate(gate))),
            Step::Begin(next, told) => self.fleet.begin(*next, told, now),
            Step::Exchange(next, told) => self.fleet.exchange(*next, told, now),
            Step::Abandon => self.fleet.abandon(now),
            Step::Place(place) => self.services.set_place(place),
            Step::Await(pid, told) => self.reload.awaited(pid, told),
            Step::Commit(commit, told) => {
                let moved = commit.moved;
                let committed = self.commit(*commit, now);
                let moved = moved && committed.is_ok();
                let _ = told.send(committed);
                return moved;
            }
        }
        false
    }

    fn commit(&mut self, commit: Commit, now: Instant) -> Result<Vec<(String, u32)>, String> {
        let begin = |prepared| self.reload.watcher.begin(prepared);
        let watch = commit.watch.map(begin).transpose().map_err(|error| error.to_string())?;
        let serving = self.fleet.commit(commit.change, &commit.current.entries, now)?;
        if let Some(watch) = watch {
            self.reload.watcher.go_on_with(watch);
        }
        self.endpoints.commit(self.fleet.outdated(&commit.attached));
        self.endpoints.collect(&commit.collect, &commit.uncollect, now);
        self.fleet.set_ledger(self.endpoints.ledger());
        self.fleet.sockets().close(&commit.closed);
        if let Err(error) = self.fleet.sign(&commit.signature) {
            tracing::warn!(target: "supervisor", %error, "the next server will not find this one's plugins");
        }
        if let Some((outputs, own)) = commit.logs
            && let Err(error) = self.fleet.set_logs(*outputs, &own)
        {
            tracing::error!(target: "supervisor", %error, "the changed section logs is not taken over");
        }
        let Settings {
            restart,
            grace,
            watchdog,
        } = commit.settings;
        self.fleet.set_rules(&restart, grace);
        self.grace = grace;
        self.systemd.set_watchdog(watchdog);
        self.reload.set_current(commit.current);
        let number = |(name, pid): (String, Pid)| (name, pid.as_raw().unsigned_abs());
        Ok(serving.into_iter().map(number).collect())
    }
}
