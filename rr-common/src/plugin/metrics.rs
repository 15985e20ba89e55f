//! The worker series that every plugin with a pool has, named as the reference names them (metrics.md).

use crate::pool::WorkerInfo;
use std::fmt::Write;

/// Worker states by number, as RoadRunner counts them.
const READY: u8 = 1;
const WORKING: u8 = 2;

/// Appends the series of one pool.
pub(super) fn pool_metrics(out: &mut String, plugin: &str, workers: &[WorkerInfo]) {
    // The reference names these series after the program, not after its plugin.
    let plugin = if plugin == "centrifuge" { "centrifugo" } else { plugin };
    let count = |wanted: &dyn Fn(u8) -> bool| workers.iter().filter(|worker| wanted(worker.status)).count() as u64;
    let memory: u64 = workers.iter().map(|worker| worker.memory).sum();
    let totals = [
        ("total_workers", "Total number of workers", workers.len() as u64),
        ("workers_memory_bytes", "Memory usage by workers", memory),
        (
            "workers_ready",
            "Workers currently in ready state",
            count(&|status| status == READY),
        ),
        (
            "workers_working",
            "Workers currently in working state",
            count(&|status| status == WORKING),
        ),
        (
            "workers_invalid",
            "Workers currently in invalid, killing, destroyed, errored or inactive states",
            count(&|status| status != READY && status != WORKING),
        ),
    ];
    for (name, help, value) in totals {
        head(out, plugin, name, help);
        // Writing to a String cannot fail.
        let _ = writeln!(out, "rr_{plugin}_{name} {value}");
    }
    head(out, plugin, "worker_state", "Worker current state");
    for worker in workers {
        let (pid, state) = (worker.pid, worker.status_text);
        let _ = writeln!(out, "rr_{plugin}_worker_state{{pid=\"{pid}\",state=\"{state}\"}} 0");
    }
    head(out, plugin, "worker_memory_bytes", "Worker current memory usage");
    for worker in workers {
        let (pid, memory) = (worker.pid, worker.memory);
        let _ = writeln!(out, "rr_{plugin}_worker_memory_bytes{{pid=\"{pid}\"}} {memory}");
    }
}

fn head(out: &mut String, plugin: &str, name: &str, help: &str) {
    let _ = writeln!(out, "# HELP rr_{plugin}_{name} {help}");
    let _ = writeln!(out, "# TYPE rr_{plugin}_{name} gauge");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn workers_are_counted_by_state() {
        let worker = |pid, status, status_text| WorkerInfo {
            pid,
            status,
            status_text,
            execs: 0,
            created: SystemTime::UNIX_EPOCH,
            memory: 1000,
            cpu: 0.0,
            busy_since: None,
        };
        let mut text = String::new();
        let workers = [worker(7, 1, "ready"), worker(8, 2, "working"), worker(9, 3, "invalid")];
        pool_metrics(&mut text, "http", &workers);
        for line in [
            "# TYPE rr_http_total_workers gauge",
            "rr_http_total_workers 3",
            "rr_http_workers_memory_bytes 3000",
            "rr_http_workers_ready 1",
            "rr_http_workers_working 1",
            "rr_http_workers_invalid 1",
            "rr_http_worker_state{pid=\"7\",state=\"ready\"} 0",
            "rr_http_worker_memory_bytes{pid=\"9\"} 1000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
