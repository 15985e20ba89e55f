//! The control directory: one for each running supervisor, found again by the next one of the same configuration.
//!
//! Its name comes from the configuration's file and its listening addresses, so that two servers that share a file but
//! not their ports (as Laravel Octane starts them) stay apart, and a second one of the same kind is refused. A lock on
//! a file inside says that somebody lives there; the kernel lets go of it however that one ends. The file names the configuration's, and
//! the directory that its server would have with the addresses of now: a reload may have changed them since.

use crate::adopt::memory;
use nix::{
    errno::Errno,
    sys::signal::kill,
    unistd::{Pid, Uid},
};
use rr_common::{
    config::{Config, section::Control},
    control::Access,
};
use std::{
    env,
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::fd::OwnedFd,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, FileTypeExt, MetadataExt},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

/// What every directory's name begins with.
const PREFIX: &str = "rr-";
const LOCK: &str = "lock";

/// The RPC port's own socket in it, where the command line finds a server without `rpc.listen`.
pub(crate) const RPC_SOCKET: &str = "rpc.sock";

/// Longest path of a directory: a socket's path has 108 bytes, and `/centrifuge.4194304.calls.sock` must fit.
const LONGEST: usize = 77;

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
    #[error("supervisor.control.dir: {0} is too long, a socket's path has at most 108 bytes")]
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

/// What tells one server from another.
#[derive(Debug)]
pub(crate) struct Identity<'a> {
    /// The configuration's file, absolute.
    pub file: &'a Path,
    /// All listening addresses.
    pub addresses: &'a [String],
}

/// What is written down in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signature {
    /// The configuration's file, absolute.
    file: PathBuf,
    /// The name that the directory would have now.
    name: String,
}

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

    /// A copy of the lock, for the next program of this process.
    ///
    /// # Errors
    /// No free descriptor.
    pub(crate) fn lock(&self) -> io::Result<OwnedFd> {
        Ok(self.lock.try_clone()?.into())
    }

    /// Writes down whose it is, for [`of_file`] and for the next server.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn sign(&self, signature: &Signature) -> io::Result<()> {
        let Signature { file, name } = signature;
        let text = [file.as_os_str().as_bytes(), b"\0", name.as_bytes()].concat();
        self.lock.set_len(0)?;
        (&self.lock).write_all(&text)
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

    /// Removes the sockets `PLUGIN.PID.…` of processes that are no more; `ended` is one that may still be buried.
    pub(crate) fn sweep(&self, ended: Option<Pid>) {
        let has_ended = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            let pid = name
                .and_then(|name| name.split('.').nth(1)?.parse().ok())
                .map(Pid::from_raw);
            pid.is_some_and(|pid| ended == Some(pid) || kill(pid, None) == Err(Errno::ESRCH))
        };
        for path in sockets(&self.path).into_iter().filter(has_ended) {
            let _ = fs::remove_file(path);
        }
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

    /// A directory inside for plugins that run under another user, who must be able to make sockets there. A plugin's user may change:
    /// then the next process has another directory than the one that serves.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn for_user(&self, user: &nix::unistd::User) -> io::Result<PathBuf> {
        let path = self.path.join(format!("u{}", user.uid));
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        nix::unistd::chown(&path, Some(user.uid), Some(user.gid))?;
        Ok(path)
    }

    fn claim(path: PathBuf, access: &Access, held: Option<&File>) -> Result<Self, ControlDirError> {
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

impl Signature {
    /// Of a directory that somebody has signed.
    fn read(dir: &Path) -> Option<Self> {
        let text = fs::read(dir.join(LOCK)).ok()?;
        let end = text.iter().position(|byte| *byte == 0)?;
        Some(Self {
            file: Path::new(OsStr::from_bytes(&text[..end])).to_owned(),
            name: String::from_utf8(text[end + 1..].to_vec()).ok()?,
        })
    }
}

impl Identity<'_> {
    /// What its server writes down.
    pub(crate) fn signature(&self) -> Signature {
        Signature {
            file: self.file.to_owned(),
            name: self.name(),
        }
    }

    fn name(&self) -> String {
        let mut addresses = self.addresses.to_vec();
        addresses.sort_unstable();
        let uid = Uid::effective().to_string();
        let parts = [self.file.as_os_str().as_bytes(), uid.as_bytes()];
        let parts = parts.into_iter().chain(addresses.iter().map(String::as_bytes));
        format!("{PREFIX}{:016x}", hash(parts))
    }
}

