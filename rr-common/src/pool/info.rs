//! The workers as operators see them.

use super::state::{Member, Reason, Slot, Stage};
use std::{
    fs,
    time::{Instant, SystemTime},
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
    /// Limit on waiting and running requests together; 0 means none.
    pub max_queue_size: usize,
}

/// State number and text of a worker, the text as the reference writes it.
pub(super) fn status<W: Member, J>(slot: &Slot<W, J>) -> (u8, &'static str) {
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

/// Resident memory of a process in bytes; 0 if it is gone.
pub(super) fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Seconds of CPU that a process has used.
pub(super) fn cpu_seconds(pid: u32) -> f64 {
    // The kernel shows times to processes in hundredths of a second on every Linux architecture.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the name, in parentheses, and may hold anything; utime and stime are fields 14 and 15.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_memory_and_used_cpu() {
        let pid = std::process::id();
        assert!(memory(pid) > 100_000);
        let before = cpu_seconds(pid);
        while cpu_seconds(pid) <= before {
            std::hint::black_box(memory(pid));
        }
        assert_eq!(memory(u32::MAX), 0);
    }
}
