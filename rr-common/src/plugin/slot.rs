//! Where the running plugin stands, for the control calls that come at any time of its life.

use super::{Plugin, pause::Pausing};
use crate::{
    rpc::{CallError, Codec},
    shutdown::{Stop, Stopper},
};
use bytes::Bytes;
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Instant,
};
use tokio::{sync::RwLock, time::timeout_at};

/// The plugin, once it is ready and until it stops. Clones share it.
#[derive(Debug)]
pub(super) struct Slot<P> {
    pub(super) plugin: Arc<RwLock<Option<P>>>,
    pub(super) pausing: Arc<Pausing>,
    stop: Stop,
    /// Another process of this plugin serves.
    replaced: Arc<AtomicBool>,
    /// Ends the calls that still wait when the plugin is taken out.
    over: Arc<Stopper>,
}

/// There is no plugin to ask: it is not ready yet, or it stops.
#[derive(Debug)]
pub(super) struct Absent;

impl<P> Clone for Slot<P> {
    fn clone(&self) -> Self {
        Self {
            plugin: Arc::clone(&self.plugin),
            pausing: Arc::clone(&self.pausing),
            stop: self.stop.clone(),
            replaced: Arc::clone(&self.replaced),
            over: Arc::clone(&self.over),
        }
    }
}

impl<P: Plugin> Slot<P> {
    /// An empty one.
    pub(super) fn new(stop: Stop) -> Self {
        Self {
            plugin: Arc::default(),
            pausing: Arc::default(),
            stop,
            replaced: Arc::default(),
            over: Arc::default(),
        }
    }

    /// Another process of this plugin serves by now; the stop of this one follows.
    pub(super) fn set_replaced(&self) {
        self.replaced.store(true, Ordering::Relaxed);
    }

    /// Whether another process of this plugin serves.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Relaxed)
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

    /// Calls an RPC method. Answered until the plugin is taken out, also while it drains: its own workers may call it to the last.
    pub(super) async fn call(&self, method: &str, codec: Codec, body: Bytes) -> Result<Bytes, CallError> {
        let absent = || CallError::Failed(format!("rpc: the plugin {} is starting or stopping", P::NAME));
        let guard = self.plugin.try_read();
        // Looked at after that: whoever pauses waits for all that began before.
        if self.pausing.is_on() {
            return Err(CallError::Again(body));
        }
        let guard = guard.map_err(|_| absent())?;
        let mut call = pin!(guard.as_ref().ok_or_else(absent)?.call(method, codec, body));
        // Most are ready at once; only what waits has to hear of the end.
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
            return answer;
        }
        let mut over = self.over.listener();
        tokio::select! {
            biased;
            answer = call => answer,
            _ = over.begun() => Err(absent()),
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
        self.over.force();
        let mut slot = timeout_at(deadline.into(), self.plugin.write()).await.ok()?;
        slot.take()
    }
}

/// Gives a future until the deadline; says whether it got there.
pub(super) async fn until(deadline: Instant, work: impl Future<Output = ()>) -> bool {
    timeout_at(deadline.into(), work).await.is_ok()
}
