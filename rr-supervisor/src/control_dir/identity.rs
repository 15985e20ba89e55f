//! Whose a control directory is: its name comes from what tells one server from another, and a file in it says the same in words.

use super::{ControlDir, LOCK, PREFIX};
use nix::{fcntl::OFlag, unistd::Uid};
use rr_common::config::Config;
use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The longest signature that is read, in bytes: a path and a name.
const LONGEST_SIGNATURE: u64 = 8192;

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
    pub(super) file: PathBuf,
    /// The name that the directory would have now.
    pub(super) name: String,
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

impl Identity<'_> {
    /// What its server writes down.
    pub(crate) fn signature(&self) -> Signature {
        Signature {
            file: self.file.to_owned(),
            name: self.name(),
        }
    }

    /// The name of its server's directory.
    pub(super) fn name(&self) -> String {
        let mut addresses = self.addresses.to_vec();
        addresses.sort_unstable();
        let uid = Uid::effective().to_string();
        let parts = [self.file.as_os_str().as_bytes(), uid.as_bytes()];
        let parts = parts.into_iter().chain(addresses.iter().map(String::as_bytes));
        format!("{PREFIX}{:016x}", hash(parts))
    }
}

impl Signature {
    /// Of a directory that somebody has signed. In a directory for all, anybody may have made it: what is no ordinary file is not
    /// waited for, and what is too long is not read.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY).bits();
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(dir.join(LOCK))
            .ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut text = Vec::new();
        let length = file.take(LONGEST_SIGNATURE + 1).read_to_end(&mut text).ok()?;
        (length as u64 <= LONGEST_SIGNATURE).then(|| Self::parse(&text))?
    }

    /// As it is written.
    fn bytes(&self) -> Vec<u8> {
        [self.file.as_os_str().as_bytes(), b"\0", self.name.as_bytes()].concat()
    }

    /// From what is written.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(Self {
            file: Path::new(OsStr::from_bytes(&bytes[..end])).to_owned(),
            name: String::from_utf8(bytes[end + 1..].to_vec()).ok()?,
        })
    }
}

impl ControlDir {
    /// Writes down whose it is, for [`super::of_file`] and for the next server.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn sign(&self, signature: &Signature) -> io::Result<()> {
        self.lock.set_len(0)?;
        (&self.lock).write_all(&signature.bytes())
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

/// In tests of all of this room.
#[cfg(test)]
pub(super) fn identity<'a>(file: &'a Path, addresses: &'a [String]) -> Identity<'a> {
    Identity { file, addresses }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

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

    /// A directory for all may hold anything.
    #[test]
    fn a_lock_that_is_no_ordinary_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join(LOCK);
        nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(Signature::read(dir.path()), None);
        fs::remove_file(&lock).unwrap();
        fs::write(&lock, [b"/srv/.rr.yaml\0", [b'a'; 10_000].as_slice()].concat()).unwrap();
        assert_eq!(Signature::read(dir.path()), None, "too long");
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &lock).unwrap();
        assert_eq!(Signature::read(dir.path()), None, "a link");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(file in "[^\\x00]{0,40}", name in ".{0,20}") {
            let signature = Signature { file: file.into(), name };
            prop_assert_eq!(Signature::parse(&signature.bytes()), Some(signature));
        }

        #[test]
        fn anything_may_stand_there(bytes: Vec<u8>) {
            if let Some(signature) = Signature::parse(&bytes) {
                prop_assert_eq!(signature.bytes(), bytes);
            }
        }
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
}
