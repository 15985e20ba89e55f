//! What all services share: the readers of their output, and the guard that knows their process groups.

use super::{
    guard::Guard,
    output::{Output, Outputs},
};
use crate::place::Place;
use nix::unistd::Pid;
use rr_common::telemetry::Level;
use std::{collections::BTreeSet, sync::Arc};
use tokio::net::unix::pipe;

/// What all services share.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Where processes are started.
    pub(super) place: Arc<Place>,
    pub(super) outputs: Outputs,
    pub(super) guard: Option<Guard>,
    /// The groups that are there, for a guard that takes the place of another.
    groups: BTreeSet<Pid>,
}

impl Around {
    /// A process has been started, which leads a group.
    pub(super) fn begun(&mut self, group: Pid, pipe: pipe::Receiver, logger: String) {
        self.outputs.read(Output::new(pipe, logger, Level::Info, None));
        self.groups.insert(group);
        if self.guard.as_mut().is_none_or(|guard| guard.watch(group).is_err()) {
            self.post_guard();
        }
    }

    /// A group is there that the program before us has started, and the guard knows of it. False if it is counted already.
    pub(super) fn goes_on(&mut self, group: Pid) -> bool {
        self.groups.insert(group)
    }

    /// Nothing of the group is left.
    pub(super) fn over(&mut self, group: Pid) {
        self.groups.remove(&group);
        if self.guard.as_mut().is_some_and(|guard| guard.forget(group).is_err()) {
            self.post_guard();
        }
    }

    /// A child has ended: the guard, perhaps.
    pub(super) fn ended(&mut self, pid: Pid) {
        if self.guard.as_ref().is_some_and(|guard| guard.is(pid)) {
            self.post_guard();
        }
    }

    /// A new guard, if there is anything to guard.
    pub(super) fn post_guard(&mut self) {
        self.guard = None;
        if self.groups.is_empty() {
            return;
        }
        let posted = Guard::start().and_then(|mut guard| {
            for group in &self.groups {
                guard.watch(*group)?;
            }
            Ok(guard)
        });
        match posted {
            Ok(guard) => self.guard = Some(guard),
            Err(error) => {
                tracing::warn!(target: "service", %error, "no guard: a killed server would leave what services have started");
            }
        }
    }
}
