//! The workers of one plugin, and who gets which of them.
//!
//! A request takes an idle worker from a stack under a short lock, writes its frame itself with one non-blocking write
//! and waits for a oneshot. The worker's own reader task resolves it. Nothing is allocated in proportion to the pool,
//! there is no task and no timer per request, and a client that goes away loses only its receiver.
//!
//! - [`state`]: every decision about requests and workers, as plain data; its events in [`exchange`] and [`boot`]
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
mod deaths;
mod error;
mod exchange;
pub(crate) mod gate;
mod info;
mod keeper;
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
mod state;
mod streaming;

pub use crate::worker::{Body, Payload};
pub use answer::{Answer, Stream};
pub use deaths::{Cause, WorkerDeath};
pub use error::ExecError;
pub use info::{Stats, WorkerInfo};

use crate::{
    config, oom,
    plugin::StartError,
    proc,
    relay::{Address, hub::Hub},
    worker::recipe::{self, Recipe},
};
use life::Setup;
use queue::Ticket;
use rules::{MOST_WORKERS, Rules};
use shared::{Job, Shared};
use state::{Core, Refused, Submitted};
use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{timeout, timeout_at},
};

/// How long after the deadline of a stop killed processes may take to disappear.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// Says in a few words what a request's context asks for.
pub type Describe = fn(&[u8]) -> Option<String>;

/// What a pool needs to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// The plugin's `pool` section.
    pub pool: config::section::Pool,
    /// The `server` section.
    pub server: config::section::Server,
    /// `rpc.listen`, if it is written in the file.
    pub rpc: Option<String>,
    /// The plugin's name, which is its workers' `RR_MODE`.
    pub mode: String,
    /// Variables that the plugin adds.
    pub env: Vec<(String, String)>,
    /// The runtimes on which frames move.
    pub runtimes: Vec<Handle>,
    /// For operators who want to know what a worker works on.
    pub describe: Option<Describe>,
}

/// The workers of one plugin; a cheap handle.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    setup: Arc<Setup>,
    debug: bool,
    reset_timeout: Duration,
}

