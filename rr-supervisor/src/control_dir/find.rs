//! Where control directories are: where that of a configuration may stand, and those of servers that run.

use super::{
    LONGEST, PREFIX, RPC_SOCKET,
    clean::has_live_socket,
    identity::{Identity, Signature, addresses},
};
use nix::unistd::Uid;
use rr_common::config::Config;
use std::{
    env, fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
};

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
pub(super) fn renamed(parent: &Path, name: &str) -> Option<PathBuf> {
    let uid = Uid::effective().as_raw();
    within(parent).find(|path| {
        let is_ours = || fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid);
        let is_renamed = || Signature::read(path).is_some_and(|signature| signature.name == name);
        !path.ends_with(name) && is_ours() && is_renamed() && has_live_socket(path)
    })
}

/// What may be control directories.
pub(super) fn within(parent: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().as_bytes().starts_with(PREFIX.as_bytes()));
    ours.map(|entry| entry.path())
}

/// Where control directories may stand, best first.
pub(super) fn parents() -> Vec<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let candidates = [runtime, Some("/run".into()), Some(env::temp_dir()), Some("/tmp".into())];
    candidates
        .into_iter()
        .flatten()
        .filter(|path| path.is_absolute() && path.is_dir() && path.as_os_str().len() + 20 <= LONGEST)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control_dir::{ControlDir, ControlDirError, identity::identity};
    use rr_common::control::Access;
    use std::os::unix::net::UnixListener;

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
}
