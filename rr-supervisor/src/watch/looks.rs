//! Looking at all files time and again: for file systems that tell the kernel nothing of others' changes (shared folders, NFS), and
//! where inotify is not to be had.

use super::rules::Subject;
use nix::sys::statfs::{self, FsType};
use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// By what a change is known.
type Stamp = (i64, i64, u64, u64, u32);

/// All files that count, as they were.
#[derive(Debug, Default)]
pub(super) struct Looks {
    files: HashMap<PathBuf, Stamp>,
}

impl Looks {
    /// The first look.
    pub(super) fn first(subjects: &[Subject]) -> Self {
        Self { files: look(subjects) }
    }

    /// How many files are looked at.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// The files that have changed, come or gone since the last look.
    pub(super) fn changes(&mut self, subjects: &[Subject]) -> Vec<PathBuf> {
        let now = look(subjects);
        let before = std::mem::replace(&mut self.files, now);
        let now = &self.files;
        let different = now.iter().filter(|(path, stamp)| before.get(*path) != Some(stamp));
        let gone = before.keys().filter(|path| !now.contains_key(*path));
        different.map(|(path, _)| path).chain(gone).cloned().collect()
    }
}

fn look(subjects: &[Subject]) -> HashMap<PathBuf, Stamp> {
    let mut files = HashMap::new();
    let mut seen = HashSet::new();
    let roots = subjects.iter().flat_map(|subject| &subject.roots);
    let mut left: Vec<PathBuf> = roots.map(|root| root.path.clone()).collect();
    while let Some(path) = left.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if !metadata.is_dir() {
            if subjects.iter().any(|subject| subject.counts(&path)) {
                files.insert(path, stamp(&metadata));
            }
        } else if subjects.iter().any(|subject| subject.enters(&path)) {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            // A linked directory is not entered, as in RoadRunner 2.
            let real = entries.filter(|entry| {
                let linked = entry.file_type().is_ok_and(|kind| kind.is_symlink());
                !(linked && entry.path().is_dir())
            });
            left.extend(real.map(|entry| entry.path()));
        }
    }
    files
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    (seconds, nanos, metadata.len(), metadata.ino(), metadata.mode())
}

/// The kind of a file system whose changes from outside the kernel does not hear of.
pub(super) fn is_deaf(path: &Path) -> Option<&'static str> {
    const KINDS: [(i64, &str); 7] = [
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB"),
        (0x517b, "SMB"),
        (0x0102_1997, "9p"),
        (0x6573_5546, "FUSE"),
        (0x786f_4256, "a VirtualBox folder"),
    ];
    let FsType(kind) = statfs::statfs(path).ok()?.filesystem_type();
    let found = KINDS.iter().find(|(magic, _)| *magic == kind);
    found.map(|(_, name)| *name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::rules::subjects, *};
    use rr_common::config::{Config, section::Http};

    #[test]
    fn a_look_finds_what_changed_came_and_went() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let config = Config {
            http: Some(Http::default()),
            ..Config::default()
        };
        let subjects = subjects(&config, true, &base, |_| {});
        for name in ["a.php", "b.php", "c.txt"] {
            fs::write(base.join(name), "1").unwrap();
        }
        let mut looks = Looks::first(&subjects);
        assert_eq!(looks.len(), 2);
        assert!(looks.changes(&subjects).is_empty());
        fs::write(base.join("a.php"), "22").unwrap();
        fs::remove_file(base.join("b.php")).unwrap();
        fs::write(base.join("c.txt"), "22").unwrap();
        fs::create_dir(base.join("src")).unwrap();
        fs::write(base.join("src/d.php"), "1").unwrap();
        let mut changed = looks.changes(&subjects);
        changed.sort();
        assert_eq!(changed, ["a.php", "b.php", "src/d.php"].map(|name| base.join(name)));
        assert!(looks.changes(&subjects).is_empty() && is_deaf(&base).is_none());
    }
}
