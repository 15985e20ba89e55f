//! Every child's end: those that we started, and those whose parents died before them.
//!
//! The supervisor is a subreaper (and may be PID 1 of a container), so orphans anywhere below it become its children.
//! They are reaped as they end. Those that a dead plugin's workers left behind are killed: nobody can stop them any more.

use crate::plugins::lifecycle::Exit;
use nix::{
    sys::{
        prctl::set_child_subreaper,
        signal::{Signal, kill, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::{Pid, getpgid, getpgrp, getpid},
};
use std::{fs, io};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for ends.
#[derive(Debug)]
pub(crate) struct Reaper {
    ended: tokio::signal::unix::Signal,
}

impl Reaper {
    /// Makes this process the one to which orphans come. Call it before the first child is started.
    ///
    /// # Errors
    /// The signal handler cannot be installed.
    pub(crate) fn new() -> io::Result<Self> {
        // Without it (an exotic kernel) orphans go to PID 1 as usual; PHP workers have their parent-death signal besides.
        let _ = set_child_subreaper(true);
        Ok(Self {
            ended: signal(SignalKind::child())?,
        })
    }

    /// Waits until some child has ended, or may have.
    pub(crate) async fn wait(&mut self) {
        self.ended.recv().await;
    }

    /// All children that have ended; orphans are among them.
    pub(crate) fn reap(&mut self) -> Vec<(Pid, Exit)> {
        let mut ended = Vec::new();
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(_) => return ended,
                Ok(status) => ended.extend(status.pid().zip(exit(status))),
            }
        }
    }
}

/// How a process has ended, if it has.
fn exit(status: WaitStatus) -> Option<Exit> {
    match status {
        WaitStatus::Exited(_, code) => Some(Exit::Code(code)),
        WaitStatus::Signaled(_, signal, _) => Some(Exit::Signal(signal as i32)),
        _ => None,
    }
}

/// Whether this process is a child of ours, be it dead; that stays to be seen.
pub(crate) fn is_child(pid: Pid) -> bool {
    pid.as_raw() > 1 && look(Id::Pid(pid)).is_some()
}

/// Whether a child of ours is in that process group.
pub(crate) fn has_child_in(group: Pid) -> bool {
    group.as_raw() > 1 && look(Id::PGid(group)).is_some()
}

/// How a child of ours has ended that will be among those of [`Reaper::reap`].
pub(crate) fn unburied(pid: Pid) -> Option<Exit> {
    (pid.as_raw() > 1).then(|| look(Id::Pid(pid)))?.and_then(exit)
}

/// How one of these children stands, without burying it.
fn look(children: Id<'_>) -> Option<WaitStatus> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(children, flags).ok()
}

/// The variable by which a PHP worker, and whatever it starts, is known: its value is the plugin's name.
pub(crate) const WORKER: &str = "RR_MODE";

/// The variable that a plugin is given its name by, and that whatever a user's plugin starts inherits.
pub(crate) const PLUGIN: &str = "RR_PLUGIN";

/// Kills what a dead process left behind: our children with that variable in their environment, of that value (of any, without
/// one), that are none of the given processes. Says how many there were.
pub(crate) fn kill_orphans(known: &[Pid], variable: &str, value: Option<&str>) -> usize {
    let orphans: Vec<Pid> = children()
        .into_iter()
        .filter(|pid| !known.contains(pid) && is_marked(*pid, variable, value))
        .collect();
    for pid in &orphans {
        match getpgid(Some(*pid)) {
            // A worker leads a group of its own; wrappers such as `sh -c` have their PHP in it.
            Ok(group) if group != getpgrp() && !known.contains(&group) => {
                let _ = killpg(group, Signal::SIGKILL);
            }
            _ => {}
        }
        let _ = kill(*pid, Signal::SIGKILL);
    }
    orphans.len()
}

/// Kills what is left of a dead plugin's own process group.
pub(crate) fn kill_rest_of_group(leader: Pid) {
    let _ = killpg(leader, Signal::SIGKILL);
}

/// Our children, also the adopted ones.
fn children() -> Vec<Pid> {
    listed_children().unwrap_or_else(searched_children)
}

/// The kernel's own list, by thread; not every kernel has it.
fn listed_children() -> Option<Vec<Pid>> {
    let mut pids = Vec::new();
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let list = fs::read_to_string(task.path().join("children")).ok()?;
        pids.extend(
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .map(Pid::from_raw),
        );
    }
    Some(pids)
}

/// The same by looking at every process.
fn searched_children() -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(getpid()))
        .map(Pid::from_raw)
        .collect()
}

fn parent(pid: i32) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold any of them; after the last one come the state and the parent.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

/// A mark is inherited by whatever a process starts, and nothing else that runs below us has it: in a container, PID 1 also inherits
/// processes that are the user's own business.
fn is_marked(pid: Pid, variable: &str, value: Option<&str>) -> bool {
    let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let entries = environ.split(|byte| *byte == 0);
    let mut values = entries.filter_map(|entry| entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"="));
    values.any(|found| value.is_none_or(|value| found == value.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn both_ways_find_a_child() {
        let mut child = Command::new("sleep")
            .arg("1000")
            .env("RR_MODE", "http")
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        assert!(searched_children().contains(&pid));
        assert!(listed_children().is_none_or(|pids| pids.contains(&pid)));
        assert!(is_child(pid) && !is_child(getpid()) && !is_child(Pid::from_raw(-1)) && !has_child_in(pid));
        assert!(is_marked(pid, WORKER, Some("http")) && is_marked(pid, WORKER, None));
        assert!(!is_marked(pid, WORKER, Some("jobs")) && !is_marked(pid, "RR_MOD", None));
        assert!(is_child(pid) && unburied(pid).is_none());
        child.kill().unwrap();
        while unburied(pid).is_none() {
            std::thread::yield_now();
        }
        assert_eq!(unburied(pid), Some(Exit::Signal(Signal::SIGKILL as i32)));
        assert!(is_child(pid));
        child.wait().unwrap();
        assert!(!is_child(pid) && unburied(pid).is_none());
    }
}
