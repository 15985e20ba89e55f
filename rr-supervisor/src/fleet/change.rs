//! Several plugins change at once, by a reload: those to come are started beside those that serve, and only when all of them are
//! ready they take their places together. Until then nothing has changed, and nothing has to be undone.

use super::{
    Fleet,
    handover::Takeover,
    plugin::{Plugin, Standing},
    replace::{Next, Told},
};
use crate::{
    control_dir::Signature,
    metrics::Ledger,
    plugins::{
        catalog::Entry,
        lifecycle::{Actual, Event, Lifecycle},
    },
    reload::Look,
    sockets::Sockets,
    watch::Gate,
};
use nix::unistd::Pid;
use rr_common::{
    config::section::{Logs, Restart},
    telemetry::{LogError, log::Outputs},
};
use std::{
    cmp::Reverse,
    collections::BTreeSet,
    io,
    time::{Duration, Instant},
};

/// When a process that was killed is killed again.
const DEAD_BY: Duration = Duration::from_secs(5);

/// What takes effect at once, when all that had to be started is ready.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Plugins whose next process waits.
    pub held: Vec<String>,
    /// Plugins that go on with their process, and what the next one will be.
    pub kept: Vec<Next>,
    /// Plugins that are not wanted any more.
    pub removed: Vec<String>,
}

impl Fleet {
    /// Starts what a plugin is to be, whether there is one of that name or not. When it is ready it waits for [`Fleet::commit`], and
    /// whoever waits for it is told.
    pub(crate) fn begin(&mut self, next: Next, told: Told, now: Instant) {
        let name = &next.entry.name;
        let refusal = if self.stopping {
            "the server is stopping".to_owned()
        } else if let Some(coming) = self.coming(name) {
            self.plugins[coming].on_its_way(now)
        } else {
            let present = self.serving(name).map(|index| self.plugins[index].files());
            match present.transpose() {
                Ok(files) => {
                    let (held, takeover) = (true, Takeover::None);
                    let standing = Standing::Coming { told, held, takeover };
                    return self.launch(next, standing, files.unwrap_or_default(), now);
                }
                Err(error) => error.to_string(),
            }
        };
        let _ = told.send(Err(refusal));
    }

    /// A coming generation is ready: does it have to wait?
    pub(super) fn hold(&mut self, index: usize) {
        let Some(plugin) = self.plugins.get_mut(index) else {
            return;
        };
        if let Standing::Coming { held: true, .. } = plugin.standing
            && let (Some(told), Some(pid)) = (plugin.standing.settle(Standing::Held), plugin.pid())
        {
            let _ = told.send(Ok(pid));
        }
    }

    /// Lets the change take effect, after which these plugins are `wanted`; returns the processes that serve from now on, by plugin.
    ///
    /// # Errors
    /// A process that was ready has died meanwhile; then nothing has changed.
    pub(crate) fn commit(
        &mut self,
        change: Change,
        wanted: &[Entry],
        now: Instant,
    ) -> Result<Vec<(String, Pid)>, String> {
        if self.stopping {
            return Err("the server is stopping".into());
        }
        if let Some(name) = change.held.iter().find(|name| self.waiting(name).is_none()) {
            return Err(format!(
                "the next process of the plugin {name} has died before it was needed"
            ));
        }
        // One that was still to go, and is wanted again, stays.
        self.dismissed
            .retain(|name| !wanted.iter().any(|entry| entry.name == *name));
        let mut serving = Vec::new();
        for name in &change.held {
            let Some(index) = self.waiting(name) else { continue };
            self.plugins[index].standing = Standing::Serving;
            serving.extend(self.plugins[index].pid().map(|pid| (name.clone(), pid)));
            self.take_place(index, now);
        }
        for next in change.kept {
            if let Some(index) = self.serving(&next.entry.name) {
                let plugin = &mut self.plugins[index];
                plugin.entry = next.entry;
                plugin.place = next.place;
                if plugin.config != next.config {
                    plugin.config = next.config;
                    // A plugin takes over what it can while it runs: the section logs.
                    plugin.send_config();
                }
            } else {
                // One that comes by its first call, or by itself.
                let life = Lifecycle::new(self.restart.clone(), next.patience);
                let mut plugin = Plugin::new(next.entry, next.config, life);
                plugin.place = next.place;
                self.plugins.push(plugin);
            }
        }
        // Those that call others go before them.
        let mut removed = change.removed;
        removed.sort_by_key(|name| Reverse(self.serving(name).map(|index| self.plugins[index].entry.role)));
        self.dismissed.extend(removed);
        // New ones stand at the end.
        self.plugins.sort_by_key(|plugin| plugin.entry.role);
        self.changed = true;
        self.dismiss(now);
        Ok(serving)
    }

