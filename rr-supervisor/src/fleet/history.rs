//! How the plugins' processes ended: the last ends of each plugin, over all its generations, how many there were for which reason, and
//! the last ends of what was left behind.

use crate::plugins::lifecycle::Exit;
use nix::unistd::Pid;
use rr_common::{oom::Verdict, telemetry::Tail};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Ends that are remembered of each plugin.
const LAST: usize = 16;
/// Ends of processes that others had started.
const LAST_ORPHANS: usize = 64;

/// Ends by cause.
pub(crate) type Counts = BTreeMap<Cause, u64>;

/// Why a plugin's process is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// It ended by itself, or somebody killed it.
    Crash,
    /// It did not get ready.
    Start,
    /// Another process of the same configuration has its place.
    Upgrade,
    /// One of another configuration has its place.
    Reload,
    /// The server stops.
    Stop,
}

impl Cause {
    /// All there are.
    const ALL: [Self; 5] = [Self::Crash, Self::Start, Self::Upgrade, Self::Reload, Self::Stop];

    /// In one word.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Start => "start",
            Self::Upgrade => "upgrade",
            Self::Reload => "reload",
            Self::Stop => "stop",
        }
    }
}

/// One end.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// The process, if it came to one.
    pub pid: Option<Pid>,
    /// When it was started.
    pub since: SystemTime,
    /// When it was gone.
    pub at: SystemTime,
    /// Why.
    pub cause: Cause,
    /// How.
    pub exit: Exit,
    /// What the kernel's count says of a SIGKILL.
    pub verdict: Option<Verdict>,
    /// Unasked, before it was ready or right after.
    pub early: bool,
    /// Why it could not start, in its own words.
    pub words: String,
    /// It was to take the place of one that served, and never did.
    pub next: bool,
    /// The last of what it logged. The log's thread may still be writing there.
    pub lines: Tail,
}

impl End {
    /// How long it ran.
    pub(crate) fn lasted(&self) -> Duration {
        self.at.duration_since(self.since).unwrap_or_default()
    }

    /// Exit code or signal, and what is known about the latter.
    pub(crate) fn exit_text(&self) -> String {
        match self.verdict {
            Some(verdict) => format!("{} ({})", self.exit, verdict.text()),
            None => self.exit.to_string(),
        }
    }
}

/// The end of a process that a plugin had started and left behind.
#[derive(Clone, Debug)]
pub(crate) struct Orphan {
    pub pid: Pid,
    pub at: SystemTime,
    pub exit: Exit,
}

/// All that is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    ends: HashMap<String, VecDeque<Arc<End>>>,
    counts: BTreeMap<String, Counts>,
    orphans: VecDeque<Orphan>,
}

impl History {
    /// Remembers the end of a plugin's process.
    pub(super) fn ended(&mut self, plugin: &str, end: End) {
        let counts = self.counts.entry(plugin.to_owned()).or_default();
        *counts.entry(end.cause).or_default() += 1;
        self.recall(plugin, end);
    }

    /// The same of one that has been counted.
    pub(super) fn recall(&mut self, plugin: &str, end: End) {
        push(self.ends.entry(plugin.to_owned()).or_default(), Arc::new(end), LAST);
    }

    /// Remembers the end of an orphan.
    pub(super) fn buried(&mut self, pid: Pid, exit: Exit) {
        let at = SystemTime::now();
        self.recall_orphan(Orphan { pid, at, exit });
    }

    pub(super) fn recall_orphan(&mut self, orphan: Orphan) {
        push(&mut self.orphans, orphan, LAST_ORPHANS);
    }

    /// The last ends of all plugins' processes, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &VecDeque<Arc<End>>)> {
        self.ends.iter().map(|(plugin, ends)| (plugin.as_str(), ends))
    }

    /// The last ends of a plugin's processes, oldest first.
    pub(super) fn of(&self, plugin: &str) -> Vec<Arc<End>> {
        let ends = self.ends.get(plugin).into_iter().flatten();
        ends.cloned().collect()
    }

    /// How many processes of a plugin have ended, for every cause: a count that is there from the start is seen to grow with the first.
    pub(super) fn counts(&self, plugin: &str) -> Counts {
        let known = self.counts.get(plugin);
        let of = |cause| known.and_then(|counts| counts.get(&cause)).copied().unwrap_or_default();
        Cause::ALL.map(|cause| (cause, of(cause))).into()
    }

    /// The counts in words, for the next supervisor.
    pub(super) fn kept(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let words = |counts: &Counts| {
            let words = counts.iter().map(|(cause, count)| (cause.text().to_owned(), *count));
            words.collect()
        };
        self.counts
            .iter()
            .map(|(plugin, counts)| (plugin.clone(), words(counts)))
            .collect()
    }

    /// Goes on counting where a supervisor before has ended. Words that are none of ours are passed over.
    pub(super) fn go_on(&mut self, kept: &BTreeMap<String, BTreeMap<String, u64>>) {
        for (plugin, words) in kept {
            let known = |(word, count): (&String, &u64)| {
                let cause = Cause::ALL.into_iter().find(|cause| cause.text() == word)?;
                Some((cause, *count))
            };
            self.counts
                .insert(plugin.clone(), words.iter().filter_map(known).collect());
        }
    }

    /// The last orphans, oldest first.
    pub(super) fn orphans(&self) -> Vec<Orphan> {
        self.orphans.iter().cloned().collect()
    }
}

fn push<T>(list: &mut VecDeque<T>, one: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(one);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut history = History::default();
        let now = SystemTime::now();
        for number in 1..=100 {
            let end = End {
                pid: Some(Pid::from_raw(number)),
                since: now - Duration::from_secs(5),
                at: now,
                cause: Cause::Crash,
                exit: Exit::Signal(9),
                verdict: Some(Verdict::Unknown),
                early: false,
                words: String::new(),
                next: false,
                lines: Tail::default(),
            };
            history.ended("http", end);
            history.buried(Pid::from_raw(number), Exit::Signal(9));
        }
        let ends = history.of("http");
        assert_eq!((ends.len(), history.orphans().len()), (LAST, LAST_ORPHANS));
        assert_eq!(ends[LAST - 1].pid, Some(Pid::from_raw(100)));
        assert_eq!(ends[0].exit_text(), "SIGKILL (perhaps out of memory)");
        assert_eq!(ends[0].lasted(), Duration::from_secs(5));
        assert!(history.of("kv").is_empty());
        // All are counted, also by the next supervisor.
        let mut kept = history.kept();
        let other = [("of another program".to_owned(), 7)];
        kept.entry("http".into()).or_default().extend(other);
        let mut next = History::default();
        next.go_on(&kept);
        for history in [history, next] {
            let counts = history.counts("http");
            assert_eq!((counts[&Cause::Crash], counts[&Cause::Stop]), (100, 0));
            assert_eq!(history.counts("kv").values().sum::<u64>(), 0);
        }
    }
}
