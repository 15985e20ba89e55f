//! The finished spans that wait to be sent: a bounded number. Whoever adds one never waits; what finds no room is counted.

use crate::{settings::Limits, span::Span};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    spans: Vec<Span>,
    dropped: u64,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            inner: Mutex::default(),
            wake: Notify::new(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a span, if there is room.
    pub(crate) fn push(&self, span: Span) {
        let mut inner = self.inner();
        if inner.closed || inner.spans.len() >= self.limits.queue {
            inner.dropped += 1;
            return;
        }
        inner.spans.push(span);
        let waiting = inner.spans.len();
        drop(inner);
        // The first one starts the clock of a batch, and a full batch ends it: the other thread wakes up for no other.
        if waiting == 1 || waiting == self.limits.batch {
            self.wake.notify_one();
        }
    }

    /// Takes no more spans; those that wait are still handed out.
    pub(crate) fn close(&self) {
        self.inner().closed = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.inner().closed
    }

    /// Spans that wait.
    pub(crate) fn len(&self) -> usize {
        self.inner().spans.len()
    }

    /// Spans that found no room since this was asked last.
    pub(crate) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.inner().dropped)
    }

    /// Returns when it is closed. For the one who takes batches.
    pub(crate) async fn closed(&self) {
        while !self.is_closed() {
            self.wake.notified().await;
        }
    }

    /// The next batch: when it is full, or its first span has waited for long enough. `None` when all have been taken and
    /// none will come.
    pub(crate) async fn batch(&self) -> Option<Vec<Span>> {
        while self.len() == 0 {
            // Nothing comes after the close, so what is asked second is the last word on the first.
            if self.is_closed() && self.len() == 0 {
                return None;
            }
            self.wake.notified().await;
        }
        let by = Instant::now() + self.limits.delay;
        while !self.is_closed() && self.len() < self.limits.batch {
            if timeout_at(by, self.wake.notified()).await.is_err() {
                break;
            }
        }
        let mut inner = self.inner();
        let size = inner.spans.len().min(self.limits.batch);
        let rest = inner.spans.split_off(size);
        Some(std::mem::replace(&mut inner.spans, rest))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::export::tests::span;
    use std::time::Duration;

    fn queue(queue: usize, batch: usize, delay: Duration) -> Queue {
        Queue::new(Limits { queue, batch, delay })
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(work)
    }

    // OTEL-01
    #[test]
    fn batches_are_full_or_old_and_none_is_lost() {
        run(async {
            let queue = queue(10, 3, Duration::from_millis(5));
            for _ in 0..4 {
                queue.push(span());
            }
            assert_eq!(queue.batch().await.unwrap().len(), 3);
            assert_eq!(queue.batch().await.unwrap().len(), 1);
            queue.push(span());
            queue.close();
            assert_eq!(queue.batch().await.unwrap().len(), 1);
            assert!(queue.batch().await.is_none());
        });
    }

    // OTEL-01
    #[test]
    fn what_finds_no_room_is_counted() {
        run(async {
            let queue = queue(2, 2, Duration::from_secs(60));
            for _ in 0..5 {
                queue.push(span());
            }
            assert_eq!(queue.batch().await.unwrap().len(), 2);
            assert_eq!((queue.take_dropped(), queue.take_dropped()), (3, 0));
            queue.close();
            queue.push(span());
            assert!(queue.batch().await.is_none());
            assert_eq!(queue.take_dropped(), 1);
        });
    }

    #[test]
    fn a_waiting_taker_is_woken() {
        run(async {
            let queue = queue(10, 2, Duration::from_secs(60));
            let add = async {
                queue.push(span());
                tokio::task::yield_now().await;
                queue.push(span());
            };
            let (batch, ()) = tokio::join!(queue.batch(), add);
            assert_eq!(batch.unwrap().len(), 2);
            let (batch, ()) = tokio::join!(queue.batch(), async { queue.close() });
            assert!(batch.is_none());
        });
    }
}
