//! The workers as operators see them.

use super::{
    queue::Request,
    state::{Member, Reason, Slot, Stage},
};
use std::time::{Duration, Instant, SystemTime};

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
