//! The kernel's watch on all directories that matter (inotify), kept up to date as directories come, go and are renamed.

use super::{Change, gate::Hold, rules::Subject};
use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent},
};
use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

/// What the kernel tells of a directory.
const EVENTS: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_ONLYDIR);

/// What it tells of a root's parent, besides what else is asked of that directory (`IN_MASK_ADD`).
const OF_PARENT: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_ONLYDIR)
    .union(AddWatchFlags::from_bits_retain(0x2000_0000));

/// Why the kernel cannot be asked; the text is for the user.
#[derive(Debug, thiserror::Error)]
pub(super) enum TreeError {
    /// `fs.inotify.max_user_watches` is used up.
    #[error(
        "all inotify watches are in use (sysctl fs.inotify.max_user_watches is {})",
        limit("max_user_watches")
    )]
    Watches,
    /// `fs.inotify.max_user_instances` is used up.
    #[error(
        "all inotify instances are in use (sysctl fs.inotify.max_user_instances is {})",
        limit("max_user_instances")
    )]
    Instances,
    /// Anything else.
    #[error("inotify does not work: {0}")]
    Other(Errno),
    /// No descriptor is left for the gate.
    #[error("inotify does not work: {0}")]
    Gate(#[from] io::Error),
}

/// The watched directories.
#[derive(Debug)]
pub(super) struct Tree {
    inotify: Inotify,
    /// The paths by which each is known, by the kernel's number.
    dirs: HashMap<i32, Vec<PathBuf>>,
    /// Parents of roots: in them only the root itself matters.
    parents: HashMap<i32, Vec<PathBuf>>,
}

impl Tree {
    /// Watches everything that the subjects name. From its return on no change is missed.
    pub(super) fn open(subjects: &[Subject]) -> Result<Self, TreeError> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|error| match error {
            Errno::EMFILE => TreeError::Instances,
            other => TreeError::Other(other),
        })?;
        let mut tree = Self {
            inotify,
            dirs: HashMap::new(),
            parents: HashMap::new(),
        };
        tree.cover(subjects)?;
        Ok(tree)
    }

    /// How many directories are watched.
    pub(super) fn len(&self) -> usize {
        self.dirs.len()
    }

    /// Readable when something has changed.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// The files that have changed since the last look.
    pub(super) fn changes(&mut self, subjects: &[Subject], gate: &Hold) -> Result<Vec<Change>, TreeError> {
        let mut changes = Vec::new();
        gate.close();
        loop {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EAGAIN) => return Ok(changes),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(TreeError::Other(error)),
            };
            for event in events {
                self.take(&event, subjects, &mut changes)?;
            }
        }
    }

    fn take(&mut self, event: &InotifyEvent, subjects: &[Subject], changes: &mut Vec<Change>) -> Result<(), TreeError> {
        let number = event.wd.as_raw();
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            changes.push(Change::Unknown);
            return self.cover(subjects);
        }
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            self.dirs.remove(&number);
            self.parents.remove(&number);
            return Ok(());
        }
        let Some(name) = &event.name else { return Ok(()) };
        let is_root = |path: &Path| {
            subjects
                .iter()
                .flat_map(|subject| &subject.roots)
                .any(|root| root.path == path)
        };
        for dir in self.parents.get(&number).cloned().unwrap_or_default() {
            let path = dir.join(name);
            if is_root(&path) && !event.mask.contains(AddWatchFlags::IN_ATTRIB) {
                // It is another one now: a link was pointed elsewhere, a directory made anew.
                self.forget(&path);
                self.cover(subjects)?;
                changes.push(if path.is_file() {
                    Change::File(path)
                } else {
                    Change::Dir(path)
                });
            }
        }
        for dir in self.dirs.get(&number).cloned().unwrap_or_default() {
            let path = dir.join(name);
            if !event.mask.contains(AddWatchFlags::IN_ISDIR) {
                changes.push(Change::File(path));
                continue;
            }
            if event.mask.contains(AddWatchFlags::IN_MOVED_FROM) {
                self.forget(&path);
                changes.push(Change::Dir(path));
            } else if event
                .mask
                .intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO)
            {
                let mut files = Vec::new();
                self.descend(&path, subjects, &mut files)?;
                changes.extend(files.into_iter().map(Change::File));
            }
        }
        Ok(())
    }

    /// Watches all roots, and their parents for the roots' own sake.
    fn cover(&mut self, subjects: &[Subject]) -> Result<(), TreeError> {
        for root in subjects.iter().flat_map(|subject| &subject.roots) {
            self.descend(&root.path, subjects, &mut Vec::new())?;
            if let Some(parent) = root.path.parent()
                && let Some(number) = self.add(parent, OF_PARENT)?
            {
                insert(&mut self.parents, number, parent);
            }
            if root.path.is_file()
                && let Some(parent) = root.path.parent()
                && let Some(number) = self.add(parent, EVENTS)?
            {
                insert(&mut self.dirs, number, parent);
            }
        }
        Ok(())
    }

    /// Watches a directory and all below it that matters, and gathers the files that are there.
    fn descend(&mut self, dir: &Path, subjects: &[Subject], files: &mut Vec<PathBuf>) -> Result<(), TreeError> {
        let mut left = vec![dir.to_owned()];
        let mut seen = HashSet::new();
        while let Some(dir) = left.pop() {
            if !seen.insert(dir.clone()) || !subjects.iter().any(|subject| subject.enters(&dir)) {
                continue;
            }
            // First the watch, then the look: nothing comes between them.
            let Some(number) = self.add(&dir, EVENTS)? else {
                continue;
            };
            insert(&mut self.dirs, number, &dir);
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => left.push(entry.path()),
                    Ok(_) => files.push(entry.path()),
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Its number; none, if it is no directory (any more) or not for us.
    fn add(&self, dir: &Path, events: AddWatchFlags) -> Result<Option<i32>, TreeError> {
        match self.inotify.add_watch(dir, events) {
            Ok(number) => Ok(Some(number.as_raw())),
            Err(Errno::ENOSPC) => Err(TreeError::Watches),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES | Errno::ELOOP) => Ok(None),
            Err(error) => Err(TreeError::Other(error)),
        }
    }

    /// A directory has another name now: it and what is below it are no longer known by this one.
    fn forget(&mut self, gone: &Path) {
        for paths in self.dirs.values_mut() {
            paths.retain(|path| !path.starts_with(gone));
        }
    }
}

fn insert(dirs: &mut HashMap<i32, Vec<PathBuf>>, number: i32, path: &Path) {
    let paths = dirs.entry(number).or_default();
    if !paths.iter().any(|known| known == path) {
        paths.push(path.to_owned());
    }
}

/// What the kernel allows.
fn limit(name: &str) -> String {
    let read = fs::read_to_string(format!("/proc/sys/fs/inotify/{name}"));
    read.unwrap_or_else(|error: io::Error| error.to_string())
        .trim()
        .to_owned()
}
