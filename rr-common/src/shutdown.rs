//! Begin, force, done: how everything that runs learns of a stop, and how the stop learns that it is complete.
//!
//! [`Stopper`] begins a stop with a deadline, and may bring the deadline forward; every [`Stop`] sees it. A task that has
//! something to finish keeps its `Stop`: [`Stopper::done`] returns when the last one is dropped.

use std::{
    io, process,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{sleep_until, timeout_at},
};

/// A second signal so soon after the first is the first one again: `timeout`, shells and terminals may send it both to a
/// process and to its group.
pub const SAME_SIGNAL: Duration = Duration::from_millis(250);

/// The side that stops.
#[derive(Debug)]
pub struct Stopper {
    deadline: watch::Sender<Option<Instant>>,
}

/// The side that is stopped.
#[derive(Clone, Debug)]
pub struct Stop {
    deadline: watch::Receiver<Option<Instant>>,
}

/// The signals that mean stop: SIGTERM, SIGINT, SIGQUIT, SIGABRT.
#[derive(Debug)]
pub struct Signals {
    all: [Signal; 4],
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// The handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        const SIGABRT: i32 = 6;
        Ok(Self {
            all: [
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
                signal(SignalKind::quit())?,
                signal(SignalKind::from_raw(SIGABRT))?,
            ],
        })
    }

    /// Waits for one of them.
    pub async fn next(&mut self) {
        let [a, b, c, d] = &mut self.all;
        tokio::select! {
            _ = a.recv() => {}
            _ = b.recv() => {}
            _ = c.recv() => {}
            _ = d.recv() => {}
        }
    }

    /// The first begins the stop, the second ends the process at once with code 1.
    pub async fn stop(mut self, stopper: Arc<Stopper>, grace: Duration) {
        self.next().await;
        let begin = Instant::now();
        stopper.begin(begin + grace);
        while begin.elapsed() < SAME_SIGNAL {
            self.next().await;
        }
        #[expect(clippy::disallowed_methods, reason = "a second signal asks for just that")]
        process::exit(1);
    }
}

impl Default for Stopper {
    fn default() -> Self {
        Self {
            deadline: watch::Sender::new(None),
        }
    }
}

impl Stopper {
    /// A further listener.
    pub fn listener(&self) -> Stop {
        Stop {
            deadline: self.deadline.subscribe(),
        }
    }

    /// Begins the stop. Of several deadlines the earliest counts.
    pub fn begin(&self, deadline: Instant) {
        self.deadline.send_modify(|current| {
            *current = Some(current.map_or(deadline, |earlier| earlier.min(deadline)));
        });
    }

    /// Ends all waiting now.
    pub fn force(&self) {
        self.begin(Instant::now());
    }

    /// Waits until every listener is dropped, at most until the deadline; says whether they are.
    pub async fn done(&self) -> bool {
        let deadline = self
            .deadline
            .borrow()
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
        timeout_at(deadline.into(), self.deadline.closed()).await.is_ok()
    }
}

impl Stop {
    /// The stop's deadline, once it has begun.
    pub fn deadline(&self) -> Option<Instant> {
        *self.deadline.borrow()
    }

    /// Waits for the begin of the stop and returns its deadline. A dropped stopper is a stop without any time left.
    pub async fn begun(&mut self) -> Instant {
        match self.deadline.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        }
    }

    /// Waits for the end of all patience: the deadline, brought forward by a later `force`.
    pub async fn forced(&mut self) {
        loop {
            let deadline = self.begun().await;
            tokio::select! {
                () = sleep_until(deadline.into()) => return,
                changed = self.deadline.changed() => if changed.is_err() { return },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        #[allow(clippy::unwrap_used)]
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn the_earliest_deadline_counts() {
        let now = Instant::now();
        let stopper = Stopper::default();
        let stop = stopper.listener();
        assert_eq!(stop.deadline(), None);
        stopper.begin(now + Duration::from_secs(30));
        stopper.begin(now + Duration::from_secs(60));
        assert_eq!(stop.deadline(), Some(now + Duration::from_secs(30)));
    }

    #[test]
    fn force_ends_a_long_wait() {
        runtime().block_on(async {
            let stopper = Stopper::default();
            let mut stop = stopper.listener();
            stopper.begin(Instant::now() + Duration::from_secs(3600));
            let waiter = tokio::spawn(async move { stop.forced().await });
            stopper.force();
            assert!(waiter.await.is_ok());
        });
    }

    #[test]
    fn done_waits_for_the_last_listener() {
        runtime().block_on(async {
            let stopper = Stopper::default();
            let mut stop = stopper.listener();
            let busy = stopper.listener();
            let first = tokio::spawn(async move { stop.begun().await });
            stopper.begin(Instant::now() + Duration::from_millis(20));
            assert!(first.await.is_ok());
            assert!(!stopper.done().await, "one is still busy");
            drop(busy);
            assert!(stopper.done().await);
        });
    }
}
