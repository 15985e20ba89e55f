//! Development: files change, and the workers are made anew (`reload`, `up --watch`).
//!
//! - [`wish`]: what a configuration wants to be watched; [`rules`]: what is watched for whom
//! - [`tree`]: the kernel tells of changes; [`looks`]: where it does not, the files are looked at each `reload.interval`
//! - [`burst`]: when what is done about changes
//! - [`watcher`]: the watch of this server, which a reload may replace
//! - [`renewal`]: the plugins are told; [`gate`]: what requests wait for until they know, also when the supervisor becomes another program
//!   meanwhile ([`kept`])
//!
//! A thread of its own does the waiting and the looking; it touches neither the main loop nor the RPC port. The plugins are asked on
//! the RPC thread. The promise is that a request made after a save is not served by code from before it; where the files are looked at,
//! from the look on.

mod burst;
mod gate;
mod kept;
mod looks;
mod renewal;
mod rules;
mod tree;
mod watcher;
mod wish;

pub(crate) use gate::Gate;
pub(crate) use watcher::Watcher;
pub(crate) use wish::Wish;

use crate::{fleet::RosterWatch, operate::Residents};
use burst::{Action, Burst};
use gate::Hold;
use looks::Looks;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use renewal::Renewals;
use rules::Subject;
use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};
use tokio::runtime::Handle;
use tree::Tree;
use wish::SHORTEST;

/// Why nothing can be watched; the text is for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// A directory of the section that is not there.
    #[error("reload.services.{plugin}.dirs: {path:?}: {error}")]
    Dir {
        /// Whose.
        plugin: String,
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// An interval that makes no sense.
    #[error("reload.interval: {0:?} is too short, the least is {SHORTEST:?}")]
    Interval(Duration),
    /// The system refuses a thread or a descriptor.
    #[error("files cannot be watched: {0}")]
    Io(#[from] io::Error),
}

/// What is to be watched, with the watch on it: made before the first worker reads a file.
#[derive(Debug)]
pub(crate) struct Prepared {
    subjects: Vec<Subject>,
    eyes: Eyes,
    interval: Duration,
    base: PathBuf,
    /// There may have been changes before of which nobody has told the plugins.
    untold: bool,
}

/// How changes are seen.
#[derive(Debug)]
enum Eyes {
    Tree(Tree, Hold),
    Looks(Looks),
}

/// Something that has changed.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// A file: written, made, removed, renamed.
    File(PathBuf),
    /// A directory with all that is in it.
    Dir(PathBuf),
    /// Nobody knows what.
    Unknown,
}

/// The running watch; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    end: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to watch; changes are kept until [`Prepared::start`], and nobody waits for them before.
///
/// # Errors
/// A directory that is not there.
pub(crate) fn prepare(wish: Wish, gate: &Gate) -> Result<Prepared, WatchError> {
    let Wish {
        subjects,
        poll,
        interval,
        base,
    } = wish;
    for subject in &subjects {
        for root in &subject.roots {
            std::fs::metadata(&root.path).map_err(|error| WatchError::Dir {
                plugin: subject.plugins.join(", "),
                path: root.path.clone(),
                error,
            })?;
        }
    }
    let eyes = Eyes::open(&subjects, poll, interval, gate);
    // What the kernel has told the program before us is lost, if nobody asks it any more.
    let untold = matches!(eyes, Eyes::Looks(_)) && gate.forget_left();
    let (what, how) = match &eyes {
        Eyes::Tree(tree, _) => (format!("{} directories", tree.len()), "inotify".to_owned()),
        Eyes::Looks(looks) => (format!("{} files", looks.len()), format!("a look each {interval:?}")),
    };
    let plugins: Vec<&str> = subjects
        .iter()
        .flat_map(|subject| &subject.plugins)
        .map(String::as_str)
        .collect();
    tracing::info!(target: "watch", "watching {what} for {} ({how})", plugins.join(", "));
    Ok(Prepared {
        subjects,
        eyes,
        interval,
        base,
        untold,
    })
}

impl Eyes {
    /// The kernel's, unless that is not wanted or does not work.
    fn open(subjects: &[Subject], poll: bool, interval: Duration, gate: &Gate) -> Self {
        let looks = || Self::Looks(Looks::first(subjects));
        if poll {
            return looks();
        }
        let mut roots = subjects.iter().flat_map(|subject| &subject.roots);
        let deaf = roots.find_map(|root| Some((root, looks::is_deaf(&root.path)?)));
        if let Some((root, kind)) = deaf {
            let path = root.path.display();
            tracing::warn!(
                target: "watch",
                "{path} is on {kind}, which does not tell of all changes: the files are looked at each {interval:?} instead"
            );
            return looks();
        }
        let tree = Tree::open(subjects).or_else(|error| match gate.make_room() {
            true => Tree::open(subjects),
            false => Err(error),
        });
        let tree = tree.and_then(|tree| {
            let hold = Hold::new(gate)?;
            Ok((tree, hold))
        });
        match tree {
            Ok((tree, hold)) => Self::Tree(tree, hold),
            Err(error) => {
                tracing::warn!(target: "watch", "{error}: the files are looked at each {interval:?} instead");
                looks()
            }
        }
    }
}

