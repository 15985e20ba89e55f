//! What `top` shows and what a key means, as plain data.

use crate::operate::{Death, Seen, Worker};

/// What the asking thread has found out.
#[derive(Debug)]
pub(super) enum News {
    /// How the server is now.
    Seen(Vec<Seen>),
    /// It does not answer, for this reason.
    Away(String),
    /// How a reset went: the plugin, and the error if there was one.
    Reset(String, Option<String>),
}

/// A key, by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Up,
    Down,
    Sort,
    Reset,
    Yes,
    Other,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Reset(String),
}

/// The order of the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// Those with the oldest request first.
    #[default]
    Busy,
    Cpu,
    Memory,
    Requests,
    Pid,
}

impl Sort {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Requests => "requests",
            Self::Pid => "pid",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Busy => Self::Cpu,
            Self::Cpu => Self::Memory,
            Self::Memory => Self::Requests,
            Self::Requests => Self::Pid,
            Self::Pid => Self::Busy,
        }
    }
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The newest picture, also of a server that is gone meanwhile; none before the first.
    pub(super) seen: Vec<Seen>,
    /// Why the server does not answer.
    pub(super) away: Option<String>,
    /// The selected plugin. It keeps its name when others come and go.
    selected: Option<String>,
    pub(super) sort: Sort,
    /// The plugin that would be reset by `y`.
    pub(super) asked: Option<String>,
    /// What became of the last wish.
    pub(super) note: String,
}

impl Model {
    /// Takes in what was found out.
    pub(super) fn learn(&mut self, news: News) {
        match news {
            News::Seen(seen) => {
                self.seen = seen;
                self.away = None;
            }
            News::Away(reason) => self.away = Some(reason),
            News::Reset(plugin, None) => self.note = format!("the workers of {plugin} were reset"),
            News::Reset(plugin, Some(error)) => self.note = format!("the reset of {plugin} failed: {error}"),
        }
    }

    /// Takes a key.
    pub(super) fn press(&mut self, key: Key) -> Option<Wish> {
        let asked = self.asked.take();
        match key {
            Key::Quit => return Some(Wish::Quit),
            Key::Yes => {
                let plugin = asked?;
                self.note = format!("the workers of {plugin} are being reset");
                return Some(Wish::Reset(plugin));
            }
            Key::Up => self.select(self.place().saturating_sub(1)),
            Key::Down => self.select(self.place() + 1),
            Key::Sort => self.sort = self.sort.next(),
            Key::Reset => {
                let selected = self.seen.get(self.place());
                let with_workers = selected.filter(|seen| !seen.workers.is_empty());
                self.note.clear();
                match with_workers {
                    Some(seen) => self.asked = Some(seen.process.name.clone()),
                    None => self.note = "the selected plugin has no workers".into(),
                }
            }
            Key::Other => self.note.clear(),
        }
        None
    }

    /// The place of the selected plugin; at first that is the first one with workers.
    pub(super) fn place(&self) -> usize {
        let is = |name: &String| self.seen.iter().position(|seen| seen.process.name == *name);
        let found = self.selected.as_ref().and_then(is);
        let first = || {
            let with_workers = |seen: &Seen| seen.process.name != "supervisor" && !seen.workers.is_empty();
            self.seen.iter().position(with_workers)
        };
        found.or_else(first).unwrap_or(0)
    }

    fn select(&mut self, place: usize) {
        let place = place.min(self.seen.len().saturating_sub(1));
        self.selected = self.seen.get(place).map(|seen| seen.process.name.clone());
    }

    /// The selected plugin's workers in the wanted order.
    pub(super) fn workers(&self) -> Vec<&Worker> {
        let mut workers: Vec<&Worker> = match self.seen.get(self.place()) {
            Some(seen) => seen.workers.iter().collect(),
            None => Vec::new(),
        };
        // Always the same order among equals.
        workers.sort_by_key(|worker| worker.pid);
        match self.sort {
            Sort::Busy => workers.sort_by_key(|worker| std::cmp::Reverse(worker.busy_ms)),
            Sort::Cpu => workers.sort_by(|a, b| b.cpu.total_cmp(&a.cpu)),
            Sort::Memory => workers.sort_by_key(|worker| std::cmp::Reverse(worker.memory)),
            Sort::Requests => workers.sort_by_key(|worker| std::cmp::Reverse(worker.execs)),
            Sort::Pid => {}
        }
        workers
    }

    /// The ends of all plugins and workers, the last first.
    pub(super) fn deaths(&self) -> Vec<&Death> {
        let of = |seen: &'_ Seen| seen.process.deaths.len() + seen.process.worker_deaths.len();
        let mut deaths = Vec::with_capacity(self.seen.iter().map(of).sum());
        for seen in &self.seen {
            // Each list is oldest first, and among those of one second the last shall be first.
            deaths.extend(seen.process.deaths.iter().rev());
            deaths.extend(seen.process.worker_deaths.iter().rev());
        }
        deaths.sort_by_key(|death| death.seconds_ago);
        deaths
    }
}