impl Pool {
    /// Starts every worker; returns when all are ready. Call it on the runtime of a thread that lives as long as the
    /// process: workers die with the thread that forked them.
    ///
    /// # Errors
    /// A setting is wrong, or a worker did not start: then with PHP's own words why not, and all others are stopped. Where code is
    /// [waited for](repair) that one is told in the log, and the pool begins without workers.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let rules = Rules::new(&options.pool)?;
        let address: Address = options
            .server
            .relay
            .parse()
            .map_err(|error| StartError(format!("{error}")))?;
        let identity = recipe::identity("server", &options.server.user, &options.server.group)?;
        let hub = Hub::start(&address, &options.mode, identity.as_ref()).await?;
        let relay = hub.as_ref().map_or("pipes", Hub::relay);
        let recipe = Recipe::new(&options, relay, identity)?;
        let describe = options.describe;
        let mut runtimes = options.runtimes;
        if runtimes.is_empty() {
            runtimes.push(Handle::current());
        }
        let debug = rules.debug;
        let core = Core::new(rules, RandomState::new().hash_one(std::process::id()));
        let setup = Arc::new(Setup {
            recipe,
            hub,
            runtimes,
            describe,
            oom: Mutex::new(oom::Watch::of(std::process::id())),
        });
        let pool = Self {
            setup: Arc::clone(&setup),
            shared: Arc::new(Shared::new(core, &options.mode, &options.pool)),
            debug,
            reset_timeout: options.pool.reset_timeout.get().max(Duration::from_millis(1)),
        };
        tokio::spawn(keeper::keep(Arc::clone(&pool.shared), setup));
        if debug {
            return Ok(pool);
        }
        match pool.all_serve(0).await {
            Ok(()) => {
                pool.shared.started.store(true, Ordering::Relaxed);
                Ok(pool)
            }
            Err(error) if repair::is_awaited() => {
                tracing::error!(target: "server", internal_event_name = "EventWorkerError", error, "the workers do not start; a changed file or the next request tries it again");
                pool.shared.started.store(true, Ordering::Relaxed);
                pool.shared.with(Core::await_repair);
                Ok(pool)
            }
            Err(error) => {
                pool.stop(Instant::now()).await;
                Err(StartError(error))
            }
        }
    }

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

    /// The workers as they are.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.look(false)
    }

    /// The same, and what each of them works on.
    pub fn details(&self) -> Vec<WorkerInfo> {
        self.look(true)
    }

    /// The workers that died or were replaced last, oldest first.
    pub fn deaths(&self) -> Vec<WorkerDeath> {
        self.shared.deaths()
    }

    /// How many workers are no more, for every cause.
    pub fn deaths_by_cause(&self) -> BTreeMap<Cause, u64> {
        self.shared.deaths_by_cause()
    }

    fn look(&self, requests: bool) -> Vec<WorkerInfo> {
        let seen: Vec<(WorkerInfo, Option<Arc<Payload>>)> = self.shared.with(|core| {
            let known = core
                .slots
                .iter()
                .filter_map(|(_, slot)| Some((slot, slot.worker.as_ref()?)));
            known
                .map(|(slot, worker)| {
                    let (status, status_text) = info::status(slot);
                    let job = slot.jobs.front().filter(|_| requests);
                    let info = WorkerInfo {
                        pid: worker.0.pid,
                        status,
                        status_text,
                        execs: slot.served,
                        created: worker.0.created,
                        memory: 0,
                        cpu: 0.0,
                        busy_since: slot.busy().then_some(slot.since),
                        request: String::new(),
                    };
                    (info, job.map(|job| Arc::clone(&job.payload)))
                })
                .collect()
        });
        let mut workers = Vec::with_capacity(seen.len());
        for (mut worker, payload) in seen {
            worker.request = self.setup.described(payload.as_deref());
            workers.push(worker);
        }
        for worker in &mut workers {
            worker.memory = proc::memory(worker.pid);
            let age = worker.created.elapsed().unwrap_or_default().as_secs_f64();
            if age > 0.0 {
                worker.cpu = proc::cpu_seconds(worker.pid) / age * 100.0;
            }
        }
        workers
    }

    /// Numbers for metrics and health: cheap, no process is looked at.
    pub fn stats(&self) -> Stats {
        self.shared.with(|core| {
            let mut stats = Stats {
                starting: core.booting,
                waiting: core.queue.len(),
                running: core.running,
                wanted: core.base + core.extra,
                oldest_wait: core.queue.oldest().map_or(Duration::ZERO, |since| since.elapsed()),
                max_queue_size: core.rules.max_queue.unwrap_or(0),
                ..Stats::default()
            };
            for (_, slot) in &core.slots {
                match info::status(slot).0 {
                    0 => {}
                    1 => stats.ready += 1,
                    2 => stats.working += 1,
                    _ => stats.invalid += 1,
                }
            }
            stats
        })
    }

    /// Replaces every worker, a few at a time: an old one goes when its replacement is ready. One that is busy for
    /// longer than `reset_timeout` is no longer waited for; it goes after its request.
    ///
    /// # Errors
    /// A new worker did not start. The old ones serve on, and are replaced once new ones start.
    pub async fn reset(&self) -> Result<(), ExecError> {
        if self.debug {
            return Ok(());
        }
        let failed = self.shared.with(|core| {
            core.reset();
            core.failed_boots
        });
        let replaced = self.wait_until(|core| {
            if core.failed_boots > failed {
                return Some(Err(ExecError::Boot(core.last_error.clone())));
            }
            (core.outdated() == 0 || core.closing).then_some(Ok(()))
        });
        timeout(self.reset_timeout, replaced).await.unwrap_or(Ok(()))
    }

    /// The code has changed: from now on no worker that has begun with the old one takes a request, and requests wait for
    /// new ones, which start after `hold`, counted from the last such call.
    pub fn renew(&self, hold: Duration) {
        let generation = self.shared.with(|core| {
            core.renew(Instant::now() + hold);
            core.generation
        });
        self.shared.renewals.send_replace(generation);
    }

    /// Waits until the workers that [`Pool::renew`] has asked for serve, and says how many they are; 0 if there was another such call
    /// meanwhile.
    ///
    /// # Errors
    /// A new worker did not start. Requests get that error until the code changes again or a start succeeds.
    pub async fn renewed(&self) -> Result<usize, ExecError> {
        let generation = self.shared.with(|core| core.generation);
        let renewed = self.wait_until(|core| {
            if core.generation != generation || core.closing || self.debug {
                return Some(Ok(0));
            }
            if core.failures > 0 {
                return Some(Err(ExecError::Boot(core.last_error.clone())));
            }
            (core.serving >= core.target()).then_some(Ok(core.serving))
        });
        timeout(self.reset_timeout, renewed).await.unwrap_or(Ok(0))
    }

    /// One worker more, up to 500. In debug mode there is nothing to add to.
    ///
    /// # Errors
    /// There are 500, or the new one did not start.
    pub async fn add_worker(&self) -> Result<(), StartError> {
        if self.debug {
            tracing::warn!(target: "server", "add worker is not available in debug mode");
            return Ok(());
        }
        let failed = self.shared.with(|core| {
            let room = core.base + core.extra < MOST_WORKERS;
            core.base += usize::from(room);
            core.wake = true;
            room.then_some(core.failed_boots)
        });
        let Some(failed) = failed else {
            return Err(StartError(format!(
                "number of workers can't be more than {MOST_WORKERS}"
            )));
        };
        self.all_serve(failed).await.map_err(|error| {
            self.shared.with(|core| core.base -= 1);
            StartError(error)
        })
    }

    /// One worker less; the last one stays. Returns when it has gone, or after `destroy_timeout`.
    pub async fn remove_worker(&self) {
        if self.debug {
            tracing::warn!(target: "server", "remove worker is not available in debug mode");
            return;
        }
        let removed = self.shared.with(|core| {
            let more = core.base > 1;
            core.base -= usize::from(more);
            core.wake = true;
            more
        });
        if !removed {
            tracing::warn!(target: "server", "can't remove the last worker");
            return;
        }
        let gone = self.wait_until(|core| (core.slots.len() <= core.base + core.extra || core.closing).then_some(()));
        let _ = timeout(self.shared.destroy_timeout, gone).await;
    }

    /// True in debug mode, where error texts go to the client.
    pub fn debug(&self) -> bool {
        self.debug
    }

    /// Refuses new requests, lets running ones finish, stops every worker; at the deadline kills what is left. When it
    /// returns no process of the pool lives.
    pub async fn stop(&self, deadline: Instant) {
        let now = Instant::now();
        // SIGTERM comes a little before the end, for workers that do not heed the stop command.
        let left = deadline.saturating_duration_since(now);
        let terminate = deadline
            .checked_sub((left / 8).min(crate::worker::process::KILL_GRACE))
            .unwrap_or(now);
        self.shared.deadline.send_replace(Some(terminate));
        self.shared.with(Core::close);
        let empty = |core: &Core<_, _>| core.slots.is_empty().then_some(());
        if timeout_at(deadline.into(), self.wait_until(empty)).await.is_err() {
            self.shared.with(|core| core.abandon(Instant::now()));
            let _ = timeout(AFTER_KILL, self.wait_until(empty)).await;
        }
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
