//! When a change is acted upon: plain data, without files and clock.
//!
//! Files seldom change alone: an editor writes a second file and renames it, git replaces thousands. The first change is told at
//! once, so that no worker goes on with old code; while more come, that is told again; new workers start when there has been quiet for
//! a moment. What has come to rest is reported once.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// So long nothing may change before new workers start.
pub(super) const QUIET: Duration = Duration::from_millis(30);
/// Further changes are told together after this time.
const AGAIN: Duration = Duration::from_millis(10);
/// A burst that lasts longer is no single action of a developer: something writes all the time. Then workers start in spite of it.
const LONGEST: Duration = Duration::from_secs(3);
/// How often changes are told in such a burst.
const SELDOM: Duration = Duration::from_secs(1);

/// Files beyond this number are not counted.
const MOST: usize = 10_000;

/// What is to be done for one subject.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Old workers must not serve; new ones start after this time, unless this comes again.
    Renew(Duration),
    /// It is quiet: the first of the changed files, and how many others there were.
    Settled(PathBuf, usize),
}

/// The changes of one subject until they have come to rest.
#[derive(Debug)]
pub(super) struct Burst {
    first: PathBuf,
    /// The others, as many as are worth counting.
    others: HashSet<PathBuf>,
    begin: Instant,
    /// When it was told last.
    told: Option<Instant>,
    /// There were changes since.
    untold: bool,
}

impl Burst {
    /// The first change.
    pub(super) fn begin(file: PathBuf, now: Instant) -> Self {
        Self {
            first: file,
            others: HashSet::new(),
            begin: now,
            told: None,
            untold: true,
        }
    }

    /// A further one.
    pub(super) fn grow(&mut self, file: &Path) {
        self.untold = true;
        if file != self.first && self.others.len() < MOST {
            self.others.insert(file.to_owned());
        }
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Instant {
        match self.told {
            None => self.begin,
            Some(told) if !self.untold => told + QUIET,
            Some(told) if self.is_long(told) => told + SELDOM,
            Some(told) => told + AGAIN,
        }
    }

    /// What is to be done now; after [`Action::Settled`] the burst is over.
    pub(super) fn elapse(&mut self, now: Instant) -> Option<Action> {
        if self.due() > now {
            return None;
        }
        if std::mem::take(&mut self.untold) {
            self.told = Some(now);
            let hold = if self.is_long(now) { Duration::ZERO } else { QUIET };
            return Some(Action::Renew(hold));
        }
        Some(Action::Settled(std::mem::take(&mut self.first), self.others.len()))
    }

    fn is_long(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.begin) >= LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn one_change_is_told_at_once_and_reported_when_it_is_quiet() {
        let now = Instant::now();
        let mut burst = Burst::begin("a.php".into(), now);
        assert_eq!(burst.elapse(now), Some(Action::Renew(QUIET)));
        assert_eq!(burst.elapse(now + ms(29)), None);
        assert_eq!(burst.elapse(now + ms(30)), Some(Action::Settled("a.php".into(), 0)));
    }

    /// A checkout of 5,000 files, one each millisecond: told often enough that nothing old serves, reported once.
    #[test]
    fn thousands_of_files_are_one_burst() {
        let begin = Instant::now();
        let mut burst = Burst::begin("a.php".into(), begin);
        let (mut told, mut held) = (0, 0);
        for at in 0..5000_u64 {
            if at > 0 {
                burst.grow(Path::new(&format!("{}.php", at / 2)));
            }
            match burst.elapse(begin + ms(at)) {
                Some(Action::Renew(hold)) => {
                    told += 1;
                    held += usize::from(hold == QUIET);
                }
                Some(other) => panic!("{other:?}"),
                None => {}
            }
            // A change waits to be told no longer than this, and while it is one action no worker starts in between.
            let wait = burst.due().saturating_duration_since(begin + ms(at));
            assert!(wait <= if at < 3000 { QUIET } else { SELDOM });
        }
        assert_eq!((told, held), (302, 300));
        assert_eq!(burst.elapse(burst.due()), Some(Action::Renew(Duration::ZERO)));
        assert_eq!(burst.elapse(burst.due()), Some(Action::Settled("a.php".into(), 2500)));
    }
}