    /// The change will not be: what waits for it, or is still on its way, goes.
    pub(crate) fn abandon(&mut self, now: Instant) {
        for plugin in &mut self.plugins {
            let waits = matches!(plugin.standing, Standing::Held | Standing::Coming { held: true, .. });
            if let Some(process) = plugin.process.as_ref().filter(|_| waits) {
                // It has done nothing that anybody could miss.
                process.kill();
                plugin.life.on(Event::Stop(now + DEAD_BY), now);
                plugin.standing = Standing::Leaving;
            }
        }
    }

    /// Stops the plugins that are not wanted any more, each when all that may call it have gone.
    pub(super) fn dismiss(&mut self, now: Instant) {
        let mut waiting = std::mem::take(&mut self.dismissed);
        waiting.retain(|name| {
            let Some(index) = self.serving(name) else { return false };
            let role = self.plugins[index].entry.role;
            let goes = |plugin: &Plugin| matches!(plugin.standing, Standing::Leaving);
            if self
                .plugins
                .iter()
                .any(|plugin| goes(plugin) && plugin.entry.role > role)
            {
                return true;
            }
            tracing::info!(target: "supervisor", plugin = name, "the plugin is not configured any more, and stops");
            self.plugins[index].standing = Standing::Leaving;
            self.plugins[index].substitute = None;
            self.tell(index, Event::Stop(now + self.grace), now);
            self.forget(index);
            false
        });
        self.dismissed.append(&mut waiting);
    }

    /// The plugins as they are.
    pub(crate) fn look(&self, now: Instant) -> Look {
        let names = |is: fn(&Plugin) -> bool| {
            let found = self.plugins.iter().filter(|plugin| is(plugin));
            found.map(|plugin| plugin.entry.name.clone()).collect()
        };
        let serving: Vec<String> = names(Plugin::is_serving);
        Look {
            coming: self
                .plugins
                .iter()
                .find(|plugin| plugin.is_coming())
                .map(|plugin| plugin.on_its_way(now)),
            failed: names(|plugin| plugin.is_serving() && plugin.life.actual() == Actual::Failed),
            asleep: names(|plugin| plugin.is_serving() && plugin.is_asleep()),
            hasty: names(|plugin| {
                let process = plugin.process.as_ref();
                plugin.is_serving() && process.is_some_and(|process| !process.waits)
            }),
            stateful: names(|plugin| plugin.is_serving() && plugin.life.is_alive() && plugin.entry.is_single),
            present: serving.iter().filter_map(|name| self.present(name)).collect(),
        }
    }

    /// Replaces a plugin that keeps state by what it is to be.
    pub(crate) fn exchange(&mut self, next: Next, told: Told, now: Instant) {
        self.replace(next, told, now);
    }

    /// Signs the control directory anew.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn sign(&self, signature: &Signature) -> io::Result<()> {
        self.around.control_dir.sign(signature)
    }

    /// Other outputs of the log, and other settings for our own lines.
    ///
    /// # Errors
    /// The settings make no sense.
    pub(crate) fn set_logs(&self, outputs: Outputs, own: &Logs) -> Result<(), LogError> {
        self.around.log.reconfigure(outputs, own)
    }

    /// From now on: how often a plugin is restarted, and how long a stop may take.
    pub(crate) fn set_rules(&mut self, restart: &Restart, grace: Duration) {
        self.restart = restart.clone();
        self.grace = grace;
        for plugin in &mut self.plugins {
            plugin.life.set_restart(restart.clone());
        }
    }

    /// From now on: where the plugins' counts go before they stop.
    pub(crate) fn set_ledger(&mut self, ledger: Option<Ledger>) {
        self.around.ledger = ledger;
    }

    /// From now on: what the requests of a plugin that is started wait for while changed files are dealt with.
    /// Returns what it was.
    pub(crate) fn set_gate(&mut self, gate: Option<Gate>) -> Option<Gate> {
        std::mem::replace(&mut self.around.watch, gate)
    }

    /// The processes that know nothing of what was committed last: those that are to go, and `attached` ones that somebody else has to
    /// restart.
    pub(crate) fn outdated(&self, attached: &[String]) -> BTreeSet<Pid> {
        let is_old = |plugin: &&Plugin| {
            let name = &plugin.entry.name;
            matches!(plugin.standing, Standing::Leaving) || attached.contains(name) || self.dismissed.contains(name)
        };
        self.plugins.iter().filter(is_old).filter_map(Plugin::pid).collect()
    }

    /// How long a stop may take.
    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    /// The listening sockets.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.around.sockets
    }

    fn waiting(&self, name: &str) -> Option<usize> {
        let waits = |plugin: &Plugin| matches!(plugin.standing, Standing::Held) && plugin.life.is_ready();
        self.plugins
            .iter()
            .position(|plugin| waits(plugin) && plugin.entry.name == name)
    }
}
