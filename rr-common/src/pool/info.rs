//! The pool as operators see it: its workers, those that are no more, and its numbers.

use super::{
    Pool,
    deaths::{Cause, WorkerDeath},
    queue::Request,
    state::{Member, Reason, Slot, Stage},
};
use crate::{proc, worker::Payload};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// One worker as `rr workers` shows it.
#[derive(Clone, Debug)]
pub struct WorkerInfo {
    /// Process id.
    pub pid: u32,
    /// State number as RoadRunner reports it.
    pub status: u8,
    /// State as text.
    pub status_text: &'static str,
    /// Requests served.
    pub execs: u64,
    /// Start.
    pub created: SystemTime,
    /// Resident memory in bytes.
    pub memory: u64,
    /// CPU share in percent since the start.
    pub cpu: f64,
    /// Start of the running request.
    pub busy_since: Option<Instant>,
    /// What it works on, in a few words: only of [`Pool::details`](super::Pool::details), and where the plugin can tell.
    pub request: String,
}

/// How many workers are in which state, and what waits for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Idle workers.
    pub ready: usize,
    /// Busy workers.
    pub working: usize,
    /// Workers that take no further request.
    pub invalid: usize,
    /// Workers that are being started.
    pub starting: usize,
    /// Requests that wait for a worker.
    pub waiting: usize,
    /// Requests that workers have.
    pub running: usize,
    /// Workers that there should be.
    pub wanted: usize,
    /// How long the oldest of the waiting requests has waited.
    pub oldest_wait: Duration,
    /// Limit on waiting and running requests together; 0 means none.
    pub max_queue_size: usize,
}

impl Pool {
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
                    let (status, status_text) = status(slot);
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
                match status(slot).0 {
                    0 => {}
                    1 => stats.ready += 1,
                    2 => stats.working += 1,
                    _ => stats.invalid += 1,
                }
            }
            stats
        })
    }
}

/// State number and text of a worker, the text as the reference writes it.
pub(super) fn status<W: Member, J: Request>(slot: &Slot<W, J>) -> (u8, &'static str) {
    match (slot.stage, slot.busy(), slot.last, slot.mark) {
        (Stage::Booting, ..) => (0, "inactive"),
        (Stage::Leaving, ..) => (4, "stopping"),
        (Stage::Serving, _, true, Some(Reason::Jobs)) => (7, "maxJobsReached"),
        (Stage::Serving, _, true, Some(Reason::Idle)) => (9, "idleTTLReached"),
        (Stage::Serving, _, true, Some(Reason::Ttl)) => (10, "ttlReached"),
        (Stage::Serving, _, true, Some(Reason::Memory)) => (11, "maxMemoryReached"),
        (Stage::Serving, _, true, _) => (3, "invalid"),
        (Stage::Serving, true, false, _) => (2, "working"),
        (Stage::Serving, false, false, _) => (1, "ready"),
    }
}
