//! What the dead have left in control directories is removed. Whatever still listens is somebody's.

use super::{ControlDir, LOCK, PREFIX, claim::is_same_file};
use crate::adopt::memory;
use nix::{
    errno::Errno,
    sys::signal::kill,
    unistd::{Pid, Uid},
};
use std::{
    fs::{self, File},
    os::unix::{
        fs::{FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

impl ControlDir {
    /// Removes the sockets `PLUGIN.PID.…` of processes that are no more; `ended` is one that may still be buried.
    pub(crate) fn sweep(&self, ended: Option<Pid>) {
        sweep(&self.path, ended);
    }
}

/// The same in the control directory of this path.
pub(crate) fn sweep(dir: &Path, ended: Option<Pid>) {
    let has_ended = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let pid = name
            .and_then(|name| name.split('.').nth(1)?.parse().ok())
            .map(Pid::from_raw);
        pid.is_some_and(|pid| ended == Some(pid) || kill(pid, None) == Err(Errno::ESRCH))
    };
    for path in sockets(dir).into_iter().filter(has_ended) {
        let _ = fs::remove_file(path);
    }
}

/// Removes directories of servers that died without cleaning up and whose plugins are gone as well.
pub(super) fn remove_stale(parent: &Path, own: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| {
            let hash = name.strip_prefix(PREFIX).unwrap_or_default();
            name != own && hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let path = entry.path();
        let owned = fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir() && m.uid() == Uid::effective().as_raw());
        if !is_ours || !owned {
            continue;
        }
        let Ok(lock) = File::open(path.join(LOCK)) else {
            continue;
        };
        // Looked at first: whoever adopts these plugins must never find the lock taken by us. Then once more, as somebody may have made
        // it anew before we had the lock.
        let is_left = || is_same_file(&lock, &path.join(LOCK)) && !has_live_socket(&path);
        if is_left() && lock.try_lock().is_ok() && is_left() {
            remove_dead_sockets(&path);
            let _ = fs::remove_file(path.join(memory::FILE));
            let _ = fs::remove_file(path.join(LOCK));
            let _ = fs::remove_dir(&path);
        }
    }
}

/// The sockets in a control directory and in its users' directories.
pub(super) fn sockets(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_socket() => found.push(entry.path()),
            Ok(kind) if kind.is_dir() => found.extend(sockets(&entry.path())),
            _ => {}
        }
    }
    found
}

/// Whether somebody listens in a control directory: a server, or a plugin of one that has died.
pub(super) fn has_live_socket(dir: &Path) -> bool {
    sockets(dir).iter().any(|socket| UnixStream::connect(socket).is_ok())
}

/// Removes the sockets at which nobody listens, and the users' directories when nothing else is in them.
pub(super) fn remove_dead_sockets(dir: &Path) {
    for socket in sockets(dir) {
        if UnixStream::connect(&socket).is_err() {
            let _ = fs::remove_file(&socket);
        }
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn stale_directories_go_and_live_ones_stay() {
        let room = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = room.path().join(name);
            fs::create_dir(&path).unwrap();
            File::create(path.join(LOCK)).unwrap();
            path
        };
        let stale = make("rr-0123456789abcdef");
        drop(UnixListener::bind(stale.join("http.1.sock")).unwrap());
        let adoptable = make("rr-0123456789abcde0");
        let _plugin = UnixListener::bind(adoptable.join("http.1.sock")).unwrap();
        let locked = make("rr-0123456789abcde1");
        let lock = File::open(locked.join(LOCK)).unwrap();
        lock.try_lock().unwrap();
        let unrelated = make("rr-something");
        remove_stale(room.path(), "rr-own");
        assert!(!stale.exists());
        assert!(adoptable.exists() && locked.exists() && unrelated.exists());
    }
}
