//! Process trees as `/proc` shows them.

use crate::wait::{SOON, eventually, holds_within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// More than the kernel takes to execute a program.
const MOMENT: Duration = Duration::from_secs(1);

/// All processes of this host.
pub fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The processes below `root`, without itself, parents before children. Zombies are left out.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for pid in all() {
        match parent_and_state(pid) {
            Some((parent, state)) if state != 'Z' => children.entry(parent).or_default().push(pid),
            _ => {}
        }
    }
    let mut found = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(&below);
        next.extend(below);
    }
    found
}

/// The processes below `root` whose name is `name` (of at most 15 bytes, as the kernel keeps it).
pub fn named(root: u32, name: &str) -> Vec<u32> {
    named_by(root, |candidate| candidate == name)
}

/// The processes below `root` whose name satisfies `wanted`, ascending.
pub fn named_by(root: u32, wanted: impl Fn(&str) -> bool) -> Vec<u32> {
    let mut pids = descendants(root);
    pids.retain(|pid| executed(*pid) && name(*pid).is_some_and(|name| wanted(&name)));
    pids.sort_unstable();
    pids
}

/// How many children of a process have ended and were not reaped.
pub fn zombies(parent: u32) -> usize {
    all()
        .filter(|pid| parent_and_state(*pid) == Some((parent, 'Z')))
        .count()
}

/// Whether the process exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    matches!(parent_and_state(pid), Some((_, state)) if state != 'Z' && state != 'X')
}

/// Sends a signal; a process that is gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    let _gone_is_fine = kill(Pid::from_raw(pid.cast_signed()), signal);
}

/// Kills the process and returns when no thread of it is left: a connection that comes later can only meet its successor.
pub fn kill_and_wait(pid: u32) {
    signal(pid, Signal::SIGKILL);
    let threads = || std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    eventually(SOON, || !alive(pid) && threads() <= 1);
}

/// The processor time that a process has used, in clock ticks.
pub fn cpu_ticks(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    let field = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some(field(11)? + field(12)?)
}

/// The resident memory of a process in bytes.
pub fn resident(pid: u32) -> Option<u64> {
    memory(pid, "VmRSS:")
}

/// The most that it ever was.
pub fn peak_resident(pid: u32) -> Option<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, what: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(what))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// How many descriptors a process has open.
pub fn open_files(pid: u32) -> Option<usize> {
    Some(std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// The sockets that a process has open, one for each descriptor.
#[track_caller]
pub fn sockets(pid: u32) -> Vec<PathBuf> {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .collect()
}

/// Waits while a process is inside `execve`; false if it ends there. Its parent goes on a moment before the kernel has given it its
/// name, its arguments and its variables: until then `/proc` shows the old name, and nothing of the rest.
fn executed(pid: u32) -> bool {
    let arguments = || std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // The kernel's own threads, and those that are just ending, have no program.
    let program = || std::fs::read_link(format!("/proc/{pid}/exe"));
    holds_within(MOMENT, || !arguments().is_empty() || program().is_err());
    alive(pid)
}

/// The variables that a process was started with, as `NAME=value`.
pub fn environment(pid: u32) -> Option<Vec<String>> {
    if !executed(pid) {
        return None;
    }
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let entries = bytes.split(|byte| *byte == 0);
    Some(
        entries
            .map(|entry| String::from_utf8_lossy(entry).into_owned())
            .collect(),
    )
}

/// The name of a process, as the kernel keeps it.
pub fn name(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

fn parent_and_state(pid: u32) -> Option<(u32, char)> {
    let fields = stat(pid)?;
    let state = fields.first()?.chars().next()?;
    Some((fields.get(1)?.parse().ok()?, state))
}

/// The fields of `/proc/PID/stat` from the third (state) on; the name before them may contain blanks.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
