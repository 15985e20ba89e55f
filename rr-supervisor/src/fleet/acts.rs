//! What the plugins' lifecycles decide is carried out here, whether the server starts, stops or comes to a time limit.

use super::{Fleet, gone::Gone, plugin::Plugin};
use crate::{
    plugins::{
        catalog::Role,
        lifecycle::{Action, Actual, Event},
    },
    reaper,
};
use std::time::Instant;

impl Fleet {
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

    /// Acts on the time limits that have come.
    pub(crate) fn elapse(&mut self, now: Instant) {
        self.dismiss(now);
        for index in 0..self.plugins.len() {
            if self.plugins[index].life.wake().is_some_and(|wake| wake <= now) {
                self.tell(index, Event::Elapsed, now);
            }
        }
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

    /// Tells a plugin's lifecycle what has happened, and does what it says.
    pub(super) fn tell(&mut self, index: usize, event: Event, now: Instant) {
        self.changed = true;
        if let Some(action) = self.plugins[index].life.on(event, now) {
            self.act(index, action, now);
        }
    }

    /// Does what a lifecycle says.
    pub(super) fn act(&mut self, index: usize, action: Action, now: Instant) {
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

    /// A process says that it is ready.
    pub(super) fn started(&mut self, index: usize, now: Instant) {
        tracing::debug!(target: "supervisor", plugin = self.plugins[index].entry.name, "ready");
        self.tell(index, Event::Ready, now);
        self.hold(index);
        self.promote(index, now);
    }
}
