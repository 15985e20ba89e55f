//! Processes that we have not started become plugins' processes. From their registration on they are asked and stopped like those
//! of our own.

use super::{
    Fleet,
    plugin::Plugin,
    running::{Adopted, Process},
};
use crate::{
    adopt::{Found, Left, memory::Facts},
    plugins::{
        foreign::Foreign,
        lifecycle::{Actual, Event, Exit},
        output::Output,
    },
    reaper,
    renew::{self, baggage::Baggage},
};
use nix::unistd::Pid;
use rr_common::{
    control::v1::{ResetRequest, ResumeRequest, plugin_client::PluginClient},
    telemetry::{Tail, metrics::Usage, sink::Input},
};
use std::{
    collections::BTreeMap,
    io,
    sync::mpsc::SyncSender,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How long an adopted process may take to register: it looks for us many times a second.
pub(super) const RETURN: Duration = Duration::from_secs(10);

impl Fleet {
    /// A process that we do not know registers: the attached plugin of that name, if there is one without a process.
    ///
    /// The door has let it in, so it runs under our own user or an allowed one; more is not asked of it.
    pub(super) fn attach(&mut self, pid: Pid, name: &str, now: Instant) -> Option<usize> {
        let is = |plugin: &Plugin| plugin.entry.attached && plugin.entry.name == name;
        let index = self.plugins.iter().position(is)?;
        if self.stopping {
            return None;
        }
        // Its predecessor may have ended a moment ago.
        let before = self.plugins[index].process.as_ref();
        if let Some(gone) = before.filter(|process| process.foreign.as_ref().is_some_and(Foreign::has_ended)) {
            self.ended(gone.pid, Exit::Unseen, now);
        }
        if self.plugins[index].process.is_some() {
            return None;
        }
        let process = self.foreign(pid).ok()?;
        let patience = self.plugins[index].life.patience();
        tracing::info!(target: "supervisor", plugin = name, pid = pid.as_raw(), "attached");
        self.arrive(index, process, now + patience, now);
        Some(index)
    }

    /// This plugin has a process now, which must be ready at that time.
    pub(super) fn arrive(&mut self, index: usize, process: Process, ready_by: Instant, now: Instant) {
        let plugin = &mut self.plugins[index];
        plugin.process = Some(process);
        plugin.substitute = None;
        plugin.starts += 1;
        self.tell(index, Event::Arrived(ready_by), now);
    }

    /// A process that is no child of ours, watched.
    pub(super) fn foreign(&self, pid: Pid) -> io::Result<Process> {
        let mut foreign = Foreign::open(pid)?;
        foreign.watch(pid, self.around.questions.clone())?;
        let mut process = Process::new(pid);
        process.foreign = Some(foreign);
        Ok(process)
    }

    /// The plugins of a supervisor before us are ours from now on, and so is what they have kept.
    pub(crate) fn adopt(&mut self, left: Left, facts: &Facts, now: Instant) {
        self.history.go_on(&facts.deaths);
        for plugin in &mut self.plugins {
            plugin.starts = facts.starts.get(&plugin.entry.name).copied().unwrap_or_default();
        }
        for (name, state) in left.states {
            if let Some(index) = self.plugins.iter().position(|plugin| plugin.entry.name == name) {
                self.plugins[index].state = Some(state);
            }
        }
        for found in left.plugins {
            let is = |plugin: &Plugin| plugin.entry.name == found.name;
            let Some(index) = self.plugins.iter().position(is) else {
                continue;
            };
            let Found {
                name,
                version,
                pid,
                state,
                handover,
                connection,
                lines,
            } = found;
            if state.is_some() {
                self.plugins[index].state = state;
            }
            self.plugins[index].handover = handover;
            // What a handover that nobody ended has left is older than what the process keeps.
            if let Err(error) = self.plugins[index].empty_handover() {
                tracing::error!(target: "supervisor", plugin = name, %error, "what was handed over cannot be removed");
            }
            // A child of ours was started by a program before this one in the same process. One that has ended since is started
            // like all others.
            let process = match reaper::is_child(pid) {
                true => Ok(Process::new(pid)),
                false => self.foreign(pid),
            };
            let Ok(mut process) = process else { continue };
            process.version = version;
            process.since = Usage::of(pid.as_raw().unsigned_abs()).map_or(process.since, |usage| usage.since());
            process.lines = lines;
            process.adopted = Some(Adopted {
                connection: Some(connection),
                outdated: false,
            });
            tracing::info!(target: "supervisor", plugin = name, pid = pid.as_raw(), "adopted");
            let known = self.plugins[index].starts;
            self.arrive(index, process, now + RETURN, now);
            self.plugins[index].starts = known.max(1);
            // Wanted: if it dies one of ours takes its place. The next one of an attached plugin is somebody else's to start.
            if !self.plugins[index].entry.attached {
                self.tell(index, Event::Start, now);
            }
        }
    }

    /// What adopted custom plugins print is read on, where no program before us in this process has said how.
    pub(crate) fn listen_to_adopted(&mut self) {
        let is_ours = |plugin: &&mut Plugin| plugin.entry.is_custom() && !plugin.entry.attached;
        for plugin in self.plugins.iter_mut().filter(is_ours) {
            let Some(process) = plugin.process.as_ref().filter(|_| plugin.output.is_none()) else {
                continue;
            };
            plugin.output = Output::adopt(&plugin.entry.name, process.pid, process.lines.clone());
        }
    }

    /// Those that are started by a call, and are no more, wait for the next call.
    pub(crate) fn let_sleep(&mut self) {
        for plugin in self.plugins.iter_mut().filter(|plugin| plugin.entry.on_demand) {
            if plugin.process.is_none() && plugin.life.actual() == Actual::Down {
                plugin.starts = 0;
            }
        }
    }

    /// All adopted processes have registered: those that run with another configuration are replaced, and the workers of the others,
    /// whose connections for RPC have died with the supervisor before, one plugin after the other.
    pub(crate) fn renew_adopted(&mut self, now: Instant) {
        let mut stale = Vec::new();
        let mut paused = Vec::new();
        let mut outdated = Vec::new();
        for plugin in &mut self.plugins {
            let name = plugin.entry.name.clone();
            let Some(process) = &mut plugin.process else { continue };
            // The supervisor before may have died in the middle of its handover.
            let channel = process
                .channel
                .clone()
                .filter(|_| process.adopted.is_some() && plugin.entry.is_single);
            paused.extend(channel);
            match (process.adopted.take(), &process.channel) {
                (Some(adopted), _) if adopted.outdated && !plugin.entry.attached => outdated.push(name),
                (Some(_), Some(channel)) => stale.push((name, channel.clone())),
                _ => {}
            }
        }
        tokio::spawn(async move {
            for channel in paused {
                // One that is not paused, or cannot be, has nothing to do.
                let _ = PluginClient::new(channel).resume(ResumeRequest {}).await;
            }
        });
        for name in outdated {
            tracing::info!(target: "supervisor", plugin = name, "adopted with another configuration: it is replaced");
            let (told, hears) = oneshot::channel();
            self.upgrade(&name, None, told, now);
            tokio::spawn(async move {
                if let Ok(Err(reason)) = hears.await {
                    tracing::error!(target: "supervisor", plugin = name, "it serves on with its old configuration: {reason}");
                }
            });
        }
        tokio::spawn(async move {
            for (name, channel) in stale {
                let request = ResetRequest::default();
                if let Err(error) = PluginClient::new(channel).reset(request).await {
                    tracing::warn!(target: "supervisor", plugin = name, "the workers were not replaced: {}", error.message());
                }
            }
        });
    }

    /// Whether a plugin's next process is on its way.
    pub(crate) fn is_anyone_coming(&self) -> bool {
        self.plugins.iter().any(Plugin::is_coming)
    }

    /// Why this is no moment to leave the plugins alone: one of them is on its way.
    pub(crate) fn unsettled(&self, now: Instant) -> Option<String> {
        let is_settled = |plugin: &Plugin| {
            let life = &plugin.life;
            let waits = plugin.is_asleep() || plugin.entry.attached && !life.is_alive();
            let rests = matches!(life.actual(), Actual::Failed | Actual::Down | Actual::Waiting { .. });
            plugin.is_serving() && (life.is_ready() || waits || rests)
        };
        let moving = self.plugins.iter().find(|plugin| !is_settled(plugin))?;
        Some(moving.on_its_way(now))
    }

    /// What the next program of this process needs.
    ///
    /// # Errors
    /// No free descriptor.
    pub(crate) fn pack(&self, logs: Vec<Input>, baggage: &mut Baggage, kept: &mut renew::Kept) -> io::Result<()> {
        let processes = self.plugins.iter().filter_map(|plugin| plugin.process.as_ref());
        let lines: Vec<(Pid, Tail)> = processes.map(|process| (process.pid, process.lines.clone())).collect();
        kept.pack_logs(logs, &lines, baggage);
        self.pack_plugins(baggage, Instant::now())?;
        kept.lock = Some(baggage.add(self.around.control_dir.lock()?));
        let sockets = self.around.sockets.hand_over()?.into_iter();
        kept.listeners = sockets
            .map(|(provenance, socket)| (provenance, baggage.add(socket)))
            .collect();
        Ok(())
    }

    /// The log's outputs write what has come, and leave what comes to the next program until what comes back is dropped.
    ///
    /// # Errors
    /// An output stands still.
    pub(crate) fn hold_log(&self) -> io::Result<(Vec<Input>, SyncSender<()>)> {
        self.around.log.hold()
    }

    /// How many processes of each plugin have ended, by cause.
    pub(crate) fn deaths(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        self.history.kept()
    }

    /// How many processes of each plugin have been started.
    pub(crate) fn starts(&self) -> BTreeMap<String, u64> {
        let serving = self.plugins.iter().filter(|plugin| plugin.is_serving());
        serving
            .map(|plugin| (plugin.entry.name.clone(), plugin.starts))
            .collect()
    }
}
