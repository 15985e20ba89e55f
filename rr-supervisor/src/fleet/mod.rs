//! All plugin processes together.
//!
//! - [`plugin`]: one plugin, a generation of it; [`running`]: its process, as far as we know it; [`roster`]: the picture for others
//! - [`acts`]: what each [`Lifecycle`] decides is carried out; [`spawn`]: what a process is given, [`orders`]: what it is told
//! - [`answer`]: questions of plugins and operators; [`register`]: whom we take
//! - [`deaths`]: what follows from an end, by what is left of a process ([`gone`]); [`history`], [`past`]: what is remembered
//! - [`replace`]: the next process of a plugin; [`handover`]: it takes over what the present one keeps; [`change`]: several at once
//! - [`arrive`]: processes that we have not started
//! - [`kept`], [`kept_history`]: what the next program of the supervisor knows of all this

mod acts;
mod answer;
mod arrive;
mod change;
mod deaths;
mod gone;
mod handover;
mod history;
mod kept;
mod kept_history;
mod orders;
mod past;
mod plugin;
mod register;
mod replace;
mod roster;
mod running;
mod spawn;

use crate::{
    cgroup::Groups,
    control::Question,
    control_dir::ControlDir,
    logs::ServerLog,
    metrics::Ledger,
    notify::{self, Systemd},
    place::Place,
    plugins::{
        catalog::{Entry, Role},
        lifecycle::Lifecycle,
    },
    sockets::Sockets,
    watch::Gate,
};
use bytes::Bytes;
pub(crate) use change::Change;
pub(crate) use deaths::Loss;
pub(crate) use handover::Handover;
use history::History;
pub(crate) use history::{Cause, Counts, End, Orphan};
use nix::unistd::Pid;
pub(crate) use past::Past;
use plugin::Plugin;
pub(crate) use replace::{Next, Told};
pub(crate) use roster::{Calls, Member, Roster, RosterWatch, State, state_shown};
use rr_common::config::section::Restart;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// What all plugins are given.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The listening sockets.
    pub sockets: Sockets,
    /// What the plugins have counted, if anybody wants to know.
    pub ledger: Option<Ledger>,
    /// What is known of workers whose plugin was replaced.
    pub past: Past,
    /// Where log lines go.
    pub log: ServerLog,
    /// The control directory.
    pub control_dir: ControlDir,
    /// The control groups of plugins with limits.
    pub groups: Groups,
    /// What requests wait for while changed files are dealt with (development), if they do.
    pub watch: Option<Gate>,
    /// Workers whose code does not start are waited for (`up --watch`).
    pub repair: bool,
    /// The way back into the supervisor's loop.
    pub questions: mpsc::Sender<Question>,
}

/// All plugin processes.
#[derive(Debug)]
pub(crate) struct Fleet {
    plugins: Vec<Plugin>,
    around: Surroundings,
    fail_fast: bool,
    /// `supervisor.restart`.
    restart: Restart,
    /// `endure.grace_period`.
    grace: Duration,
    losses: Vec<Loss>,
    history: History,
    /// The picture for others, and whether it is out of date.
    roster: watch::Sender<Arc<Roster>>,
    changed: bool,
    /// Plugins that are not wanted any more, and wait until those who may need them have gone.
    dismissed: Vec<String>,
    stopping: bool,
}

impl Fleet {
    /// None of them runs yet. With `fail_fast` a plugin that cannot start the first time is not tried again.
    pub(crate) fn new(
        entries: Vec<(Entry, Duration)>,
        config: &Bytes,
        place: &Arc<Place>,
        restart: &Restart,
        grace: Duration,
        around: Surroundings,
        fail_fast: bool,
    ) -> Self {
        let plugin = |(entry, patience)| {
            let life = Lifecycle::new(restart.clone(), patience);
            let mut plugin = Plugin::new(entry, config.clone(), life);
            plugin.place = Arc::clone(place);
            plugin
        };
        let mut fleet = Self {
            plugins: entries.into_iter().map(plugin).collect(),
            around,
            fail_fast,
            restart: restart.clone(),
            grace,
            losses: Vec::new(),
            history: History::default(),
            roster: watch::Sender::default(),
            changed: true,
            dismissed: Vec::new(),
            stopping: false,
        };
        // Who looks at it before anything is started sees what there will be.
        fleet.publish();
        fleet
    }

