//! Why workers died or were replaced: how many for which reason, and the last of them, for whoever asks later.

use super::state::Reason;
use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

/// Deaths that are remembered.
const LAST: usize = 64;
/// Longest text about one of them, in bytes.
const LONGEST: usize = 1024;

/// Why a worker is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It did not get ready.
    Start,
    /// It ended by itself or broke the protocol.
    Crash,
    /// A request ran for longer than `exec_ttl`.
    ExecTtl,
    /// It had served `max_jobs`.
    MaxJobs,
    /// It was older than `ttl`.
    Ttl,
    /// It was idle for `idle_ttl`.
    IdleTtl,
    /// It had more than `max_worker_memory`.
    Memory,
    /// The pool was reset.
    Reset,
    /// It asked to be replaced.
    Asked,
    /// Fewer workers are wanted.
    Fewer,
    /// In debug mode each request has a worker of its own.
    Debug,
    /// The pool stops.
    Stop,
}

impl Cause {
    /// All there are.
    const ALL: [Self; 12] = [
        Self::Start,
        Self::Crash,
        Self::ExecTtl,
        Self::MaxJobs,
        Self::Ttl,
        Self::IdleTtl,
        Self::Memory,
        Self::Reset,
        Self::Asked,
        Self::Fewer,
        Self::Debug,
        Self::Stop,
    ];

    /// In one word, as the contract has it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Crash => "crash",
            Self::ExecTtl => "exec_ttl",
            Self::MaxJobs => "max_jobs",
            Self::Ttl => "ttl",
            Self::IdleTtl => "idle_ttl",
            Self::Memory => "memory",
            Self::Reset => "reset",
            Self::Asked => "asked",
            Self::Fewer => "fewer",
            Self::Debug => "debug",
            Self::Stop => "stop",
        }
    }

    /// True if something went wrong: then its last words are of interest.
    pub(super) fn is_trouble(self) -> bool {
        matches!(self, Self::Start | Self::Crash | Self::ExecTtl)
    }
}

impl From<Reason> for Cause {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Jobs => Self::MaxJobs,
            Reason::Ttl => Self::Ttl,
            Reason::Idle => Self::IdleTtl,
            Reason::Memory => Self::Memory,
            Reason::Reset => Self::Reset,
        }
    }
}

/// What the decisions know of a worker that is gone.
#[derive(Debug)]
pub(super) struct Gone<F> {
    pub(super) cause: Cause,
    pub(super) served: u64,
    pub(super) last_frame: Option<F>,
}

/// One of them, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerDeath {
    /// Process id; 0 if it did not even start.
    pub pid: u32,
    /// When it was ready.
    pub created: SystemTime,
    /// When it was gone.
    pub at: SystemTime,
    /// Why.
    pub cause: Cause,
    /// Exit code or signal.
    pub exit: String,
    /// The last lines that it wrote, if something went wrong.
    pub words: String,
    /// What it was working on.
    pub request: String,
    /// Requests served.
    pub execs: u64,
}

/// Those of a pool.
#[derive(Debug)]
pub(super) struct Deaths {
    last: VecDeque<WorkerDeath>,
    counts: BTreeMap<Cause, u64>,
}

impl Default for Deaths {
    fn default() -> Self {
        Self {
            last: VecDeque::new(),
            // A count that is there from the start is seen to grow with the first death.
            counts: Cause::ALL.map(|cause| (cause, 0)).into(),
        }
    }
}

impl Deaths {
    /// Counts and remembers one; the oldest is forgotten.
    pub(super) fn push(&mut self, mut death: WorkerDeath) {
        *self.counts.entry(death.cause).or_default() += 1;
        if !death.cause.is_trouble() {
            death.words.clear();
        }
        death.words = end(&death.words).to_owned();
        death.request.truncate(death.request.floor_char_boundary(LONGEST));
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(death);
    }

    /// All that are remembered, oldest first.
    pub(super) fn all(&self) -> Vec<WorkerDeath> {
        self.last.iter().cloned().collect()
    }

    /// How many there were, for every cause.
    pub(super) fn counts(&self) -> BTreeMap<Cause, u64> {
        self.counts.clone()
    }
}

/// The end of a text, from the beginning of a line if it can be.
fn end(text: &str) -> &str {
    let text = text.trim();
    let Some(cut) = text.len().checked_sub(LONGEST) else {
        return text;
    };
    let kept = &text[text.ceil_char_boundary(cut)..];
    kept.split_once('\n').map_or(kept, |(_, whole)| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(pid: u32, cause: Cause, words: &str) -> WorkerDeath {
        WorkerDeath {
            pid,
            created: SystemTime::UNIX_EPOCH,
            at: SystemTime::UNIX_EPOCH,
            cause,
            exit: "exit code 255".into(),
            words: words.into(),
            request: "é".repeat(LONGEST),
            execs: 1,
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut deaths = Deaths::default();
        let long = "one line of many\n".repeat(1000);
        for pid in 0..200 {
            deaths.push(death(pid, Cause::Crash, &long));
        }
        // All are counted.
        let counts = deaths.counts();
        assert_eq!((counts[&Cause::Crash], counts[&Cause::Ttl]), (200, 0));
        assert_eq!(counts.len(), Cause::ALL.len());
        let all = deaths.all();
        assert_eq!(
            (all.len(), all[0].pid, all[LAST - 1].pid),
            (LAST, 200 - LAST as u32, 199)
        );
        for death in all {
            assert!(death.words.len() <= LONGEST && death.words.starts_with("one line"));
            assert!(death.request.len() <= LONGEST && !death.request.is_empty());
        }
    }

    #[test]
    fn only_trouble_has_last_words() {
        let mut deaths = Deaths::default();
        deaths.push(death(1, Cause::MaxJobs, "a deprecation"));
        deaths.push(death(2, Cause::Crash, "PHP Fatal error"));
        let words: Vec<String> = deaths.all().into_iter().map(|death| death.words).collect();
        assert_eq!(words, ["", "PHP Fatal error"]);
    }
}
