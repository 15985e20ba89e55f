//! The watch of this server, which a reload may replace.

use super::{Gate, Prepared, Watch, WatchError};
use crate::{fleet::RosterWatch, operate::Residents};
use tokio::{runtime::Handle, task::spawn_blocking};

/// The watch that runs, if one does, and what each of them needs.
#[derive(Debug)]
pub(crate) struct Watcher {
    gate: Gate,
    roster: RosterWatch,
    residents: Residents,
    /// The RPC thread's.
    handle: Handle,
    running: Option<Watch>,
}

/// A watch that has begun beside the one that runs.
#[derive(Debug)]
pub(crate) struct Begun(Option<Watch>);

impl Watcher {
    /// Nothing is watched yet.
    pub(crate) fn new(gate: Gate, roster: RosterWatch, residents: Residents, handle: Handle) -> Self {
        Self {
            gate,
            roster,
            residents,
            handle,
            running: None,
        }
    }

    /// What requests wait for while a change is dealt with.
    pub(crate) fn gate(&self) -> Gate {
        self.gate.clone()
    }

    /// Begins another watch, or none.
    ///
    /// # Errors
    /// The system has no thread or descriptor left.
    pub(crate) fn begin(&self, prepared: Option<Prepared>) -> Result<Begun, WatchError> {
        let start =
            |prepared: Prepared| prepared.start(self.roster.clone(), self.residents.clone(), self.handle.clone());
        prepared.map(start).transpose().map(Begun)
    }

    /// It is this one from now on.
    pub(crate) fn go_on_with(&mut self, begun: Begun) {
        let before = std::mem::replace(&mut self.running, begun.0);
        if let Some(before) = before {
            // Its end may wait for a plugin's answer.
            drop(spawn_blocking(move || drop(before)));
        }
    }
}
