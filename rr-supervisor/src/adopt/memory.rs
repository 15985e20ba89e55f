//! What the next supervisor must know and no plugin can tell it: metrics that the application has declared, services that it has
//! made, how often plugins were restarted, and why. Kept in a file of the control directory, which is written anew after each change.
//!
//! The values of metrics are not in it: they die with a killed supervisor, like those of any process.

use crate::{metrics::Declaration, service::Spec};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The version of the format. A file of another one is not read.
pub(crate) const VERSION: u32 = 1;

/// The file's name.
pub(crate) const FILE: &str = "memory";

/// More than all declared metrics and services can be.
const LONGEST: u64 = 64 << 20;

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    /// The format.
    version: u32,
    /// Processes that were started, by plugin.
    pub starts: BTreeMap<String, u64>,
    /// Processes that have ended, by plugin and cause.
    pub deaths: BTreeMap<String, BTreeMap<String, u64>>,
    /// Metrics that were declared by calls.
    pub metrics: Vec<Declaration>,
    /// Services that were made by calls.
    pub services: Vec<Spec>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemoryError {
    /// The file system's.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not what we have written.
    #[error("it cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// Another build has written it.
    #[error("it has version {0}, this program reads version {VERSION}")]
    Version(u32),
}

/// The memory. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    facts: Facts,
    changed: bool,
}

impl Memory {
    /// In this control directory, with what a predecessor has left there if `inherit` is set.
    pub(crate) fn open(dir: &Path, inherit: bool) -> Self {
        let path = dir.join(FILE);
        let facts = match inherit.then(|| read(&path)) {
            Some(Ok(facts)) => facts,
            Some(Err(error)) => {
                tracing::warn!(target: "supervisor", path = %path.display(), "what the supervisor before has kept is lost: {error}");
                Facts::default()
            }
            None => Facts::default(),
        };
        let kept = Mutex::new(Kept { facts, changed: true });
        Self(Arc::new(Inner { path, kept }))
    }

    /// A copy of all.
    pub(crate) fn facts(&self) -> Facts {
        self.kept().facts.clone()
    }

    /// Changes something; says whether anything is new. The loop writes it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Facts)) -> bool {
        let mut kept = self.kept();
        let mut facts = kept.facts.clone();
        change(&mut facts);
        let is_new = facts != kept.facts;
        if is_new {
            *kept = Kept { facts, changed: true };
        }
        is_new
    }

    /// Writes the file if anything has changed.
    pub(crate) fn save(&self) {
        let mut kept = self.kept();
        if !std::mem::take(&mut kept.changed) {
            return;
        }
        if let Err(error) = write(&self.0.path, &kept.facts) {
            tracing::warn!(target: "supervisor", path = %self.0.path.display(), "what the next supervisor should know cannot be written: {error}");
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Either the old file is there or the new one, whenever we are killed.
fn write(path: &Path, facts: &Facts) -> Result<(), MemoryError> {
    let next = path.with_extension("next");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&next)?;
    file.write_all(&encode(facts)?)?;
    fs::rename(&next, path)?;
    Ok(())
}

fn read(path: &Path) -> Result<Facts, MemoryError> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    decode(&bytes)
}

/// The facts as bytes.
pub(crate) fn encode(facts: &Facts) -> Result<Vec<u8>, MemoryError> {
    let facts = Facts {
        version: VERSION,
        ..facts.clone()
    };
    Ok(serde_json::to_vec(&facts)?)
}

/// The facts from bytes, of whatever origin.
pub(crate) fn decode(bytes: &[u8]) -> Result<Facts, MemoryError> {
    let facts: Facts = serde_json::from_slice(bytes)?;
    match facts.version {
        VERSION => Ok(facts),
        other => Err(MemoryError::Version(other)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn facts() -> Facts {
        let metrics = vec![Declaration {
            name: "jobs".into(),
            kind: "histogram".into(),
            buckets: vec![0.5, 1.0],
            objectives: vec![(0.9, 0.01)],
            ..Declaration::default()
        }];
        Facts {
            version: VERSION,
            starts: [("http".to_owned(), 3)].into(),
            deaths: [("http".to_owned(), [("crash".to_owned(), 2)].into())].into(),
            metrics,
            services: vec![Spec::sample()],
        }
    }

    #[test]
    fn what_was_kept_is_found_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::open(dir.path(), false);
        assert!(memory.change(|known| *known = facts()));
        assert!(!memory.change(|known| *known = facts()), "nothing new");
        memory.save();
        assert_eq!(Memory::open(dir.path(), true).facts(), facts());
        assert_eq!(Memory::open(dir.path(), false).facts(), Facts::default());
        let other = br#"{"version": 2}"#;
        assert!(matches!(decode(other), Err(MemoryError::Version(2))));
        fs::write(dir.path().join(FILE), other).unwrap();
        assert_eq!(Memory::open(dir.path(), true).facts(), Facts::default());
    }

    proptest! {
        #[test]
        fn any_bytes_are_facts_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..400_usize, flip in 0..400_usize) {
            let _ = decode(&bytes);
            let mut whole = encode(&facts()).unwrap();
            prop_assert_eq!(decode(&whole).unwrap(), facts());
            let at = flip % whole.len();
            whole[at] ^= 1;
            let _ = decode(&whole);
            prop_assert!(decode(&whole[..cut.min(whole.len() - 1)]).is_err());
        }
    }
}
