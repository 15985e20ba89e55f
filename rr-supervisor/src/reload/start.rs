//! The configuration that a program begins with: that of the files, or the one that was in force in the program before it in the same
//! process, whatever the files say by now. A new program so changes nothing but itself, and a file that has become wrong
//! cannot keep it from going on.

use super::Reload;
use crate::{
    place::Place,
    renew::baggage::{Baggage, Descriptor},
};
use nix::unistd::fchdir;
use rr_common::{
    config::{self, Diagnostics, LoadOptions, Loaded},
    listen,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeSet, env, fs::File, io, path::PathBuf};

/// The name under which it is packed.
const ROOM: &str = "configuration";

/// What a program begins with; its working directory is that of the configuration.
#[derive(Debug)]
pub(crate) struct Start {
    /// The configuration.
    pub loaded: Loaded,
    /// Where processes are started.
    pub place: Place,
    /// Variables that our environment has from dotenv files.
    pub exported: BTreeSet<String>,
}

/// Why there is nothing to begin with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The files are wrong.
    #[error("{0}")]
    Files(#[from] Diagnostics),
    /// The working directory cannot be entered.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The same in words.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    tree: Value,
    base_dir: PathBuf,
    /// The working directory, which may have been removed or moved since.
    directory: Option<Descriptor>,
    place: Place,
    exported: BTreeSet<String>,
}

impl Start {
    /// From the files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn from_files(options: &LoadOptions) -> Result<Self, StartError> {
        let loaded = config::load(options)?;
        env::set_current_dir(&loaded.base_dir)?;
        listen::export(&loaded.env);
        let place = Place {
            directory: env::current_dir()?,
            set: loaded.env.clone(),
            ..Place::default()
        };
        let exported = loaded.env.keys().cloned().collect();
        Ok(Self {
            loaded,
            place,
            exported,
        })
    }

    /// What was in force in the program before; nothing if it has left nothing that this program could take.
    pub(crate) fn from_baggage(baggage: &mut Baggage) -> Option<Self> {
        let kept: Kept = baggage.take(ROOM);
        let directory = baggage.descriptor(kept.directory?)?;
        let loaded = config::restore(kept.tree, kept.base_dir).ok()?;
        fchdir(directory).ok()?;
        Some(Self {
            loaded,
            place: kept.place,
            exported: kept.exported,
        })
    }
}

impl Reload {
    /// Packs what is in force.
    ///
    /// # Errors
    /// No free descriptor.
    pub(crate) fn pack(&self, baggage: &mut Baggage) -> io::Result<()> {
        let kept = Kept {
            tree: self.in_force()?,
            base_dir: self.source.base_dir.clone(),
            directory: Some(baggage.add(File::open(".")?.into())),
            place: Place::clone(&self.current.place),
            exported: self.source.exported.clone(),
        };
        self.watcher.gate().pack(baggage)?;
        baggage.put(ROOM, &kept)
    }

    /// The configuration in force, as plugins get it.
    ///
    /// # Errors
    /// None: it was made of such a tree.
    pub(crate) fn in_force(&self) -> io::Result<Value> {
        Ok(serde_json::from_slice(&self.current.json)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_was_in_force_is_typed_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let text = "version: '3'\nserver: {command: php worker.php}\nhttp: {address: ':80', pool: {num_workers: 3, allocate_timeout: 5s}}\nx-mine: {a: 1}\n";
        std::fs::write(dir.path().join(".rr.yaml"), text).unwrap();
        let options = LoadOptions {
            file: dir.path().join(".rr.yaml"),
            ..LoadOptions::default()
        };
        let loaded = config::load(&options).unwrap();
        let restored = config::restore(loaded.tree.clone(), loaded.base_dir.clone()).unwrap();
        assert_eq!(restored.tree, loaded.tree);
        assert_eq!(restored.base_dir, loaded.base_dir);
        assert_eq!(
            serde_json::to_value(&restored.config).unwrap(),
            serde_json::to_value(&loaded.config).unwrap()
        );
        assert!(config::restore(json!({"http": 5}), PathBuf::new()).is_err());
    }

    proptest! {
        #[test]
        fn any_words_are_a_start_or_none(version in any::<Option<String>>(), number in any::<Option<u8>>(), which in any::<Option<usize>>()) {
            let mut baggage = Baggage::default();
            let tree = json!({"version": version, "http": {"pool": {"num_workers": number}}});
            baggage.put(ROOM, &json!({"tree": tree, "directory": which})).unwrap();
            prop_assert!(Start::from_baggage(&mut baggage).is_none(), "there is no directory");
        }
    }
}
