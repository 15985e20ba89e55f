//! A plugin's next generation takes the place of the present one, with no moment in between in which nobody serves.
//!
//! Both inherit the same listening sockets. The new process starts beside the old one; when it says that it is ready it takes
//! its place, and the old one is asked to finish what it has begun and go. A new one that dies or does not become ready in time
//! changes nothing: the old one has been serving all along, and whoever asked is told the reason.
//!
//! Where processes keep something for others the new one takes that over from the old one, and calls wait meanwhile:
//! [`handover`](super::handover). Which of the two it is follows from the plugin.

use super::{
    Cause, Fleet,
    handover::{Files, Takeover},
    plugin::{Plugin, Standing},
};
use crate::{
    place::Place,
    plugins::{
        catalog::{self, Entry},
        lifecycle::{Event, Exit, Lifecycle},
        process::Program,
    },
};
use bytes::Bytes;
use nix::unistd::Pid;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// What the next generation is to be.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    /// Its program, addresses and settings.
    pub entry: Entry,
    /// Its configuration, as JSON.
    pub config: Bytes,
    /// Where it is started.
    pub place: Arc<Place>,
    /// How long it may take to be ready.
    pub patience: Duration,
}

/// Tells whoever waits how it went: the process that serves now, or why it does not.
pub(crate) type Told = oneshot::Sender<Result<Pid, String>>;

impl Fleet {
    /// Replaces a plugin's process by a new one of the same program or of another.
    pub(super) fn upgrade(&mut self, name: &str, binary: Option<PathBuf>, told: Told, now: Instant) {
        let Some(mut next) = self.present(name) else {
            let _ = told.send(Err(format!("no such plugin: {name}")));
            return;
        };
        if let Some(binary) = binary {
            if !catalog::is_executable(&binary) {
                let _ = told.send(Err(format!("{}: no such program", binary.display())));
                return;
            }
            next.entry.program = Program::binary(&binary);
            next.entry.chosen = true;
        }
        self.replace(next, told, now);
    }

    /// What the present generation of a plugin is, to be changed for the next.
    pub(crate) fn present(&self, name: &str) -> Option<Next> {
        let plugin = &self.plugins[self.serving(name)?];
        Some(Next {
            entry: plugin.entry.clone(),
            config: plugin.config.clone(),
            place: Arc::clone(&plugin.place),
            patience: plugin.life.patience(),
        })
    }

    /// Starts a plugin's next generation beside the present one, whose place it takes when it is ready, with what that one keeps.
    pub(crate) fn replace(&mut self, next: Next, told: Told, now: Instant) {
        let (state, handover) = match self.may_replace(&next.entry, now) {
            Ok(files) => files,
            Err(refusal) => {
                let _ = told.send(Err(refusal));
                return;
            }
        };
        let takeover = match next.entry.is_single {
            true => Takeover::Awaited,
            false => Takeover::None,
        };
        let held = false;
        self.launch(next, Standing::Coming { told, held, takeover }, (state, handover), now);
    }

    /// Starts a generation, with the files of the one before it.
    pub(super) fn launch(&mut self, next: Next, standing: Standing, files: Files, now: Instant) {
        let name = &next.entry.name;
        tracing::info!(target: "supervisor", plugin = name, program = %next.entry.program, "the next process of the plugin is on its way");
        let life = Lifecycle::new(self.restart.clone(), next.patience);
        let mut plugin = Plugin::new(next.entry, next.config, life);
        plugin.place = next.place;
        (plugin.state, plugin.handover) = files;
        plugin.standing = standing;
        self.plugins.push(plugin);
        self.tell(self.plugins.len() - 1, Event::Start, now);
    }

    /// The files that a plugin's next generation gets from the present one, or why there can be none now.
    fn may_replace(&self, next: &Entry, now: Instant) -> Result<Files, String> {
        let name = &next.name;
        if self.stopping {
            return Err("the server is stopping".to_owned());
        }
        if next.attached {
            return Err(format!(
                "the plugin {name} is started by its service manager: restart it there"
            ));
        }
        let index = self.serving(name).ok_or_else(|| format!("no such plugin: {name}"))?;
        if let Some(coming) = self.coming(name) {
            return Err(self.plugins[coming].on_its_way(now));
        }
        if self.is_held(index) {
            return Err(format!("another process of the plugin {name} is on its way already"));
        }
        self.plugins[index].files().map_err(|error| error.to_string())
    }