    /// The pictures of the fleet, one after each [`Fleet::publish`] of something new.
    pub(crate) fn roster(&self) -> RosterWatch {
        self.roster.subscribe()
    }

    /// Shows others what has changed since the last call.
    pub(crate) fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.roster.send_replace(Arc::new(Roster {
                members: self
                    .plugins
                    .iter()
                    .filter(|plugin| plugin.is_serving())
                    .map(|plugin| Member {
                        deaths: self.history.of(&plugin.entry.name),
                        counts: self.history.counts(&plugin.entry.name),
                        upgrading: self.coming(&plugin.entry.name).is_some(),
                        ..plugin.member()
                    })
                    .collect(),
                stopping: self.stopping,
                orphans: self.history.orphans(),
                past: self.around.past.clone(),
            }));
        }
    }

    /// True when every plugin of the role is ready, or was tried in vain.
    pub(crate) fn has_settled(&self, role: Role) -> bool {
        self.of(role).all(|plugin| {
            plugin.is_asleep() || plugin.entry.attached || plugin.life.is_ready() || plugin.life.has_died()
        })
    }

    /// True when no process of the role is left, nor one to come.
    pub(crate) fn is_down(&self, role: Role) -> bool {
        self.of(role)
            .all(|plugin| !plugin.life.is_alive() && plugin.life.wake().is_none())
    }

    /// When the next time limit of any plugin comes.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.plugins.iter().filter_map(|plugin| plugin.life.wake()).min()
    }

    /// When the last of the time limits comes: by then every plugin that is on its way must be ready.
    pub(crate) fn ready_by(&self) -> Option<Instant> {
        self.plugins.iter().filter_map(|plugin| plugin.life.wake()).max()
    }

    /// Shows systemd how the plugins are, and which sockets there are.
    pub(crate) fn show(&self, systemd: &mut Systemd) {
        systemd.show(&self.roster.borrow(), &self.around.sockets);
    }

    /// Opens the log files anew.
    pub(crate) fn reopen_logs(&self) {
        self.around.log.reopen();
    }

    /// The running processes.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        let processes = self.plugins.iter().filter_map(|plugin| plugin.process.as_ref());
        processes.map(|process| process.pid).collect()
    }

    /// Name, pid and addresses of each plugin, for people to read.
    pub(crate) fn shown(&self) -> Vec<(String, String, Vec<String>)> {
        let addresses = |plugin: &Plugin| {
            let all = plugin.entry.addresses.iter();
            all.map(|listen| self.around.sockets.shown(listen)).collect()
        };
        self.plugins
            .iter()
            .filter(|plugin| plugin.is_serving())
            .map(|plugin| {
                let what = match plugin.pid() {
                    Some(pid) => format!("pid {pid}"),
                    None => plugin.member().shown().to_owned(),
                };
                (plugin.entry.name.clone(), what, addresses(plugin))
            })
            .collect()
    }

    /// Waits until what the plugins' last processes wrote has become log lines.
    pub(crate) async fn last_words(&mut self, patience: Duration) {
        let all = async {
            for plugin in &mut self.plugins {
                plugin.last_words().await;
            }
        };
        let _ = tokio::time::timeout(patience, all).await;
    }

    /// Ends everything that is not a process: socket files, the control directory, the log.
    pub(crate) fn dissolve(self, patience: Duration) {
        if !notify::keeps_unix_sockets() {
            self.around.sockets.remove_files();
        }
        drop(self.around.control_dir);
        drop(self.around.groups);
        self.around.log.finish(patience);
    }

    fn find(&self, pid: Pid) -> Option<usize> {
        let has = |plugin: &Plugin| plugin.process.as_ref().is_some_and(|process| process.pid == pid);
        self.plugins.iter().position(has)
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().filter(move |plugin| plugin.entry.role == role)
    }

    fn members(&self, role: Role) -> Vec<usize> {
        let is = |index: &usize| self.plugins[*index].entry.role == role;
        (0..self.plugins.len()).filter(is).collect()
    }
}
