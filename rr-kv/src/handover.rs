//! What the storages in memory hand over from one process to the next: a [`snapshot`] with one part for each of them, which is its
//! name's length (u32, or all bits behind the last part), the name, and its [`Contents`].
//!
//! [`snapshot`]: rr_common::plugin::snapshot

use crate::driver::Contents;
use rr_common::{
    config::section::{MemoryStorage, Storage},
    plugin::snapshot::{Kind, Reader, SnapshotError, Writer},
};
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

/// Another form of the content is another version, which builds before it refuse.
pub const KIND: Kind = Kind { name: "kv", version: 1 };

/// In the place of a name's length: there are no more storages.
const END: u32 = u32::MAX;
/// Longest name of a storage.
const LONGEST_NAME: usize = 64 << 10;

/// The contents of storages, by their names.
pub type Parts = BTreeMap<String, Contents>;

/// Writes all of it.
///
/// # Errors
/// The writer's, or `go_on` says that the time is over.
pub fn write<W: Write>(mut out: Writer<W>, parts: &Parts, go_on: &impl Fn() -> bool) -> io::Result<()> {
    for (name, contents) in parts {
        out.write_all(&(name.len() as u32).to_le_bytes())?;
        out.write_all(name.as_bytes())?;
        contents.write(&mut out, go_on)?;
    }
    out.write_all(&END.to_le_bytes())?;
    out.finish().map(drop)
}

/// Reads all of it, for the storages of this configuration. What another one had is left behind.
///
/// # Errors
/// It is not what [`write`] writes.
pub fn read(mut from: Reader<impl Read>, storages: &BTreeMap<String, Storage>) -> Result<Parts, SnapshotError> {
    let mut parts = Parts::new();
    loop {
        let length = from.take_u32()?;
        if length == END {
            from.finish()?;
            return Ok(parts);
        }
        let length = length as usize;
        if length > LONGEST_NAME {
            return Err(SnapshotError::Damaged("a name is too long"));
        }
        let mut name = Vec::new();
        from.take_into(&mut name, length)?;
        let name = String::from_utf8(name).map_err(|_| SnapshotError::Damaged("a name is no text"))?;
        match storages.get(&name) {
            Some(Storage::Memory(settings)) => {
                let mut contents = Contents::new(settings);
                contents.read(&mut from)?;
                parts.insert(name, contents);
            }
            _ => {
                // Most of it is dropped as it is read.
                let few = MemoryStorage {
                    max_items: 1,
                    ..MemoryStorage::default()
                };
                let keys = Contents::new(&few).read(&mut from)?;
                tracing::warn!(target: "kv", storage = name, keys, "a storage in memory is not configured any more: its keys are dropped");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use rr_common::config::section::BoltdbStorage;

    fn contents(keys: &[&str]) -> Contents {
        let mut contents = Contents::new(&MemoryStorage::default());
        for key in keys {
            contents.insert(key, b"value");
        }
        contents
    }

    #[test]
    fn every_storage_gets_its_own() {
        let parts = Parts::from([
            ("a".to_owned(), contents(&["1", "2"])),
            ("file".to_owned(), contents(&["3"])),
            ("gone".to_owned(), contents(&["4"])),
            ("none".to_owned(), contents(&[])),
        ]);
        let mut bytes = Vec::new();
        write(Writer::new(&mut bytes, KIND).unwrap(), &parts, &|| true).unwrap();
        let memory = || Storage::Memory(MemoryStorage::default());
        let storages = BTreeMap::from([
            ("a".to_owned(), memory()),
            ("file".to_owned(), Storage::Boltdb(BoltdbStorage::default())),
            ("none".to_owned(), memory()),
            ("new".to_owned(), memory()),
        ]);
        let read = read(Reader::new(&bytes[..], KIND).unwrap(), &storages).unwrap();
        let counts: Vec<_> = read
            .iter()
            .map(|(name, contents)| (name.as_str(), contents.len()))
            .collect();
        assert_eq!(counts, [("a", 2), ("none", 0)]);
    }
}