/// FNV-1a, each part closed by a byte that is in none of them. Written out here, because the next build of this program, which may
/// have another standard library, must find the same directory.
fn hash<'a>(parts: impl Iterator<Item = &'a [u8]>) -> u64 {
    let bytes = parts.flat_map(|part| part.iter().chain(&[0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Where the control directory of a configuration may be, best first. `file` is the configuration's, absolute.
pub(crate) fn candidates(config: &Config, file: &Path) -> Vec<PathBuf> {
    let control = &config.supervisor.control;
    if !control.dir.is_empty() {
        return vec![control.dir.clone().into()];
    }
    let addresses = addresses(config);
    let identity = Identity {
        file,
        addresses: &addresses,
    };
    let name = identity.name();
    parents().into_iter().map(|parent| parent.join(&name)).collect()
}

/// The control directories of running servers of a configuration's file, whatever addresses they had at their start: a reload may have
/// changed them, or is about to.
pub(crate) fn of_file(file: &Path) -> Vec<PathBuf> {
    let same = |signed: &Path| {
        signed == file
            || fs::canonicalize(signed)
                .ok()
                .is_some_and(|path| fs::canonicalize(file).ok() == Some(path))
    };
    let is_its = |path: &PathBuf| {
        Signature::read(path).is_some_and(|signature| same(&signature.file))
            && UnixStream::connect(path.join(RPC_SOCKET)).is_ok()
    };
    let mut found: Vec<PathBuf> = parents()
        .iter()
        .flat_map(|parent| within(parent))
        .filter(is_its)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// The directory of a server that had other addresses when it started, and has this name's ones since a reload: it may live, or have
/// left plugins behind.
fn renamed(parent: &Path, name: &str) -> Option<PathBuf> {
    let uid = Uid::effective().as_raw();
    within(parent).find(|path| {
        let is_ours = || fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
        let is_renamed = || Signature::read(path).is_some_and(|signature| signature.name == name);
        !path.ends_with(name) && is_ours() && is_renamed() && has_live_socket(path)
    })
}

/// What may be control directories.
fn within(parent: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()));
    ours.map(|entry| entry.path())
}

/// The addresses that tell one server of a configuration's file from another.
pub(crate) fn addresses(config: &Config) -> Vec<String> {
    let plugins = config.plugins();
    let mut all: Vec<String> = plugins.iter().flat_map(|plugin| config.addresses(plugin)).collect();
    all.extend(config.rpc.as_ref().map(|rpc| rpc.listen.clone()));
    all.extend(config.status.as_ref().map(|status| status.address.clone()));
    all.extend(config.metrics.as_ref().map(|metrics| metrics.address.clone()));
    all
}

/// Where control directories may stand, best first.
fn parents() -> Vec<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = [runtime, Some("/run".into()), Some(env::temp_dir()), Some("/tmp".into())];
    candidates
        .into_iter()
        .flatten()
        .filter(|path| path.is_absolute() && path.is_dir() && path.as_os_str().len() + 20 <= LONGEST)
        .collect()
}

fn is_same_file(open: &File, path: &Path) -> bool {
    let identity = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    match (open.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(found)) => identity(&open) == identity(&found),
        _ => false,
    }
}

/// Removes directories of servers that died without cleaning up and whose plugins are gone as well.
fn remove_stale(parent: &Path, own: &str) {
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
        // Looked at first: whoever adopts these plugins must never find the lock taken by us.
        if !has_live_socket(&path) && lock.try_lock().is_ok() && !has_live_socket(&path) {
            remove_dead_sockets(&path);
            let _ = fs::remove_file(path.join(memory::FILE));
            let _ = fs::remove_file(path.join(LOCK));
            let _ = fs::remove_dir(&path);
        }
    }
}

