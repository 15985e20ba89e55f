//! What those who make spans hold, and the whole behind it.

use crate::{
    export::Sender,
    ids,
    propagate::{Parent, SAMPLED},
    queue::Queue,
    sampler::Sampler,
    sending,
    settings::{Settings, SettingsError},
    span::Span,
};
use rr_common::{
    config::section::Otel,
    telemetry::trace::{Place, SpanId},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, time::timeout_at};

/// The end of a process waits so long at most for a collector.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// The traces of a process: the thread that sends them, until [`Traces::stop`].
#[derive(Debug)]
pub struct Traces {
    tracer: Tracer,
    ended: oneshot::Receiver<()>,
}

/// Makes places and takes finished spans; a cheap handle that never waits.
#[derive(Clone, Debug)]
pub struct Tracer {
    sampler: Sampler,
    queue: Arc<Queue>,
}

impl Traces {
    /// Starts what the section asks for, in the name of this program. The collector need not be there.
    ///
    /// # Errors
    /// The section cannot be used.
    pub fn start(section: &Otel, program: &'static str) -> Result<Self, SettingsError> {
        let settings = Settings::new(section, &|name| std::env::var(name).ok())?;
        for warning in &settings.warnings {
            tracing::warn!(target: "otel", "{warning}");
        }
        let queue = Arc::new(Queue::new(settings.limits));
        let sender = Sender {
            resource: settings.resource,
            scope: program,
        };
        let ended = sending::start(settings.exporter, sender, Arc::clone(&queue))?;
        let tracer = Tracer {
            sampler: settings.sampler,
            queue,
        };
        Ok(Self { tracer, ended })
    }

    /// The handle for those who make spans.
    pub fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what is left, at most until the deadline, and not for long.
    pub async fn stop(self, deadline: Instant) {
        let queue = &self.tracer.queue;
        queue.close();
        let by = deadline.min(Instant::now() + LAST_SPANS);
        if timeout_at(by.into(), self.ended).await.is_err() {
            tracing::warn!(target: "otel", waiting = queue.len(), "the collector did not take the last spans in time");
        }
    }
}

impl Tracer {
    /// The place of a new span below this parent, or of a new trace, and the trace's flags.
    pub fn place(&self, parent: Option<&Parent>) -> (Place, u8) {
        let trace = parent.map_or_else(ids::trace, |parent| parent.place.trace);
        let sampled = if self.sampler.samples(trace, parent) {
            SAMPLED
        } else {
            0
        };
        let flags = parent.map_or(0, |parent| parent.flags & !SAMPLED) | sampled;
        (
            Place {
                trace,
                span: ids::span(),
            },
            flags,
        )
    }

    /// An id for a span below one of ours.
    pub fn span_id(&self) -> SpanId {
        ids::span()
    }

    /// Takes a finished span.
    pub fn finish(&self, span: Span) {
        self.queue.push(span);
    }
}
