//! What follows from the end of a plugin's process: what it left behind is removed, its end is remembered, and its lifecycle decides
//! what comes next.

use super::{Fleet, gone::Gone, plugin::Standing};
use crate::{
    plugins::lifecycle::{Action, Actual, Event, Exit},
    reaper,
};
use nix::unistd::Pid;
use std::time::Instant;

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

impl Fleet {
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

    /// A plugin has no process any more, or got none.
    pub(super) fn died(&mut self, index: usize, mut gone: Gone, now: Instant) {
        self.changed = true;
        let fail_fast = self.fail_fast;
        let plugin = &mut self.plugins[index];
        let name = plugin.entry.name.clone();
        let asked = matches!(plugin.life.actual(), Actual::Stopping { .. });
        // One that starts by a call must not end a server that runs.
        let fatal = fail_fast && !asked && !plugin.entry.on_demand && !plugin.life.was_ready();
        let end = gone.end(plugin, now);
        let exit = end.exit;
        let reason = gone.reason(&end);
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

    /// The processes that ended unasked since the last call.
    pub(crate) fn losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }
}
