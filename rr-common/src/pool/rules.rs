//! The numbers of the `pool` section, checked and in the form the decisions need.

use crate::{config::section, plugin::StartError};
use std::time::Duration;

/// Most workers of a pool.
pub(super) const MOST_WORKERS: usize = 500;
/// Most added workers, and most added at once.
const MOST_ADDED: u64 = 100;
/// Waiting time of a request after which workers are added.
const SCALE_AFTER: Duration = Duration::from_millis(50);

#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) debug: bool,
    pub(super) workers: usize,
    /// Requests of one worker; without jitter.
    pub(super) max_jobs: Option<u64>,
    pub(super) max_queue: Option<usize>,
    pub(super) allocate_timeout: Duration,
    pub(super) exec_ttl: Option<Duration>,
    pub(super) limits: Option<Limits>,
    pub(super) scale: Option<Scale>,
    /// Frames that may stand in one worker's pipe.
    pub(super) depth: usize,
    /// Workers that are started at once while those that they replace still serve.
    pub(super) replace_at_once: usize,
    /// Workers that are replaced at once: new ones on their way, and old ones that finish a request or are ending.
    pub(super) share: usize,
    /// For how long such a request is waited for.
    pub(super) reset_timeout: Duration,
}

/// What is looked at each tick.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) tick: Duration,
    pub(super) ttl: Option<Duration>,
    pub(super) idle_ttl: Option<Duration>,
    /// Bytes.
    pub(super) memory: Option<u64>,
}

/// The dynamic allocator.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    pub(super) most: usize,
    pub(super) step: usize,
    pub(super) idle: Duration,
    pub(super) after: Duration,
}

/// That many percent of the workers, at least one.
fn share(workers: usize, percent: u64) -> usize {
    let percent = usize::try_from(percent.min(100)).unwrap_or(100);
    (workers * percent / 100).max(1)
}

impl Rules {
    pub(super) fn new(pool: &section::Pool) -> Result<Self, StartError> {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = match usize::try_from(pool.num_workers).unwrap_or(usize::MAX) {
            0 => cpus,
            n if n > MOST_WORKERS => {
                let text = format!("pool.num_workers is {n}: number of workers can't be more than {MOST_WORKERS}");
                return Err(StartError(text));
            }
            n => n,
        };
        let on = |duration: crate::config::Dur| (!duration.is_zero()).then(|| duration.get());
        let or = |duration: crate::config::Dur, default| on(duration).unwrap_or(Duration::from_secs(default));
        let supervisor = pool.supervisor.clone().unwrap_or_default();
        let limits = Limits {
            tick: or(supervisor.watch_tick, 5),
            ttl: on(supervisor.ttl),
            idle_ttl: on(supervisor.idle_ttl),
            memory: Some(supervisor.max_worker_memory.saturating_mul(1 << 20)).filter(|&bytes| bytes > 0),
        };
        let watched = limits.ttl.is_some() || limits.idle_ttl.is_some() || limits.memory.is_some();
        let scale = pool.dynamic_allocator.as_ref().map(|scale| Scale {
            most: scale.max_workers.min(MOST_ADDED) as usize,
            step: scale.spawn_rate.clamp(1, MOST_ADDED) as usize,
            idle: match scale.idle_timeout.get() {
                idle if idle < Duration::from_secs(1) => Duration::from_secs(60),
                idle => idle,
            },
            after: SCALE_AFTER,
        });
        Ok(Self {
            debug: pool.debug,
            workers,
            max_jobs: Some(pool.max_jobs).filter(|&jobs| jobs > 0 && !pool.debug),
            max_queue: usize::try_from(pool.max_queue_size)
                .ok()
                .filter(|&size| size > 0 && !pool.debug),
            allocate_timeout: or(pool.allocate_timeout, 60),
            exec_ttl: on(supervisor.exec_ttl),
            limits: Some(limits).filter(|_| watched && !pool.debug),
            scale: scale.filter(|scale| scale.most > 0 && !pool.debug),
            depth: if pool.pipeline > 1 && !pool.debug { 2 } else { 1 },
            replace_at_once: cpus,
            share: share(workers, pool.reset_share),
            reset_timeout: pool.reset_timeout.get(),
        })
    }

    /// A worker's own limit of requests: up to 14 % more, so that workers do not end together.
    pub(super) fn jobs_limit(&self, random: u64) -> Option<u64> {
        self.max_jobs
            .map(|jobs| jobs.saturating_add(jobs.saturating_mul(random % 15) / 100))
    }
}