    /// A coming generation is ready: it takes its place, if it is one.
    pub(super) fn promote(&mut self, index: usize, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(index) else {
            return;
        };
        let Some(told) = plugin.standing.settle(Standing::Serving) else {
            return;
        };
        let pid = plugin.pid();
        self.take_place(index, now);
        if let Some(pid) = pid {
            let _ = told.send(Ok(pid));
        }
    }

    /// A generation that serves from now on takes the old one's place, if there is one.
    pub(super) fn take_place(&mut self, index: usize, now: Instant) {
        let plugin = &self.plugins[index];
        let (name, pid) = (plugin.entry.name.clone(), plugin.pid());
        let is_old = |other: &Plugin| other.is_serving() && other.entry.name == name && other.pid() != pid;
        let old = self.plugins.iter().position(is_old);
        if let Some(old) = old {
            // The new one stands where the old one stood, so that everything is listed in the order of the start.
            self.plugins.swap(old, index);
            self.plugins[old].starts += self.plugins[index].starts;
            self.plugins[index].standing = Standing::Leaving;
            self.plugins[index].parting = match self.plugins[index].config == self.plugins[old].config {
                true => Cause::Upgrade,
                false => Cause::Reload,
            };
            self.plugins[index].substitute = None;
            self.release(index);
            self.tell(index, Event::Stop(now + self.grace), now);
            self.forget(index);
        }
        tracing::info!(target: "supervisor", plugin = name, "the next process of the plugin serves now");
    }

    /// A coming generation has ended: the present one stays.
    pub(super) fn came_to_nothing(&mut self, index: usize, exit: Exit, reason: String, now: Instant) {
        let plugin = self.plugins.remove(index);
        let name = &plugin.entry.name;
        tracing::error!(target: "supervisor", plugin = name, exit = %exit, "the next process of the plugin cannot start, the present one serves on: {reason}");
        if let Standing::Coming { told, .. } = plugin.standing {
            self.go_on(&plugin.entry.name, told, reason, now);
        }
    }

    /// Forgets a replaced generation that has no process any more.
    pub(super) fn forget(&mut self, index: usize) {
        let gone = |plugin: &Plugin| matches!(plugin.standing, Standing::Leaving) && !plugin.life.is_alive();
        if self.plugins.get(index).is_some_and(gone) {
            self.plugins.remove(index);
        }
    }

    /// The stop begins: what comes is not wanted any more.
    pub(super) fn call_off(&mut self) {
        for plugin in &mut self.plugins {
            // Whoever still waits for a process that goes on hears of the end.
            plugin.held = None;
            if let Some(told) = plugin.standing.settle(Standing::Leaving) {
                let _ = told.send(Err("the server is stopping".into()));
            } else if matches!(plugin.standing, Standing::Held) {
                plugin.standing = Standing::Leaving;
            }
        }
    }

    pub(super) fn serving(&self, name: &str) -> Option<usize> {
        let is = |plugin: &Plugin| plugin.is_serving() && plugin.entry.name == name;
        self.plugins.iter().position(is)
    }

    pub(super) fn coming(&self, name: &str) -> Option<usize> {
        let is = |plugin: &Plugin| plugin.is_coming() && plugin.entry.name == name;
        self.plugins.iter().position(is)
    }
}

impl Plugin {
    /// That its process comes or goes, for how long at the most, and what an operator can do about it.
    pub(super) fn on_its_way(&self, now: Instant) -> String {
        let name = &self.entry.name;
        let left = self
            .life
            .wake()
            .map(|until| until.saturating_duration_since(now).as_secs());
        let coming = format!("another process of the plugin {name} is on its way already");
        match (self.pid(), left, &self.standing) {
            (Some(pid), Some(left), Standing::Leaving) => {
                format!(
                    "a process of the plugin {name} finishes what it has begun, for {left} s at the most; its pid is {pid}"
                )
            }
            (Some(pid), Some(left), _) => {
                format!("{coming}: it is given up if it is not ready within {left} s, or at once by `kill {pid}`")
            }
            _ => coming,
        }
    }
}