impl Prepared {
    /// Whether requests wait while a change is dealt with: every plugin needs the gate then.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.eyes, Eyes::Tree(..))
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread or descriptor left.
    pub(crate) fn start(
        mut self,
        roster: RosterWatch,
        residents: Residents,
        handle: Handle,
    ) -> Result<Watch, WatchError> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let end = Arc::new(EventFd::from_flags(flags).map_err(io::Error::from)?);
        if let Eyes::Tree(tree, hold) = &self.eyes {
            self.untold |= hold.begin(tree.fd())?;
        }
        let ended = Arc::clone(&end);
        let mut renewals = Renewals::new(roster, residents, handle);
        let thread = Builder::new()
            .name("watch".into())
            .spawn(move || self.run(&ended, &mut renewals))?;
        Ok(Watch {
            end,
            thread: Some(thread),
        })
    }

    fn run(mut self, end: &EventFd, renewals: &mut Renewals) {
        if self.untold {
            // Before that they cannot be told. What changes meanwhile is not read, and keeps the gate closed.
            renewals.wait_for_return();
        }
        let unknown = || self.untold.then(|| Burst::begin(PathBuf::new(), Instant::now()));
        let mut bursts: Vec<Option<Burst>> = self.subjects.iter().map(|_| unknown()).collect();
        let mut next_look = Instant::now() + self.interval;
        loop {
            let now = Instant::now();
            for (subject, burst) in self.subjects.iter().zip(&mut bursts) {
                while let Some(action) = burst.as_mut().and_then(|burst| burst.elapse(now)) {
                    match action {
                        Action::Renew(hold) => renewals.renew(&subject.plugins, hold),
                        Action::Settled(..) if subject.plugins.is_empty() => {
                            *burst = None;
                            tracing::info!(target: "watch", "the configuration has changed: `rr reload` takes it over");
                        }
                        Action::Settled(first, others) => {
                            *burst = None;
                            renewals.report(&subject.plugins, &shown(&self.base, &first, others));
                        }
                    }
                }
            }
            if let Eyes::Tree(_, hold) = &self.eyes {
                // What is not told yet belongs to a burst of which no new worker has started.
                hold.open(bursts.iter().any(Option::is_some));
            }
            let due = bursts.iter().flatten().map(Burst::due).min();
            let wake = match &self.eyes {
                Eyes::Tree(..) => due,
                Eyes::Looks(_) => Some(due.map_or(next_look, |due| due.min(next_look))),
            };
            if !self.wait(end, wake) {
                return;
            }
            let look = next_look <= Instant::now();
            if look {
                next_look = Instant::now() + self.interval;
            }
            let changes = self.changes(look);
            let now = Instant::now();
            for change in changes {
                for (subject, burst) in self.subjects.iter().zip(&mut bursts) {
                    match burst {
                        _ if !change.concerns(subject) => {}
                        Some(burst) => burst.grow(change.path()),
                        None => *burst = Some(Burst::begin(change.path().to_owned(), now)),
                    }
                }
            }
        }
    }

    /// What has changed. When the kernel fails, the files are looked at from then on.
    fn changes(&mut self, look: bool) -> Vec<Change> {
        match &mut self.eyes {
            Eyes::Tree(tree, hold) => match tree.changes(&self.subjects, hold) {
                Ok(changes) => changes,
                Err(error) => {
                    tracing::warn!(target: "watch", "{error}: the files are looked at each {:?} instead", self.interval);
                    self.eyes = Eyes::Looks(Looks::first(&self.subjects));
                    // What was missed meanwhile is not known.
                    vec![Change::Unknown]
                }
            },
            Eyes::Looks(looks) if look => looks.changes(&self.subjects).into_iter().map(Change::File).collect(),
            Eyes::Looks(_) => Vec::new(),
        }
    }

    /// Waits for a change, at most until then; false at the end.
    fn wait(&self, end: &EventFd, until: Option<Instant>) -> bool {
        let mut fds = vec![PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        if let Eyes::Tree(tree, _) = &self.eyes {
            fds.push(PollFd::new(tree.fd(), PollFlags::POLLIN));
        }
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            // Rounded up, so that it is due then.
            let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) => !fds[0].any().unwrap_or(true),
            Err(error) => error == Errno::EINTR,
        }
    }
}

/// The changed files, as people read it.
fn shown(base: &Path, first: &Path, others: usize) -> String {
    let first = first.strip_prefix(base).unwrap_or(first).display().to_string();
    match others {
        _ if first.is_empty() => "many files changed".into(),
        0 => format!("{first} changed"),
        1 => format!("{first} changed, and one more"),
        _ => format!("{first} changed, and {others} more"),
    }
}

impl Change {
    fn concerns(&self, subject: &Subject) -> bool {
        match self {
            Self::File(path) => subject.counts(path),
            Self::Dir(path) => subject.enters(path),
            Self::Unknown => true,
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Dir(path) => path,
            Self::Unknown => Path::new(""),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.end.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
