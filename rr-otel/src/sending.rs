//! The thread that sends spans. Slow or absent collectors, TLS and compression are its matter alone: nobody waits for it,
//! except the end of the process for a moment.

use crate::{
    export::{Export, Sender},
    queue::Queue,
    retry::Backoff,
    settings::{Exporter, SettingsError},
    span::Span,
};
use std::{sync::Arc, thread, time::Instant};
use tokio::{runtime::Builder, sync::oneshot, time::sleep};

/// Starts the thread; what is returned comes when all spans are dealt with, after the queue is closed.
pub(crate) fn start(
    exporter: Exporter,
    sender: Sender,
    queue: Arc<Queue>,
) -> Result<oneshot::Receiver<()>, SettingsError> {
    let failed = |error: std::io::Error| SettingsError::System(error.to_string());
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let export = {
        let _entered = runtime.enter();
        Export::new(exporter, sender)?
    };
    let (end, ended) = oneshot::channel();
    let work = move || {
        runtime.block_on(Sending::new(export).run(&queue));
        // Nobody may wait for it any more.
        let _ = end.send(());
    };
    thread::Builder::new()
        .name("traces".into())
        .spawn(work)
        .map_err(failed)?;
    Ok(ended)
}

struct Sending {
    export: Export,
    /// Batches are not taken at present, and the log says so.
    failing: bool,
    /// Spans that were given up since.
    lost: u64,
    /// Spans that found no room; the log says so once.
    dropped: u64,
}

impl Sending {
    fn new(export: Export) -> Self {
        Self {
            export,
            failing: false,
            lost: 0,
            dropped: 0,
        }
    }

    async fn run(mut self, queue: &Queue) {
        while let Some(spans) = queue.batch().await {
            self.deliver(&spans, queue).await;
        }
        self.count_dropped(queue);
        let (dropped, lost) = (self.dropped, self.lost);
        if dropped + lost > 0 {
            tracing::warn!(target: "otel", dropped, lost, "not all spans were delivered");
        }
    }

    fn count_dropped(&mut self, queue: &Queue) {
        let dropped = queue.take_dropped();
        if dropped > 0 && self.dropped == 0 {
            tracing::warn!(
                target: "otel", dropped,
                "spans are dropped: more come than can be sent (OTEL_BSP_MAX_QUEUE_SIZE is the room for them)"
            );
        }
        self.dropped += dropped;
    }

    /// Sends a batch, again if need be. When the queue is closed there is one try left.
    async fn deliver(&mut self, spans: &[Span], queue: &Queue) {
        let mut backoff = Backoff::new(Instant::now());
        loop {
            let sent = self.export.send(spans).await;
            self.count_dropped(queue);
            let failure = match sent {
                Ok(()) => return self.delivered(),
                Err(failure) => failure,
            };
            if !std::mem::replace(&mut self.failing, true) {
                tracing::warn!(target: "otel", error = failure.reason, "spans cannot be delivered");
            }
            match backoff.wait(&failure, Instant::now()).filter(|_| !queue.is_closed()) {
                Some(wait) => tokio::select! {
                    () = sleep(wait) => {}
                    () = queue.closed() => {}
                },
                None => {
                    self.lost += spans.len() as u64;
                    return;
                }
            }
        }
    }

    fn delivered(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!(target: "otel", lost = self.lost, "spans are delivered again");
        }
    }
}
