//! A server takes its control directory: found again or made, and locked.

use super::{
    ControlDir, ControlDirError, LOCK, LONGEST,
    clean::{remove_dead_sockets, remove_stale},
    find::{parents, renamed, within},
    identity::Identity,
};
use nix::unistd::Uid;
use rr_common::{config::section::Control, control::Access};
use std::{
    fs::{self, File, TryLockError},
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long a lock may be somebody else's before that one counts as a server of the same kind. A predecessor that is just leaving
/// removes the file between our opening and locking it; and another server that is just starting, of whatever configuration, locks for a
/// moment each directory that it takes for left behind ([`super::clean`]).
const PATIENCE: Duration = Duration::from_millis(300);
/// Between two looks.
const BETWEEN: Duration = Duration::from_millis(5);

impl ControlDir {
    /// Makes and locks the directory; what a dead predecessor left in it is removed, unless plugins of it serve on. `lock` is what a
    /// program before us in this process had.
    ///
    /// # Errors
    /// Somebody else lives there, or no place can be written.
    pub(crate) fn open(
        control: &Control,
        identity: &Identity<'_>,
        access: &Access,
        lock: Option<OwnedFd>,
    ) -> Result<Self, ControlDirError> {
        let lock = lock.map(File::from);
        if !control.dir.is_empty() {
            let path = PathBuf::from(&control.dir);
            if path.as_os_str().len() > LONGEST {
                return Err(ControlDirError::Long(path));
            }
            return Self::claim(path, access, lock.as_ref());
        }
        let name = identity.name();
        // The file may have changed since, and the directory is still that of this process.
        let same = |path: &PathBuf| lock.as_ref().is_some_and(|lock| is_same_file(lock, &path.join(LOCK)));
        let known = |parent: &PathBuf| within(parent).find(same).or_else(|| renamed(parent, &name));
        if let Some(path) = parents().iter().find_map(known) {
            return Self::claim(path, access, lock.as_ref());
        }
        let mut last = None;
        for parent in parents() {
            remove_stale(&parent, &name);
            let path = parent.join(&name);
            match Self::claim(path, access, lock.as_ref()) {
                Err(error @ ControlDirError::Io { .. }) => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| ControlDirError::Foreign(name.into())))
    }

    /// Locks this one, which is made if it is not there. `held` is the lock that this process has already.
    pub(super) fn claim(path: PathBuf, access: &Access, held: Option<&File>) -> Result<Self, ControlDirError> {
        let end = Instant::now() + PATIENCE;
        loop {
            match Self::try_claim(&path, held) {
                Ok(Some(lock)) => {
                    let protected = access.protect(&path, true);
                    protected.map_err(|error| ControlDirError::Io {
                        path: path.clone(),
                        error,
                    })?;
                    // Those of plugins that serve on are theirs until they are adopted.
                    remove_dead_sockets(&path);
                    return Ok(Self { path, lock });
                }
                Ok(None) if Instant::now() >= end => return Err(ControlDirError::Taken(path)),
                Ok(None) => {}
                Err(error) => return Err(error),
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "nothing runs yet, and a lock cannot be waited for with a bound"
            )]
            std::thread::sleep(BETWEEN);
        }
    }

    /// The lock; none while somebody else has it, or has just removed what we made.
    fn try_claim(path: &Path, held: Option<&File>) -> Result<Option<File>, ControlDirError> {
        let removed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            _ => Err(ControlDirError::Io {
                path: path.to_owned(),
                error,
            }),
        };
        if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
            return removed(error);
        }
        let meta = match fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) => return removed(error),
        };
        if !meta.is_dir() || meta.uid() != Uid::effective().as_raw() {
            return Err(ControlDirError::Foreign(path.to_owned()));
        }
        let held = held.filter(|held| is_same_file(held, &path.join(LOCK)));
        // Not emptied: it may be somebody else's.
        let open = || File::options().create(true).append(true).open(path.join(LOCK));
        let lock = match held.map_or_else(open, File::try_clone) {
            Ok(lock) => lock,
            Err(error) => return removed(error),
        };
        match lock.try_lock() {
            Ok(()) => Ok(is_same_file(&lock, &path.join(LOCK)).then_some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => removed(error),
        }
    }
}

/// Whether what is open is what is there by now.
pub(super) fn is_same_file(open: &File, path: &Path) -> bool {
    let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    match (open.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(found)) => identity(&open) == identity(&found),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_dir::identity::identity;
    use std::{
        os::unix::{fs::PermissionsExt, net::UnixListener},
        sync::atomic::{AtomicBool, Ordering},
    };

    fn control(dir: &Path) -> Control {
        Control {
            dir: dir.display().to_string(),
            ..Control::default()
        }
    }

    #[test]
    fn a_second_server_is_refused_until_the_first_has_gone() {
        let room = tempfile::tempdir().unwrap();
        let control = control(&room.path().join("c"));
        let who = identity(Path::new("/srv/.rr.yaml"), &[]);
        let first = ControlDir::open(&control, &who, &Access::default(), None).unwrap();
        assert_eq!(fs::metadata(first.path()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(
            ControlDir::open(&control, &who, &Access::default(), None),
            Err(ControlDirError::Taken(_))
        ));
        let path = first.path().to_owned();
        let _socket = UnixListener::bind(first.socket()).unwrap();
        // Another user has a directory of its own, and its plugin has removed its socket.
        fs::create_dir(path.join("u33")).unwrap();
        drop(first);
        assert!(!path.exists(), "it is removed at the end");
        assert!(ControlDir::open(&control, &who, &Access::default(), None).is_ok());
    }

    /// Each start looks at the directories of all others, and locks for a moment those in which nobody seems to live.
    #[test]
    fn servers_of_other_configurations_that_start_at_the_same_moment_do_not_disturb() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("rr-0123456789abcdef");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let cleaners = [0; 3].map(|_| {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        remove_stale(room.path(), "rr-own");
                    }
                })
            });
            let undisturbed = (0..300).all(|_| {
                let claimed = ControlDir::claim(path.clone(), &Access::default(), None);
                claimed.is_ok_and(|dir| is_same_file(&dir.lock, &path.join(LOCK)))
            });
            done.store(true, Ordering::Relaxed);
            assert!(cleaners.into_iter().all(|cleaner| cleaner.join().is_ok()));
            assert!(undisturbed, "taken, or removed");
        });
    }

    #[test]
    fn a_path_that_no_socket_fits_is_refused() {
        let control = control(Path::new(&format!("/tmp/{}", "x".repeat(100))));
        let who = identity(Path::new("/a"), &[]);
        assert!(matches!(
            ControlDir::open(&control, &who, &Access::default(), None),
            Err(ControlDirError::Long(_))
        ));
    }
}
