//! What the kernel tells of a process, under `/proc`.

use std::fs;

/// Resident memory of a process in bytes; 0 if it is gone.
pub fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Seconds of CPU that a process has used.
pub fn cpu_seconds(pid: u32) -> f64 {
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
