//! What the contract tells of pools, their workers, and the workers that are no more.

use crate::{
    control::v1,
    pool::{Pool, WorkerDeath, WorkerInfo},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Adds what is to be told of one pool.
pub(super) fn pool(name: &str, pool: &Pool, details: bool, all: &mut v1::WorkersResponse) {
    let workers = if details { pool.details() } else { pool.workers() };
    all.workers.extend(workers.iter().map(|info| worker(name, info)));
    if details {
        let stats = pool.stats();
        all.pools.push(v1::PoolInfo {
            name: name.to_owned(),
            workers: stats.wanted as u64,
            waiting: stats.waiting as u64,
            running: stats.running as u64,
            wait_ms: millis(stats.oldest_wait),
        });
        all.deaths.extend(pool.deaths().into_iter().map(|one| death(name, one)));
    }
}

fn worker(pool: &str, worker: &WorkerInfo) -> v1::WorkerInfo {
    v1::WorkerInfo {
        pid: worker.pid,
        status: worker.status.into(),
        status_text: worker.status_text.to_owned(),
        execs: worker.execs,
        created_ns: nanos(worker.created),
        memory_bytes: worker.memory,
        cpu_percent: worker.cpu,
        pool: pool.to_owned(),
        busy_ms: worker.busy_since.map_or(0, |since| millis(since.elapsed())),
        request: worker.request.clone(),
    }
}

fn death(pool: &str, death: WorkerDeath) -> v1::WorkerDeath {
    v1::WorkerDeath {
        pid: death.pid,
        pool: pool.to_owned(),
        created_ns: nanos(death.created),
        died_ns: nanos(death.at),
        cause: death.cause.text().to_owned(),
        exit: death.exit,
        words: death.words,
        request: death.request,
        execs: death.execs,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
