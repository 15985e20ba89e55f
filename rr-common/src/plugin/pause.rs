//! The pause before a plugin's next process takes over what this one keeps for others.
//!
//! From its first moment no call begins: each is given back ([`CallError::Again`]). Those that run are waited for, then the plugin
//! hands over. What goes wrong on the way ends the pause, and the plugin serves on as if there had been none.
//!
//! [`CallError::Again`]: crate::rpc::CallError::Again

use super::{Plugin, slot::Slot};
use std::{
    fs::File,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};
use tokio::{sync::Mutex, time::timeout_at};

/// Whether a plugin is paused, or about to be.
#[derive(Debug, Default)]
pub(super) struct Pausing {
    on: AtomicBool,
    /// A resume waits for the end of the pause's begin.
    turn: Mutex<()>,
}

/// Why a plugin is not paused, or does not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PauseError {
    /// There is no plugin to pause.
    #[error("the process is starting or stopping")]
    Absent,
    /// Calls run for longer than there is time.
    #[error("calls that run have not ended in time")]
    Busy,
    /// What it keeps cannot be handed over, or taken up again.
    #[error("{0}")]
    Failed(String),
}

impl Pausing {
    /// Whether calls are given back.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::SeqCst)
    }
}

impl<P: Plugin> Slot<P> {
    /// Hands over into that file. Not done by the deadline, the plugin serves on.
    pub(super) async fn pause(&self, file: Option<File>, deadline: Instant) -> Result<(), PauseError> {
        let _turn = self.pausing.turn.lock().await;
        if self.pausing.is_on() {
            return Err(PauseError::Failed("the process is paused already".into()));
        }
        self.pausing.on.store(true, Ordering::SeqCst);
        let paused = self.hand_over(file, deadline).await;
        if let Err(error) = &paused {
            tracing::warn!(target: "control", "the pause is over before its time: {error}");
            self.go_on().await?;
        }
        paused
    }

    /// Ends a pause; there may be none.
    pub(super) async fn resume(&self) -> Result<(), PauseError> {
        let _turn = self.pausing.turn.lock().await;
        match self.pausing.is_on() {
            true => self.go_on().await,
            false => Ok(()),
        }
    }

    async fn hand_over(&self, file: Option<File>, deadline: Instant) -> Result<(), PauseError> {
        match &*self.plugin.read().await {
            Some(plugin) => plugin.pausing(),
            None => return Err(PauseError::Absent),
        }
        // Every call that runs holds the other side of this lock.
        let plugin = timeout_at(deadline.into(), self.plugin.write()).await;
        match &mut *plugin.map_err(|_| PauseError::Busy)? {
            Some(plugin) => plugin.pause(file, deadline).await,
            None => Err(PauseError::Absent),
        }
    }

    async fn go_on(&self) -> Result<(), PauseError> {
        // On failure it stays paused: without what it kept it must not answer.
        if let Some(plugin) = &mut *self.plugin.write().await {
            plugin.resume().await?;
        }
        self.pausing.on.store(false, Ordering::SeqCst);
        Ok(())
    }
}
