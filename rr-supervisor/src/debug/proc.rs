//! Threads and memory of a process, as `/proc` shows them. Reading may take milliseconds: not on a runtime's thread.

use serde::Serialize;
use std::fs;

/// The kernel shows times to processes in hundredths of a second on every Linux architecture.
const TICKS: f64 = 100.0;

/// One thread.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Thread {
    /// The kernel's number.
    id: u32,
    /// Its name, at most 15 bytes.
    name: String,
    /// As `ps` shows it: R runs, S waits, D waits for a disk.
    state: char,
    /// What it has used since its start.
    cpu_seconds: f64,
}

/// The threads of a process; none when it is gone.
pub(super) fn threads(pid: u32) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let mut threads: Vec<Thread> = tasks
        .filter_map(|task| parse(&fs::read_to_string(task.path().join("stat")).ok()?))
        .collect();
    threads.sort_by_key(|thread| thread.id);
    threads
}

/// A line of `/proc/PID/task/ID/stat`. The name stands in parentheses and may hold anything.
fn parse(line: &str) -> Option<Thread> {
    let (id, rest) = line.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Thread {
        id: id.parse().ok()?,
        name: name.to_owned(),
        state: fields.first()?.chars().next()?,
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS,
    })
}

/// The kernel's account of a process's memory, or why there is none.
pub(super) fn memory(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    text.unwrap_or_else(|error| format!("the kernel does not tell: {error}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_name() {
        let line = "42 (a) (b) S 1 42 42 0 -1 4194368 10 0 0 0 150 50 0 0 20 0 1 0 100 1 1 1";
        let expected = Thread {
            id: 42,
            name: "a) (b".into(),
            state: 'S',
            cpu_seconds: 2.0,
        };
        assert_eq!(parse(line), Some(expected));
        for broken in ["", "x", "1 (a", "1 (a) S 1", "y (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn our_own_threads_and_memory_are_seen() {
        let own = std::process::id();
        assert!(threads(own).iter().any(|thread| thread.id == own));
        assert!(memory(own).contains("Rss:"));
        assert_eq!(threads(u32::MAX), []);
        assert!(memory(u32::MAX).contains("does not tell"));
    }
}
