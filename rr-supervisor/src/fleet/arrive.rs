//! Processes that we have not started become plugins' processes. From their registration on they are asked and stopped like those
//! of our own.

use super::{Fleet, plugin::Process};
use crate::plugins::{
    foreign::Foreign,
    lifecycle::{Event, Exit},
};
use nix::unistd::Pid;
use std::{io, time::Instant};

impl Fleet {
    /// A process that we do not know registers: the attached plugin of that name, if there is one without a process.
    ///
    /// The door has let it in, so it runs under our own user or an allowed one; more is not asked of it.
    pub(super) fn attach(&mut self, pid: Pid, name: &str, now: Instant) -> Option<usize> {
        let is = |plugin: &super::Plugin| plugin.entry.attached && plugin.entry.name == name;
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
}
