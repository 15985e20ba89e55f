//! All plugin processes together: carries out what each [`Lifecycle`] decides, and answers the plugins' questions.

mod arrive;
mod change;
mod gone;
mod handover;
mod history;
mod kept;
mod kept_history;
mod past;
mod plugin;
mod register;
mod replace;
mod roster;

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
        lifecycle::{Action, Actual, Event, Exit, Lifecycle},
    },
    reaper,
    sockets::Sockets,
    watch::Gate,
};
use bytes::Bytes;
pub(crate) use change::Change;
use gone::Gone;
pub(crate) use handover::Handover;
use history::History;
pub(crate) use history::{Cause, Counts, End, Orphan};
use nix::unistd::Pid;
pub(crate) use past::Past;
use plugin::{Plugin, Standing};
pub(crate) use replace::{Next, Told};
pub(crate) use roster::{Calls, Member, Roster, RosterWatch, State};
use rr_common::config::section::Restart;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};

/// A process that ended without being asked to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The plugin.
    pub name: String,
    /// In one readable text.
    pub reason: String,
    /// It has never been ready, and nothing is tried again.
    pub fatal: bool,
}

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

    /// Starts the plugins of a role.
    pub(crate) fn start(&mut self, role: Role, now: Instant) {
        for index in self.members(role) {
            let Plugin { entry, life, .. } = &self.plugins[index];
            // It stays given up if it was so before an upgrade of ours.
            let starts = !entry.on_demand && !entry.attached && life.actual() != Actual::Failed;
            if starts && self.plugins[index].is_serving() {
                self.tell(index, Event::Start, now);
            }
        }
    }

    /// The stop of the whole server has begun: others shall see it, and nothing is woken any more.
    pub(crate) fn tell_stop(&mut self) {
        if !self.stopping {
            self.call_off();
            self.changed = true;
        }
        self.stopping = true;
    }

    /// The stop of the whole server: asks the plugins of a role to stop; at the deadline they are killed.
    pub(crate) fn stop(&mut self, role: Role, deadline: Instant, now: Instant) {
        for index in self.members(role) {
            self.tell(index, Event::Stop(deadline), now);
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

    /// Acts on the time limits that have come.
    pub(crate) fn elapse(&mut self, now: Instant) {
        self.dismiss(now);
        for index in 0..self.plugins.len() {
            if self.plugins[index].life.wake().is_some_and(|wake| wake <= now) {
                self.tell(index, Event::Elapsed, now);
            }
        }
    }

    /// The processes that ended unasked since the last call.
    pub(crate) fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// A child has ended; one that is no plugin of ours was an orphan, and is thereby buried.
    pub(crate) fn ended(&mut self, pid: Pid, exit: Exit, now: Instant) {
        let Some(index) = self.find(pid) else {
            self.history.buried(pid, exit);
            self.changed = true;
            return;
        };
        reaper::kill_rest_of_group(pid);
        let known = self.pids();
        let name = self.plugins[index].entry.name.clone();
        let orphans = reaper::kill_orphans(&known, reaper::WORKER, Some(&name))
            + reaper::kill_orphans(&known, reaper::PLUGIN, Some(&name));
        if orphans > 0 {
            tracing::warn!(target: "supervisor", plugin = name, count = orphans, "killed the processes that it left behind");
        }
        let process = self.plugins[index].process.take();
        self.around.control_dir.sweep(Some(pid));
        self.died(index, Gone::of(process, exit), now);
    }

    /// Answers a plugin's question.
    pub(crate) fn answer(&mut self, question: Question, now: Instant) {
        match question {
            Question::Register {
                group,
                registration,
                answer,
            } => {
                let registered = self.register(group, registration, now);
                self.changed = true;
                let _ = answer.send(registered);
            }
            Question::WatchConfig { group, stream } => {
                let Some(index) = self.find(group) else { return };
                if self.is_premature(index) {
                    return self.take_over(index, stream, now);
                }
                let plugin = &mut self.plugins[index];
                plugin.give_config(stream);
                // One that comes back has started long ago.
                if plugin.process.as_ref().is_some_and(|process| process.returns) {
                    self.started(index, now);
                }
            }
            Question::Started { group, error } => {
                let Some(index) = self.find(group) else { return };
                if !error.is_empty() {
                    // It ends by itself now; its death is the event.
                    self.plugins[index].refuse(error);
                } else if !self.plugins[index].is_registered() {
                    self.plugins[index].refuse("it says Started, but has not registered".into());
                } else if self.is_premature(index) {
                    self.refuse(index, "it says Started before it was given its configuration");
                } else {
                    self.started(index, now);
                }
            }
            Question::Wake { plugin } => {
                let asleep = |known: &Plugin| known.entry.name == plugin && known.is_asleep();
                if let Some(index) = self.plugins.iter().position(asleep)
                    && !self.stopping
                {
                    self.tell(index, Event::Start, now);
                }
            }
            // The loop has it: more than the plugins are concerned.
            Question::Reload { .. } => {}
            Question::Upgrade { plugin, binary, told } => self.upgrade(&plugin, binary, told, now),
            // The loop's own.
            Question::Renew(_) => {}
            Question::Left { pid } => self.ended(pid, Exit::Unseen, now),
            Question::Handover(news) => self.handed_over(news),
            Question::Unheard { pid } => {
                if let Some(process) = self.find(pid).and_then(|index| self.plugins[index].process.as_ref()) {
                    process.terminate();
                }
            }
        }
    }

    /// Opens the log files anew.
    pub(crate) fn reopen_logs(&self) {
        self.around.log.reopen();
    }

    /// Kills everything at once.
    pub(crate) fn kill(&mut self) {
        let now = Instant::now();
        for plugin in &mut self.plugins {
            // Not wanted any more, also those that had not been asked yet: nothing is started again.
            plugin.life.on(Event::Stop(now), now);
        }
        for process in self.plugins.iter().filter_map(|plugin| plugin.process.as_ref()) {
            process.kill();
        }
        reaper::kill_orphans(&[], reaper::WORKER, None);
    }

    /// The running processes.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        let processes = self.plugins.iter().filter_map(|plugin| plugin.process.as_ref());
        processes.map(|process| process.pid).collect()
    }

    /// Name, pid and addresses of each plugin, for people to read.
    pub(crate) fn shown(&self) -> Vec<(String, Option<Pid>, Vec<String>)> {
        let addresses = |plugin: &Plugin| {
            let all = plugin.entry.addresses.iter();
            all.map(|listen| self.around.sockets.shown(listen)).collect()
        };
        self.plugins
            .iter()
            .filter(|plugin| plugin.is_serving())
            .map(|plugin| {
                let pid = plugin.process.as_ref().map(|process| process.pid);
                (plugin.entry.name.clone(), pid, addresses(plugin))
            })
            .collect()
    }

    /// Waits until what custom plugins wrote has become log lines.
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

    fn tell(&mut self, index: usize, event: Event, now: Instant) {
        self.changed = true;
        if let Some(action) = self.plugins[index].life.on(event, now) {
            self.act(index, action, now);
        }
    }

    fn act(&mut self, index: usize, action: Action, now: Instant) {
        match action {
            Action::Spawn => self.spawn(index, now),
            Action::AskStop => self.plugins[index].ask_stop(&self.around, now),
            Action::Kill => {
                let plugin = &mut self.plugins[index];
                let late = plugin
                    .too_late_for_takeover(self.grace)
                    .unwrap_or_else(|| plugin.lateness());
                if let Some(process) = &mut plugin.process {
                    let name = &plugin.entry.name;
                    tracing::error!(target: "supervisor", plugin = name, pid = process.pid.as_raw(), "killed: {late}");
                    process.refusal.get_or_insert(late);
                    process.kill();
                }
            }
            Action::GiveUp => {
                let plugin = &mut self.plugins[index];
                plugin.substitute = Some(self.around.sockets.substitute(&plugin.entry.addresses));
            }
        }
    }

    fn spawn(&mut self, index: usize, now: Instant) {
        let plugin = &mut self.plugins[index];
        plugin.substitute = None;
        plugin.starts += 1;
        match plugin.spawn(&self.around) {
            Ok(process) => {
                tracing::debug!(target: "supervisor", plugin = plugin.entry.name, pid = process.pid.as_raw(), "started");
                plugin.process = Some(process);
            }
            Err(error) => self.died(index, Gone::unborn(error.to_string()), now),
        }
    }

    fn died(&mut self, index: usize, gone: Gone, now: Instant) {
        self.changed = true;
        let fail_fast = self.fail_fast;
        let plugin = &mut self.plugins[index];
        let name = plugin.entry.name.clone();
        let asked = matches!(plugin.life.actual(), Actual::Stopping { .. });
        // One that starts by a call must not end a server that runs.
        let fatal = fail_fast && !asked && !plugin.entry.on_demand && !plugin.life.was_ready();
        let end = gone.end(plugin, now);
        let exit = end.exit;
        let reason = match end.words.as_str() {
            "" => end.exit_text(),
            words => words.to_owned(),
        };
        self.history.ended(&name, end);
        match plugin.standing {
            Standing::Serving => {}
            Standing::Coming { .. } | Standing::Held => {
                return self.came_to_nothing(index, exit, reason, now);
            }
            Standing::Leaving => {
                plugin.life.on(Event::Died, now);
                return self.forget(index);
            }
        }
        let handed_over = self.died_over_it(index, now);
        let plugin = &mut self.plugins[index];
        if handed_over {
            plugin.life.on(Event::Died, now);
            return;
        }
        if fatal {
            // Not wanted any more: the lifecycle then tries nothing again.
            plugin.life.on(Event::Stop(now), now);
        }
        let action = plugin.life.on(Event::Died, now);
        if !asked {
            let next = match (action, plugin.life.actual()) {
                (Some(Action::Spawn), _) => "it is restarted at once".to_owned(),
                _ if plugin.entry.attached => "its service manager may start it again".to_owned(),
                (_, Actual::Waiting { until }) => format!("it is restarted in {:?}", until.duration_since(now)),
                _ => "it is given up: it died too often before it was of any use".to_owned(),
            };
            // A fatal one is told by whoever ends the server for it.
            if !fatal {
                tracing::error!(target: "supervisor", plugin = name, exit = %exit, next, "the plugin has died: {reason}");
            }
            self.losses.push(Loss { name, reason, fatal });
        }
        if let Some(action) = action {
            self.act(index, action, now);
        }
    }

    /// A process says that it is ready.
    fn started(&mut self, index: usize, now: Instant) {
        tracing::debug!(target: "supervisor", plugin = self.plugins[index].entry.name, "ready");
        self.tell(index, Event::Ready, now);
        self.hold(index);
        self.promote(index, now);
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
