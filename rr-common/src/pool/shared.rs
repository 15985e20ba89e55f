//! What the handle, the readers and the keeper of one pool share: the decisions behind a short lock, and the hands that
//! carry out what was decided.

use super::{
    Answer, ExecError,
    deaths::{Cause, Deaths, WorkerDeath},
    queue::Request,
    state::{Core, Effect, Id, Member, Reason, Why},
};
use crate::{
    relay::outbox::{Item, Outbox},
    telemetry::trace::Place,
    worker::{
        Payload,
        process::{Order, Orders},
    },
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{Notify, oneshot, watch};

/// Workers to which one request is given before it fails.
const TRIES: u8 = 10;

/// A request in the pool.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) payload: Arc<Payload>,
    pub(super) reply: oneshot::Sender<Result<Answer, ExecError>>,
    pub(super) since: Instant,
    pub(super) tries: u8,
}

impl Job {
    /// Its place in a trace, if it has one.
    pub(super) fn place(&self) -> Option<Place> {
        self.payload.trail.as_ref().map(|trail| trail.place())
    }
}

impl Request for Job {
    type Frame = Arc<Payload>;

    fn frame(&self) -> Arc<Payload> {
        Arc::clone(&self.payload)
    }
    fn cancelled(&self) -> bool {
        self.reply.is_closed()
    }
    fn since(&self) -> Instant {
        self.since
    }
    fn again(&mut self) -> bool {
        self.tries += 1;
        self.tries < TRIES
    }
}

/// A worker as the pool holds it.
#[derive(Clone, Debug)]
pub(super) struct Worker(pub(super) Arc<Hand>);

/// How one worker is reached.
#[derive(Debug)]
pub(super) struct Hand {
    pub(super) id: Id,
    pub(super) pid: u32,
    pub(super) created: SystemTime,
    pub(super) outbox: Arc<Outbox>,
    pub(super) orders: watch::Sender<Orders>,
}

impl Member for Worker {
    fn pid(&self) -> u32 {
        self.0.pid
    }
}

impl Hand {
    pub(super) fn send(&self, payload: Arc<Payload>) {
        if let Some(trail) = &payload.trail {
            trail.begin();
        }
        self.outbox.send(Item::Request(payload));
    }

    /// Tells its attendant.
    pub(super) fn order(&self, order: Order) {
        self.orders.send_if_modified(|orders| orders.add(order));
    }
}

/// The heart of one pool.
#[derive(Debug)]
pub(super) struct Shared {
    core: Mutex<Core<Worker, Job>>,
    /// Wakes the keeper.
    pub(super) keeper: Notify,
    /// Wakes whoever waits for the pool to reach a state.
    pub(super) changed: Notify,
    /// The time at which a stop kills what is left.
    pub(super) deadline: watch::Sender<Option<Instant>>,
    /// How often the code has changed: what is being started then is out of date.
    pub(super) renewals: watch::Sender<u32>,
    /// Every worker was ready once.
    pub(super) started: AtomicBool,
    pub(super) mode: Arc<str>,
    pub(super) destroy_timeout: Duration,
    pub(super) stream_timeout: Duration,
    pub(super) allocate_timeout: Duration,
    deaths: Mutex<Deaths>,
}

impl Shared {
    pub(super) fn new(core: Core<Worker, Job>, mode: &str, pool: &crate::config::section::Pool) -> Self {
        let or_minute = |duration: crate::config::Dur| match duration.get() {
            Duration::ZERO => Duration::from_secs(60),
            set => set,
        };
        let debug = core.rules.debug;
        Self {
            allocate_timeout: core.rules.allocate_timeout,
            core: Mutex::new(core),
            keeper: Notify::new(),
            changed: Notify::new(),
            deadline: watch::Sender::new(None),
            renewals: watch::Sender::new(0),
            started: AtomicBool::new(debug),
            mode: mode.into(),
            destroy_timeout: or_minute(pool.destroy_timeout),
            stream_timeout: or_minute(pool.stream_timeout),
            deaths: Mutex::default(),
        }
    }

    /// Remembers a worker that is gone.
    pub(super) fn remember(&self, death: WorkerDeath) {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner).push(death);
    }

    /// Those that are remembered, oldest first.
    pub(super) fn deaths(&self) -> Vec<WorkerDeath> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// All that there were, by cause.
    pub(super) fn deaths_by_cause(&self) -> BTreeMap<Cause, u64> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner).counts()
    }

    /// Decides something, and carries out what follows from it after the lock is free.
    pub(super) fn with<R>(&self, decide: impl FnOnce(&mut Core<Worker, Job>) -> R) -> R {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let result = decide(&mut core);
        let wake = std::mem::take(&mut core.wake);
        let effects = std::mem::take(&mut core.effects);
        drop(core);
        if wake {
            self.keeper.notify_one();
        }
        for effect in effects {
            self.carry_out(effect);
        }
        result
    }

    /// The order to stop in time.
    pub(super) fn stop_order(&self) -> Order {
        let by_timeout = Instant::now() + self.destroy_timeout;
        Order::Stop(
            self.deadline
                .borrow()
                .map_or(by_timeout, |deadline| deadline.min(by_timeout)),
        )
    }

    fn carry_out(&self, effect: Effect<Worker, Job>) {
        match effect {
            Effect::Stop(worker) => worker.0.order(self.stop_order()),
            Effect::Kill(worker) => worker.0.order(Order::Kill),
            Effect::Send(worker, payload) => worker.0.send(payload),
            Effect::Fail(job, _) if job.cancelled() => {}
            Effect::Fail(job, why) => {
                let error = why.into_error();
                if matches!(error, ExecError::NoFreeWorkers(_)) {
                    let (trace_id, span_id) = Place::fields(job.place());
                    tracing::error!(
                        target: "server", reason = "no free workers", internal_event_name = "EventNoFreeWorkers", %error,
                        trace_id, span_id,
                        "no free workers in the pool, wait timeout exceed"
                    );
                }
                let _ = job.reply.send(Err(error));
            }
            Effect::Overdue(worker) => tracing::warn!(
                target: "server", reason = "execTTL timeout elapsed", pid = worker.0.pid,
                internal_event_name = "EventExecTTL", error = %ExecError::ExecTtl,
                "worker stopped, and will be restarted"
            ),
            Effect::Marked(worker, reason) => {
                let (message, reason, event) = match reason {
                    Reason::Jobs => ("max_jobs", "max_jobs is reached", "EventMaxJobs"),
                    Reason::Ttl => ("ttl", "ttl is reached", "EventTTL"),
                    Reason::Idle => ("idle_ttl", "idle ttl is reached", "EventTTL"),
                    Reason::Memory => ("memory_limit", "max memory is reached", "EventMaxMemory"),
                    Reason::Reset => ("reset", "the pool is reset", "EventReset"),
                };
                tracing::debug!(target: "server", reason, pid = worker.0.pid, internal_event_name = event, "{message}");
            }
        }
    }
}

impl Why {
    pub(super) fn into_error(self) -> ExecError {
        match self {
            Self::NoWorkers(text) => ExecError::NoFreeWorkers(text),
            Self::BootFailed(text) => ExecError::Boot(text),
            Self::ExecTtl => ExecError::ExecTtl,
            Self::Stopped => ExecError::Stopped,
        }
    }
}
