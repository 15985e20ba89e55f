//! The series that every plugin with workers has: who works, under the reference's names, and who is no more.

use super::{Exposition, Kind};
use crate::pool::{Cause, WorkerInfo};
use std::collections::BTreeMap;

/// States of a worker, as RoadRunner numbers them.
const READY: u8 = 1;
const WORKING: u8 = 2;

impl Exposition {
    /// The series that every plugin with workers has, under the reference's names: all its pools together.
    pub fn workers(&mut self, plugin: &str, workers: &[WorkerInfo]) {
        // The reference calls this one plugin's series after the product.
        let prefix = if plugin == "centrifuge" { "centrifugo" } else { plugin };
        let count = |state: u8| workers.iter().filter(|worker| worker.status == state).count();
        let (ready, working) = (count(READY), count(WORKING));
        let numbers = [
            ("total_workers", "Workers of the plugin", workers.len() as u64),
            (
                "workers_memory_bytes",
                "Memory of all workers",
                workers.iter().map(|worker| worker.memory).sum(),
            ),
            ("workers_ready", "Workers that wait for work", ready as u64),
            ("workers_working", "Workers that work", working as u64),
            (
                "workers_invalid",
                "Workers in any other state",
                (workers.len() - ready - working) as u64,
            ),
        ];
        for (name, help, value) in numbers {
            self.family(&format!("rr_{prefix}_{name}"), Kind::Gauge, help);
            self.sample(&[], value);
        }
        self.family(
            &format!("rr_{prefix}_worker_memory_bytes"),
            Kind::Gauge,
            "Memory of one worker",
        );
        for worker in workers {
            self.sample(&[("pid", &worker.pid.to_string())], worker.memory);
        }
        self.family(
            &format!("rr_{prefix}_worker_state"),
            Kind::Gauge,
            "State of one worker, in the label; always 0",
        );
        for worker in workers {
            self.sample(&[("pid", &worker.pid.to_string()), ("state", worker.status_text)], 0);
        }
    }

    /// How many workers of each of a plugin's pools are no more, by cause. Ours alone.
    pub fn worker_deaths(&mut self, plugin: &str, pools: &[(&str, BTreeMap<Cause, u64>)]) {
        let name = format!("rr_{plugin}_worker_deaths_total");
        self.family(&name, Kind::Counter, "Workers that died or were replaced, by cause");
        for (pool, counts) in pools {
            for (cause, count) in counts {
                self.sample(&[("cause", cause.text()), ("pool", pool)], count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn worker(pid: u32, status: u8, status_text: &'static str, memory: u64) -> WorkerInfo {
        WorkerInfo {
            request: String::new(),
            pid,
            status,
            status_text,
            execs: 0,
            created: SystemTime::UNIX_EPOCH,
            memory,
            cpu: 0.0,
            busy_since: None,
        }
    }

    #[test]
    fn worker_series_have_the_reference_names() {
        let workers = [
            worker(4704, 1, "ready", 1000),
            worker(4705, 2, "working", 2000),
            worker(4706, 9, "killing", 3),
        ];
        let mut text = Exposition::default();
        text.workers("http", &workers);
        let text = text.finish();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "rr_http_total_workers 3",
            "rr_http_workers_memory_bytes 3003",
            "rr_http_workers_ready 1",
            "rr_http_workers_working 1",
            "rr_http_workers_invalid 1",
            "rr_http_worker_memory_bytes{pid=\"4704\"} 1000",
            "rr_http_worker_memory_bytes{pid=\"4705\"} 2000",
            "rr_http_worker_memory_bytes{pid=\"4706\"} 3",
            "rr_http_worker_state{pid=\"4704\",state=\"ready\"} 0",
            "rr_http_worker_state{pid=\"4705\",state=\"working\"} 0",
            "rr_http_worker_state{pid=\"4706\",state=\"killing\"} 0",
        ];
        assert_eq!(samples, expected);
        assert_eq!(text.matches("# TYPE ").count(), 7);
        let mut other = Exposition::default();
        other.workers("centrifuge", &[]);
        assert!(other.finish().contains("\nrr_centrifugo_total_workers 0\n"));
    }

    #[test]
    fn deaths_are_counted_by_cause_and_pool() {
        let mut text = Exposition::default();
        let slow = [(Cause::Crash, 2), (Cause::ExecTtl, 0)].into();
        text.worker_deaths("http", &[("http", [(Cause::Crash, 1)].into()), ("slow", slow)]);
        let text = text.finish();
        let samples: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "rr_http_worker_deaths_total{cause=\"crash\",pool=\"http\"} 1",
            "rr_http_worker_deaths_total{cause=\"crash\",pool=\"slow\"} 2",
            "rr_http_worker_deaths_total{cause=\"exec_ttl\",pool=\"slow\"} 0",
        ];
        assert_eq!(samples, expected);
    }
}
