//! The one thread that writes a file. A commit waits for the disk; whatever arrives meanwhile goes into the next commit
//! together. The same thread removes keys that have ended, every `interval` and only while some key has an end.
//!
//! The queue has a bound. A call that finds it full waits for its place on another thread, so that no call's thread ever does.

use super::{file::Tables, store::Store};
use crate::{driver::Outcome, expiry::Expiry};
use redb::StorageError;
use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{sync::oneshot, task::spawn_blocking};

/// Changes in one commit, and in the queue.
const BATCH: usize = 1024;
/// Keys that one commit removes because they have ended.
const SWEEP: usize = 10_000;

/// A change, which gives what to do once it is on the disk.
type Job = Box<dyn FnOnce(&mut Tables<'_>) -> Result<Answer, StorageError> + Send>;
type Answer = Box<dyn FnOnce() + Send>;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    /// None once it is closed.
    jobs: Option<SyncSender<Job>>,
    store: Arc<Store>,
    ended: Option<oneshot::Receiver<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(store: Arc<Store>, interval: Duration) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(BATCH);
        let (end, ended) = oneshot::channel();
        let shared = Arc::clone(&store);
        thread::Builder::new().name("kv-file".into()).spawn(move || {
            run(&shared, &queue, interval);
            shared.close();
            // Nobody waits if the process ends without a stop.
            let _ = end.send(());
        })?;
        Ok(Self {
            jobs: Some(jobs),
            store,
            ended: Some(ended),
        })
    }

    /// Makes a change and waits until it is on the disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, StorageError> + Send + 'static,
    ) -> Outcome<T> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |tables| {
            let result = change(tables)?;
            // Whoever asked may have gone.
            Ok(Box::new(move || drop(tell.send(result))))
        });
        let Some(jobs) = &self.jobs else {
            return Err(self.store.failed());
        };
        match jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => {
                let jobs = jobs.clone();
                // If the thread has ended, the job goes without an answer.
                let _ = spawn_blocking(move || jobs.send(job)).await;
            }
            Err(TrySendError::Disconnected(_)) => return Err(self.store.failed()),
        }
        // A job of a failed commit is dropped without an answer.
        told.await.map_err(|_| self.store.failed())
    }

    /// Ends the thread after what it has to do, and closes the file.
    pub(super) async fn close(&mut self) {
        self.jobs = None;
        if let Some(ended) = self.ended.take() {
            let _ = ended.await;
        }
    }

    /// Whether it has been closed.
    pub(super) fn is_closed(&self) -> bool {
        self.jobs.is_none()
    }
}

fn run(store: &Store, queue: &Receiver<Job>, interval: Duration) {
    let mut next_sweep = Some(Instant::now());
    loop {
        let first = match next_sweep {
            Some(at) => queue.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => queue.recv().map_err(RecvTimeoutError::from),
        };
        let first = match first {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let due = first.is_none();
        let jobs = first.into_iter().chain(queue.try_iter()).take(BATCH);
        let done = store.write(|tables| {
            let answers = jobs.map(|job| job(tables)).collect::<Result<Vec<_>, _>>()?;
            let swept = if due { tables.sweep(Expiry::now(), SWEEP)? } else { 0 };
            Ok((answers, swept == SWEEP, tables.any_ends()?))
        });
        let pause = match &done {
            Ok((_, more, _)) if *more => Some(Duration::ZERO),
            Ok((_, _, any_ends)) => any_ends.then_some(interval),
            Err(_) => Some(interval),
        };
        next_sweep = match (next_sweep, pause) {
            (Some(at), Some(_)) if !due => Some(at),
            (_, pause) => pause.map(|pause| Instant::now() + pause),
        };
        if let Ok((answers, ..)) = done {
            answers.into_iter().for_each(|answer| answer());
        }
    }
}
