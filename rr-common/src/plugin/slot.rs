//! Where the running plugin stands, for the control calls that come at any time of its life.

use super::Plugin;
use crate::shutdown::Stop;
use std::{future::Future, sync::Arc, time::Instant};
use tokio::{sync::RwLock, time::timeout_at};

/// The plugin, once it is ready and until it stops. Clones share it.
#[derive(Debug)]
pub(super) struct Slot<P> {
    plugin: Arc<RwLock<Option<P>>>,
    stop: Stop,
}

/// There is no plugin to ask: it is not ready yet, or it stops.
#[derive(Debug)]
pub(super) struct Absent;

impl<P> Clone for Slot<P> {
    fn clone(&self) -> Self {
        Self {
            plugin: Arc::clone(&self.plugin),
            stop: self.stop.clone(),
        }
    }
}

impl<P: Plugin> Slot<P> {
    /// An empty one.
    pub(super) fn new(stop: Stop) -> Self {
        Self {
            plugin: Arc::default(),
            stop,
        }
    }

    /// Puts the ready plugin in.
    pub(super) async fn put(&self, plugin: P) {
        *self.plugin.write().await = Some(plugin);
    }

    /// Asks the plugin something. The begin of the stop ends the question, so that a slow one holds nothing up.
    pub(super) async fn ask<T>(&self, question: impl AsyncFnOnce(&P) -> T) -> Result<T, Absent> {
        let mut stop = self.stop.clone();
        if stop.deadline().is_some() {
            return Err(Absent);
        }
        let answer = async {
            match &*self.plugin.read().await {
                Some(plugin) => Ok(question(plugin).await),
                None => Err(Absent),
            }
        };
        tokio::select! {
            answer = answer => answer,
            _ = stop.begun() => Err(Absent),
        }
    }

    /// Drains without stopping, at most until the deadline.
    pub(super) async fn drain(&self, deadline: Instant) -> Result<(), Absent> {
        match &*self.plugin.read().await {
            Some(plugin) => {
                until(deadline, plugin.drain(deadline)).await;
                Ok(())
            }
            None => Err(Absent),
        }
    }

    /// Takes the plugin out, at most until the deadline.
    pub(super) async fn take(&self, deadline: Instant) -> Option<P> {
        let mut slot = timeout_at(deadline.into(), self.plugin.write()).await.ok()?;
        slot.take()
    }
}

/// Gives a future until the deadline; says whether it got there.
pub(super) async fn until(deadline: Instant, work: impl Future<Output = ()>) -> bool {
    timeout_at(deadline.into(), work).await.is_ok()
}
