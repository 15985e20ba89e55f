//! One plugin's life, the same under a supervisor and alone: start, serve, drain, stop.

use super::{
    Context, Plugin, StartError,
    doors::Entrance,
    frames::Frames,
    service::exposition,
    slot::{Slot, until},
};
use crate::{config::Config, listen::Listeners, shutdown::Stop};
use std::{
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// A plugin that runs, and the threads below it.
#[derive(Debug)]
pub(super) struct Life<P> {
    slot: Slot<P>,
    frames: Frames,
}

/// What processes before this one have left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// [`Context::state`].
    pub state: Option<File>,
    /// [`Context::handover`].
    pub handover: Option<File>,
}

/// How a start ended.
#[derive(Debug)]
pub(super) enum Begun<P> {
    /// It is ready.
    Ready(Life<P>),
    /// It was told to stop before it was ready. What had been started dies with this process.
    Stopped,
}

impl<P: Plugin> Life<P> {
    /// Brings the plugin up, unless a stop comes first.
    pub(super) async fn begin(
        (config, section): (Arc<Config>, serde_json::Value),
        listeners: Listeners,
        left: Left,
        slot: Slot<P>,
        mut stop: Stop,
        entrance: Entrance,
    ) -> Result<Begun<P>, StartError> {
        let frames = Frames::start(P::threads(&config))?;
        if let Some(runtime) = frames.handles().first() {
            entrance.open(runtime, slot.clone());
        }
        let context = Context {
            config,
            section,
            listeners,
            runtimes: frames.handles(),
            state: left.state,
            handover: left.handover,
        };
        tokio::select! {
            started = P::start(context) => {
                slot.put(started?).await;
                crate::memory::settle();
                Ok(Begun::Ready(Self { slot, frames }))
            }
            _ = stop.begun() => Ok(Begun::Stopped),
        }
    }

    /// The threads on which requests run.
    pub(super) fn threads(&self) -> Vec<Handle> {
        self.frames.handles()
    }

    /// Drains and stops, all before the deadline. Where another process serves in its place, what this one has counted is given to
    /// `farewell`.
    pub(super) async fn end(self, deadline: Instant, farewell: impl AsyncFnOnce(String)) {
        // A drain may use up all the time but for a little, in which the workers are stopped.
        let drained_by =
            deadline - (deadline.saturating_duration_since(Instant::now()) / 8).min(Duration::from_secs(1));
        let _ = self.slot.drain(drained_by).await;
        if let Some(plugin) = self.slot.take(deadline).await {
            let counted = self.slot.is_replaced().then(|| exposition(&plugin));
            let farewell = async {
                if let Some(counted) = counted {
                    farewell(counted).await;
                }
            };
            until(deadline, async {
                tokio::join!(plugin.stop(deadline), farewell);
            })
            .await;
        }
        drop(self.frames);
    }
}
