//! The control directory: one for each running supervisor, found again by the next one of the same configuration.
//!
//! Its name comes from the configuration's file and its listening addresses, so that two servers that share a file but
//! not their ports (as Laravel Octane starts them) stay apart, and a second one of the same kind is refused. A lock on
//! a file inside says that somebody lives there; the kernel lets go of it however that one ends. The file names the configuration's, and
//! the directory that its server would have with the addresses of now: a reload may have changed them since.
//!
//! - [`identity`]: whose a directory is, in its name and in the file; [`find`]: where directories are
//! - [`claim`]: a server makes and locks its own; [`clean`]: what the dead have left is removed
//! - [`owner`]: whether a process has one

mod claim;
mod clean;
mod find;
mod identity;
mod owner;

pub(crate) use clean::sweep;
pub(crate) use find::{candidates, of_file};
pub(crate) use identity::{Identity, Signature, addresses};
pub(crate) use owner::has_one;

use crate::adopt::memory;
use clean::{remove_dead_sockets, sockets};
use nix::unistd::{Pid, User, chown};
use std::{
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
};

/// What every directory's name begins with.
const PREFIX: &str = "rr-";
/// The file in it that is locked, and says whose it is.
const LOCK: &str = "lock";

/// The RPC port's own socket in it, where the command line finds a server without `rpc.listen`.
pub(crate) const RPC_SOCKET: &str = "rpc.sock";

/// Longest path that the kernel takes for a socket: it has room for 108 bytes, one of which ends the text.
pub(crate) const LONGEST_SOCKET: usize = 107;

/// Longest path of a directory: the longest name of a socket in it must fit.
const LONGEST: usize = LONGEST_SOCKET - "/centrifuge.4194304.calls.sock".len();

/// The directory, locked. Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct ControlDir {
    path: PathBuf,
    lock: File,
}

/// Why there is no control directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlDirError {
    /// The lock is held.
    #[error("another server of this configuration is running (its control directory is {0})")]
    Taken(PathBuf),
    /// It belongs to somebody else, or is no directory.
    #[error("the control directory {0} is not ours")]
    Foreign(PathBuf),
    /// Too long for a socket path.
    #[error(
        "supervisor.control.dir: {0} is too long: it may have {LONGEST} bytes, so that the paths of the sockets in it have at most {LONGEST_SOCKET}"
    )]
    Long(PathBuf),
    /// The file system's.
    #[error("the control directory {path}: {error}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

impl ControlDir {
    /// A copy of the lock, for the next program of this process.
    ///
    /// # Errors
    /// No free descriptor.
    pub(crate) fn lock(&self) -> io::Result<OwnedFd> {
        Ok(self.lock.try_clone()?.into())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Our own control socket in it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("supervisor.sock")
    }

    /// Where RPC is spoken as at `rpc.listen`.
    pub(crate) fn rpc_socket(&self) -> PathBuf {
        self.path.join(RPC_SOCKET)
    }

    /// The plugins' sockets of a kind in it: `PLUGIN.PID.KIND.sock`, or without a kind their own ones.
    pub(crate) fn sockets(&self, kind: &str) -> Vec<PathBuf> {
        let is_of_kind = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let parts: Vec<&str> = name.split('.').skip(2).collect();
            match kind {
                "" => parts == ["sock"],
                kind => parts == [kind, "sock"],
            }
        };
        sockets(&self.path).into_iter().filter(is_of_kind).collect()
    }

    /// The own socket of a plugin's process.
    pub(crate) fn socket_of(&self, plugin: &str, pid: Pid) -> PathBuf {
        let name = format!("{plugin}.{pid}.sock");
        let is_it = |path: &PathBuf| path.file_name().is_some_and(|found| *found == *name);
        self.sockets("")
            .into_iter()
            .find(is_it)
            .unwrap_or_else(|| self.path.join(name))
    }

    /// A directory inside for plugins that run under another user, who must be able to make sockets there. A plugin's user may change:
    /// then the next process has another directory than the one that serves.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn for_user(&self, user: &User) -> io::Result<PathBuf> {
        let path = self.path.join(format!("u{}", user.uid));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        chown(&path, Some(user.uid), Some(user.gid))?;
        Ok(path)
    }
}

impl Drop for ControlDir {
    fn drop(&mut self) {
        for own in [self.socket(), self.rpc_socket()] {
            let _ = fs::remove_file(own);
        }
        remove_dead_sockets(&self.path);
        if sockets(&self.path).is_empty() {
            let _ = fs::remove_file(self.path.join(memory::FILE));
        }
        let _ = fs::remove_file(self.path.join(LOCK));
        let _ = fs::remove_dir(&self.path);
    }
}
