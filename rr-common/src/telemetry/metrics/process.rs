//! What processes use, as the kernel tells, and the `process_*` series that dashboards know from Go programs.
//!
//! We are several processes where the reference is one: the numbers of all are added up, PHP not counted, as there. What has no
//! sum is the first process': its start, its limits, and the bytes of the network, which the kernel counts for all together.

use super::{Families, Family, Kind};
use nix::sys::resource::{Resource, getrlimit};
use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The kernel shows times to processes in hundredths of a second on every Linux architecture.
const TICKS: f64 = 100.0;

/// What one process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time since its start, in seconds.
    pub cpu: f64,
    /// Resident memory in bytes.
    pub resident: f64,
    /// Virtual memory in bytes.
    pub virtual_memory: f64,
    /// Open descriptors; zero if we may not look.
    pub descriptors: f64,
    /// Its start, in seconds since 1970.
    pub started: f64,
}

impl Usage {
    /// What a process uses now; `None` if it is gone.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            number.unwrap_or_default() * 1024.0
        };
        // The second field is the name, in parentheses, and may hold anything. The third is the first one here.
        let fields: Vec<f64> = stat
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect();
        let ticks = |number: usize| fields.get(number - 3).map_or(0.0, |ticks| ticks / TICKS);
        let (user, system, since_boot) = (ticks(14), ticks(15), ticks(22));
        Some(Self {
            cpu: user + system,
            resident: kilobytes("VmRSS:"),
            virtual_memory: kilobytes("VmSize:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0.0, |all| all.count() as f64),
            started: boot_time() + since_boot,
        })
    }

    /// Its start; not later than now, should the clock have been set back since.
    pub fn since(&self) -> SystemTime {
        let since = UNIX_EPOCH + Duration::try_from_secs_f64(self.started).unwrap_or_default();
        since.min(SystemTime::now())
    }

    /// What two processes use together; the start is the first one's.
    pub fn and(self, other: &Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            resident: self.resident + other.resident,
            virtual_memory: self.virtual_memory + other.virtual_memory,
            descriptors: self.descriptors + other.descriptors,
            started: self.started,
        }
    }

    /// The series.
    pub fn families(&self) -> Families {
        let (descriptors, address_space) = (limit(Resource::RLIMIT_NOFILE), limit(Resource::RLIMIT_AS));
        let network = fs::read_to_string("/proc/self/net/netstat").unwrap_or_default();
        let all = [
            (
                "cpu_seconds_total",
                Kind::Counter,
                "CPU time used, in seconds",
                self.cpu,
            ),
            (
                "max_fds",
                Kind::Gauge,
                "Descriptors that one process may have",
                descriptors,
            ),
            (
                "network_receive_bytes_total",
                Kind::Counter,
                "Bytes received, as the kernel counts them for the network namespace",
                extended(&network, "InOctets"),
            ),
            (
                "network_transmit_bytes_total",
                Kind::Counter,
                "Bytes sent, as the kernel counts them for the network namespace",
                extended(&network, "OutOctets"),
            ),
            ("open_fds", Kind::Gauge, "Open descriptors", self.descriptors),
            ("resident_memory_bytes", Kind::Gauge, "Resident memory", self.resident),
            ("start_time_seconds", Kind::Gauge, "Start, since 1970", self.started),
            (
                "virtual_memory_bytes",
                Kind::Gauge,
                "Virtual memory",
                self.virtual_memory,
            ),
            (
                "virtual_memory_max_bytes",
                Kind::Gauge,
                "Virtual memory that one process may have",
                address_space,
            ),
        ];
        let mut families = Families::default();
        for (name, kind, help, value) in all {
            families.insert(format!("process_{name}"), Family::single(kind, help, value));
        }
        families
    }
}

/// The soft limit of this process.
fn limit(resource: Resource) -> f64 {
    getrlimit(resource).map_or(0.0, |(soft, _)| soft as f64)
}

/// When the machine was started, in seconds since 1970.
fn boot_time() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or_default()
}

/// A number of the kernel's table of two lines: names, then values.
fn extended(table: &str, name: &str) -> f64 {
    let mut lines = table.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return 0.0;
    };
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let value = pairs.find_map(|(known, value)| (known == name).then_some(value));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_seen() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident > 100_000.0 && usage.virtual_memory > usage.resident);
        assert!(usage.descriptors >= 3.0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - usage.started;
        assert!((-5.0..86400.0).contains(&age), "{age}");
        assert!(usage.since().elapsed().is_ok());
        assert_eq!(Usage::of(u32::MAX), None);
    }

    #[test]
    fn several_processes_are_one_to_dashboards() {
        let one = Usage {
            cpu: 1.0,
            resident: 2.0,
            virtual_memory: 3.0,
            descriptors: 4.0,
            started: 5.0,
        };
        let text = one.and(&one).families().to_string();
        let samples = [
            "cpu_seconds_total 2",
            "resident_memory_bytes 4",
            "virtual_memory_bytes 6",
            "open_fds 8",
            "start_time_seconds 5",
        ];
        for sample in samples {
            assert!(text.contains(&format!("\nprocess_{sample}\n")), "{text}");
        }
        assert_eq!(text.matches("# TYPE ").count(), 9);
    }

    #[test]
    fn the_kernels_table_is_read_by_name() {
        let table = "TcpExt: A\nTcpExt: 1\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 7 8 9\n";
        assert_eq!((extended(table, "InOctets"), extended(table, "OutOctets")), (8.0, 9.0));
        assert_eq!(extended("", "InOctets"), 0.0);
    }
}
