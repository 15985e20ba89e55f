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
use std::{
    fs, io, thread,
    time::{Duration, Instant},
};
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

/// How long a process may be between two programs: microseconds, unless neither it nor we get any time. A bound, because the kernel's
/// word is all that we have.
const EXEC: Duration = Duration::from_secs(2);

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
    field(&stat(pid)?, 4)?.parse().ok().map(Pid::from_raw)
}

/// The kernel's line about a process, from its third field, the state, on.
fn stat(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it stands in parentheses and may hold any of them.
    stat.rsplit_once(')').map(|(_, fields)| fields.to_owned())
}

/// A field of that line, by its number in proc(5).
fn field(stat: &str, number: usize) -> Option<&str> {
    stat.split_whitespace().nth(number.checked_sub(3)?)
}

/// A mark is inherited by whatever a process starts, and nothing else that runs below us has it: in a container, PID 1 also inherits
/// processes that are the user's own business.
fn is_marked(pid: Pid, variable: &str, value: Option<&str>) -> bool {
    let Some(environ) = environment(pid) else {
        return false;
    };
    let entries = environ.split(|byte| *byte == 0);
    let mut values = entries.filter_map(|entry| entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"="));
    values.any(|found| value.is_none_or(|value| found == value.as_bytes()))
}

/// What a process was given for an environment; none if it is gone, or not ours to look into.
///
/// Between two programs, in the middle of an exec, it seems to have none: the old one's is gone, the next one's is not there yet. That
/// is where a process is that was started a moment ago, maybe by a plugin that died right after. So none is believed only if the same
/// program was there before and after the look.
fn environment(pid: Pid) -> Option<Vec<u8>> {
    let path = format!("/proc/{pid}/environ");
    let end = Instant::now() + EXEC;
    let mut before = program(pid)?;
    loop {
        let environ = fs::read(&path).ok()?;
        let after = program(pid)?;
        let is_settled = after.is_some() && before == after;
        if !environ.is_empty() || is_settled || Instant::now() > end {
            return Some(environ);
        }
        before = after;
        thread::yield_now();
    }
}

/// Where in its memory a process has the code and the stack of its program: inner `None` between two programs, outer when it has ended.
fn program(pid: Pid) -> Option<Option<(String, String)>> {
    let stat = stat(pid.as_raw())?;
    let (state, code, stack) = (field(&stat, 3)?, field(&stat, 26)?, field(&stat, 28)?);
    let there = || (code.to_owned(), stack.to_owned());
    // The kernel notes the code last.
    (!matches!(state, "Z" | "X")).then(|| (code != "0").then(there))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    /// A child, which does not outlive the test.
    struct Sleeping(Child);

    impl Sleeping {
        fn start(command: &mut Command) -> Self {
            Self(command.arg("1000").spawn().unwrap())
        }

        fn marked() -> Self {
            Self::start(Command::new("sleep").env(WORKER, "http"))
        }

        fn pid(&self) -> Pid {
            Pid::from_raw(i32::try_from(self.0.id()).unwrap())
        }
    }

    impl Drop for Sleeping {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn both_ways_find_a_child() {
        let mut child = Sleeping::marked();
        let pid = child.pid();
        assert!(searched_children().contains(&pid));
        assert!(listed_children().is_none_or(|pids| pids.contains(&pid)));
        assert!(is_child(pid) && !is_child(getpid()) && !is_child(Pid::from_raw(-1)) && !has_child_in(pid));
        assert!(is_marked(pid, WORKER, Some("http")) && is_marked(pid, WORKER, None));
        assert!(!is_marked(pid, WORKER, Some("jobs")) && !is_marked(pid, "RR_MOD", None));
        assert!(is_child(pid) && unburied(pid).is_none());
        child.0.kill().unwrap();
        while unburied(pid).is_none() {
            thread::yield_now();
        }
        assert_eq!(unburied(pid), Some(Exit::Signal(Signal::SIGKILL as i32)));
        // Its environment is gone with its memory.
        assert!(is_child(pid) && !is_marked(pid, WORKER, None));
        child.0.wait().unwrap();
        assert!(!is_child(pid) && unburied(pid).is_none());
    }

    /// Right after `spawn` the kernel is still at the exec, and here a second one follows.
    #[test]
    fn a_child_that_has_just_been_started_is_known() {
        for _ in 0..50 {
            assert!(is_marked(Sleeping::marked().pid(), WORKER, Some("http")));
            let twice = Sleeping::start(Command::new("sh").env(WORKER, "http").args(["-c", "exec sleep $0"]));
            assert!(is_marked(twice.pid(), WORKER, Some("http")));
            let bare = Sleeping::start(Command::new("sleep").env_clear());
            assert!(!is_marked(bare.pid(), WORKER, None));
        }
    }
}
