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
};

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
        let io = |error: io::Error| ControlDirError::Io {
            path: path.clone(),
            error,
        };
        // A predecessor that is just leaving may remove the file between our opening and locking it: then once more.
        for _ in 0..10 {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&path)
                .map_err(io)?;
            let meta = fs::symlink_metadata(&path).map_err(io)?;
            if !meta.is_dir() || meta.uid() != Uid::effective().as_raw() {
                return Err(ControlDirError::Foreign(path));
            }
            let held = held.filter(|held| is_same_file(held, &path.join(LOCK)));
            // Not emptied: it may be somebody else's.
            let open = || File::options().create(true).append(true).open(path.join(LOCK));
            let lock = match held.map_or_else(open, File::try_clone) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io(error)),
            };
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(ControlDirError::Taken(path)),
                Err(TryLockError::Error(error)) => return Err(io(error)),
            }
            if !is_same_file(&lock, &path.join(LOCK)) {
                continue;
            }
            access.protect(&path, true).map_err(io)?;
            // Those of plugins that serve on are theirs until they are adopted.
            remove_dead_sockets(&path);
            return Ok(Self { path, lock });
        }
        Err(ControlDirError::Taken(path))
    }
}

fn is_same_file(open: &File, path: &Path) -> bool {
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
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

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