/// The sockets in a control directory and in its users' directories.
fn sockets(dir: &Path) -> Vec<PathBuf> {
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

fn has_live_socket(dir: &Path) -> bool {
    sockets(dir).iter().any(|socket| UnixStream::connect(socket).is_ok())
}

/// Removes the sockets at which nobody listens, and the users' directories when nothing else is in them.
fn remove_dead_sockets(dir: &Path) {
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
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

    fn control(dir: &Path) -> Control {
        Control {
            dir: dir.display().to_string(),
            ..Control::default()
        }
    }

    fn identity<'a>(file: &'a Path, addresses: &'a [String]) -> Identity<'a> {
        Identity { file, addresses }
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
    fn the_name_follows_the_file_and_the_addresses() {
        let a = [":80".to_owned(), ":81".to_owned()];
        let same = [":81".to_owned(), ":80".to_owned()];
        let other = [":82".to_owned()];
        let file = Path::new("/srv/.rr.yaml");
        assert_eq!(identity(file, &a).name(), identity(file, &same).name());
        assert_ne!(identity(file, &a).name(), identity(file, &other).name());
        assert_ne!(identity(file, &a).name(), identity(Path::new("/srv/b.yaml"), &a).name());
    }

    /// A reload has changed its addresses.
    #[test]
    fn a_server_is_found_by_the_addresses_that_it_has_now() {
        let parent = tempfile::tempdir().unwrap();
        let (file, old, new) = (Path::new("/srv/.rr.yaml"), [":80".to_owned()], [":81".to_owned()]);
        let path = parent.path().join(identity(file, &old).name());
        let first = ControlDir::claim(path.clone(), &Access::default(), None).unwrap();
        first.sign(&identity(file, &old).signature()).unwrap();
        let _plugin = UnixListener::bind(path.join("http.1.held.sock")).unwrap();
        let found = |addresses: &[String]| renamed(parent.path(), &identity(file, addresses).name());
        assert_eq!(
            (found(&old), found(&new)),
            (None, None),
            "by its own name it is found without this"
        );
        let signature = identity(file, &new).signature();
        first.sign(&signature).unwrap();
        assert_eq!(Signature::read(&path), Some(signature));
        assert_eq!(found(&new), Some(path.clone()));
        assert!(matches!(
            ControlDir::claim(path, &Access::default(), None),
            Err(ControlDirError::Taken(_))
        ));
        assert_eq!(found(&[":82".to_owned()]), None);
    }

    /// Every build must find the directory of every other.
    #[test]
    fn the_hash_is_fnv() {
        assert_eq!(hash([].into_iter()), 0xcbf2_9ce4_8422_2325);
        assert_eq!(
            hash([&b"/srv/.rr.yaml"[..], b"1000", b":80"].into_iter()),
            0xa5d4_486c_326f_6832
        );
    }

    /// Two servers of one file that differ in nothing but the RPC port.
    #[test]
    fn the_supervisors_own_addresses_count_too() {
        let config = |listen: &str| -> Config {
            let tree = serde_json::json!({"http": {"address": ":80"}, "rpc": {"listen": listen}, "status": {"address": ":81"}});
            serde_json::from_value(tree).unwrap()
        };
        let file = Path::new("/srv/.rr.yaml");
        assert_eq!(addresses(&config("tcp://:1")), [":80", "tcp://:1", ":81"]);
        assert_ne!(
            candidates(&config("tcp://:1"), file),
            candidates(&config("tcp://:2"), file)
        );
    }

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
