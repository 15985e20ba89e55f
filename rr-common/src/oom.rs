//! Whether the kernel has killed something for want of memory: by its own count, in the control group of a process, or on the
//! whole machine where the group has none.
//!
//! The kernel does not tell a parent who has sent a SIGKILL. A count that has grown since the last look is the nearest to it.

use serde::{Deserialize, Serialize};
use std::{fs, path::PathBuf};

/// Where the version 2 hierarchy is.
const GROUPS: &str = "/sys/fs/cgroup";
/// The machine's count, since Linux 4.13.
const MACHINE: &str = "/proc/vmstat";

/// What the count says about a process that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It has grown.
    OutOfMemory,
    /// It has not: somebody has sent the signal.
    Killed,
    /// There is no count.
    Unknown,
}

impl Verdict {
    /// Beside the signal's name, for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::OutOfMemory => "the kernel's OOM killer has just been at work: out of memory",
            Self::Killed => "not by the kernel's OOM killer",
            Self::Unknown => "perhaps out of memory",
        }
    }
}

/// Compares the count with what it was.
#[derive(Debug)]
pub struct Watch {
    file: PathBuf,
    seen: Option<u64>,
}

impl Watch {
    /// For a process, where it is now.
    pub fn of(pid: u32) -> Self {
        let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let events = events_file(&group);
        let counted = |file: &PathBuf| read(file).is_some();
        let file = events.filter(counted).unwrap_or_else(|| MACHINE.into());
        let seen = read(&file);
        Self { file, seen }
    }

    /// Whether it has grown since the last look.
    pub fn look(&mut self) -> Verdict {
        let before = std::mem::replace(&mut self.seen, read(&self.file));
        match (before, self.seen) {
            (Some(before), Some(now)) if now > before => Verdict::OutOfMemory,
            (Some(_), Some(_)) => Verdict::Killed,
            _ => Verdict::Unknown,
        }
    }
}

fn read(file: &PathBuf) -> Option<u64> {
    count(&fs::read_to_string(file).ok()?)
}

/// The file of a group's events, from `/proc/PID/cgroup`.
fn events_file(group: &str) -> Option<PathBuf> {
    let path = group.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(PathBuf::from(format!("{GROUPS}{path}/memory.events")))
}

/// The kills that a table of the kernel names.
fn count(table: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let events = "low 0\nhigh 0\nmax 3\noom 1\noom_kill 7\noom_group_kill 2\n";
        assert_eq!(count(events), Some(7));
        assert_eq!(count("oom_kill_x 7\noom 1"), None);
        let group = "12:cpu:/a\n0::/system.slice/rr.service\n";
        let file = "/sys/fs/cgroup/system.slice/rr.service/memory.events";
        assert_eq!(events_file(group), Some(file.into()));
        assert_eq!(events_file("12:cpu:/a\n"), None);
    }

    #[test]
    fn only_a_grown_count_is_told() -> std::io::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let write = |text: &str| fs::write(file.path(), text);
        write("oom_kill 3\n")?;
        let mut watch = Watch {
            file: file.path().into(),
            seen: read(&file.path().into()),
        };
        assert_eq!(watch.look(), Verdict::Killed);
        write("oom_kill 4\n")?;
        assert_eq!(watch.look(), Verdict::OutOfMemory);
        assert_eq!(watch.look(), Verdict::Killed);
        write("nothing")?;
        assert_eq!(watch.look(), Verdict::Unknown);
        Ok(())
    }
}
