//! The workers of one plugin, and who gets which of them.
//!
//! A request takes an idle worker from a stack under a short lock, writes its frame itself with one non-blocking write
//! and waits for a oneshot. The worker's own reader task resolves it. Nothing is allocated in proportion to the pool,
//! there is no task and no timer per request, and a client that goes away loses only its receiver.
//!
//! This file is the handle: it takes requests in.
//!
//! - [`start`]: what a pool is made from, and how; [`commands`]: what it is told while it runs, up to its end; [`info`]: what it shows
//! - [`state`]: what is known of requests and workers, as plain data, and on it every decision: [`dispatch`]: who serves which request,
//!   [`leave`]: how a worker goes; [`exchange`] and [`boot`]: what its reader and its attendant report
//! - [`ahead`]: the second frame in a pipe
//! - [`plan`]: how many workers there should be, and what is due when; [`operate`]: reset and close; [`renew`]: new code; [`repair`]: code that does not start the first time; [`gate`]: what a request
//!   waits for meanwhile
//! - [`queue`]: the requests that wait; [`rules`]: the numbers of the configuration
//! - [`shared`]: the lock around the decisions, and what follows from them
//! - [`deaths`]: why workers are no more
//! - [`reader`]: one worker's answers, [`streaming`]: streamed ones; [`life`]: its process; [`keeper`]: the pool's housekeeping

mod ahead;
mod answer;
mod boot;
mod commands;
mod deaths;
mod dispatch;
mod error;
mod exchange;
pub(crate) mod gate;
mod info;
mod keeper;
mod leave;
mod life;
#[cfg(test)]
mod model;
mod operate;
mod plan;
mod queue;
mod reader;
mod renew;
pub(crate) mod repair;
mod rules;
#[cfg(test)]
mod scenarios;
mod shared;
mod start;
mod state;
mod streaming;

pub use crate::worker::{Body, Payload};
pub use answer::{Answer, Stream};
pub use deaths::{Cause, WorkerDeath};
pub use error::ExecError;
pub use info::{Stats, WorkerInfo};
pub use start::{Describe, Options};

use dispatch::{Refused, Submitted};
use life::Setup;
use queue::Ticket;
use shared::{Job, Shared};
use state::Core;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// The workers of one plugin; a cheap handle.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    setup: Arc<Setup>,
    debug: bool,
    reset_timeout: Duration,
}

impl Pool {
    /// Gives one request to a worker and waits for the answer. Dropping the future drops the answer, never the worker.
    ///
    /// # Errors
    /// See [`ExecError`].
    pub async fn exec(&self, payload: Payload) -> Result<Answer, ExecError> {
        if let Some(fault) = payload.fault() {
            return Err(ExecError::Decode(fault.into()));
        }
        if let Some(gate) = gate::installed() {
            gate.pass().await;
        }
        let payload = Arc::new(payload);
        let (reply, answer) = oneshot::channel();
        let now = Instant::now();
        let job = Job {
            payload: Arc::clone(&payload),
            reply,
            since: now,
            tries: 0,
        };
        let submitted = self.shared.with(|core| core.submit(job, now));
        let _place = match submitted {
            Ok(Submitted::Run(worker)) => {
                worker.0.send(payload);
                None
            }
            Ok(Submitted::Wait(ticket)) => {
                drop(payload);
                Some(Place { pool: self, ticket })
            }
            Err(Refused::Full) => return Err(ExecError::QueueSize),
            Err(Refused::Stopped) => return Err(ExecError::Stopped),
        };
        // The sender goes without a word only if the worker's reader was torn down.
        answer.await.unwrap_or_else(|_| Err(ExecError::Network("EOF".into())))
    }

    /// True in debug mode, where error texts go to the client.
    pub fn debug(&self) -> bool {
        self.debug
    }

    /// Waits until as many workers serve as are wanted.
    async fn all_serve(&self, failed: u64) -> Result<(), String> {
        self.wait_until(|core| {
            if core.failed_boots > failed {
                return Some(Err(core.last_error.clone()));
            }
            (core.serving >= core.target()).then_some(Ok(()))
        })
        .await
    }

    /// Waits until the look at the pool finds something; the caller bounds the wait.
    async fn wait_until<T>(&self, look: impl Fn(&Core<shared::Worker, Job>) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(found) = self.shared.with(|core| look(core)) {
                return found;
            }
            changed.await;
        }
    }
}

/// A request's place among those that wait: given up when the request is dropped.
struct Place<'a> {
    pool: &'a Pool,
    ticket: Ticket,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // The removed request is dropped here, outside the lock.
        drop(self.pool.shared.with(|core| core.cancel(self.ticket)));
    }
}
