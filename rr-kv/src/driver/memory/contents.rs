//! What a memory storage keeps, apart from the storage: taken out for a while, written into a snapshot, read from one.
//!
//! A key is its length, its value's length (u32 each), its end (u64, milliseconds, or all bits for none), whether it was read
//! lately (a byte), and then both. Behind the last one stands a length that no key has.

use super::store::{Clock, Limits, Store};
use crate::driver::Item;
use crate::expiry::Expiry;
use rr_common::{
    config::section::MemoryStorage,
    plugin::snapshot::{Reader, SnapshotError},
    rpc::wire::MAX_FRAME,
};
use std::io::{self, Read, Write};

/// In the place of a key's length: there are no more.
const END: u32 = u32::MAX;
/// In the place of an end: there is none.
const NEVER: u64 = u64::MAX;
/// Keys that are written between two looks at whether there is time left.
const STEP: usize = 1024;

/// All keys and values of one storage.
#[derive(Debug, Default)]
pub struct Contents(pub(super) Store);

impl Contents {
    /// Of a storage with these settings, without any key.
    pub fn new(settings: &MemoryStorage) -> Self {
        Self(Store::new(Limits {
            items: settings.max_items,
            bytes: settings.max_bytes,
        }))
    }

    /// Number of keys.
    pub fn len(&self) -> u64 {
        self.0.stats().items
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Stores a key without an end.
    #[cfg(test)]
    pub(crate) fn insert(&mut self, key: &str, value: &[u8]) {
        let item = Item {
            key,
            value,
            expiry: None,
        };
        assert_eq!(self.0.set(&item, &mut Clock::wall()), Ok(()));
    }

    /// Writes all keys, those first that would be evicted first. Goes on as long as `go_on` says so.
    ///
    /// # Errors
    /// The writer's, or the time is over.
    pub fn write(&self, out: &mut impl Write, go_on: &impl Fn() -> bool) -> io::Result<()> {
        // The hand passes those that were read once.
        let those = |wanted: bool| self.0.items().filter(move |(_, read)| *read == wanted);
        for (number, (item, read)) in those(false).chain(those(true)).enumerate() {
            if number % STEP == 0 && !go_on() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // A key is shorter than 2 GiB, and a value came in one frame.
            out.write_all(&(item.key.len() as u32).to_le_bytes())?;
            out.write_all(&(item.value.len() as u32).to_le_bytes())?;
            let end = item.expiry.map_or(NEVER, Expiry::milliseconds);
            out.write_all(&end.to_le_bytes())?;
            out.write_all(&[u8::from(read)])?;
            out.write_all(item.key.as_bytes())?;
            out.write_all(item.value)?;
        }
        out.write_all(&END.to_le_bytes())
    }

    /// Adds the keys that were written; says how many.
    ///
    /// # Errors
    /// They are not what [`Contents::write`] writes.
    pub fn read(&mut self, from: &mut Reader<impl Read>) -> Result<u64, SnapshotError> {
        let mut clock = Clock::wall();
        let mut bytes = Vec::new();
        let mut count = 0;
        loop {
            let key = from.take_u32()?;
            if key == END {
                return Ok(count);
            }
            let (key, value) = (key as usize, from.take_u32()? as usize);
            if key > MAX_FRAME || value > MAX_FRAME {
                return Err(SnapshotError::Damaged("a key is too long"));
            }
            let end = from.take_u64()?;
            let mut read = [0];
            from.take_exact(&mut read)?;
            bytes.clear();
            from.take_into(&mut bytes, key + value)?;
            let (key, value) = bytes.split_at(key);
            let key = std::str::from_utf8(key).map_err(|_| SnapshotError::Damaged("a key is no text"))?;
            let expiry = (end != NEVER).then(|| Expiry::at(end));
            let item = Item { key, value, expiry };
            if let Err(error) = self.0.put(&item, read != [0], &mut clock) {
                // With less room than before.
                tracing::warn!(key, "a key is not taken over: {error}");
            }
            count += 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rr_common::plugin::snapshot::{Kind, Writer};
    use std::collections::BTreeMap;

    const KIND: Kind = Kind { name: "kv", version: 1 };

    type Pairs = BTreeMap<String, (Vec<u8>, Option<u64>)>;

    fn filled(pairs: &Pairs) -> Contents {
        let mut contents = Contents::default();
        for (key, (value, end)) in pairs {
            let expiry = end.map(Expiry::at);
            contents
                .0
                .set(&Item { key, value, expiry }, &mut Clock::wall())
                .unwrap();
        }
        contents
    }

    fn pairs(contents: &Contents) -> Pairs {
        let one = |(item, _): (Item<'_>, bool)| {
            (
                item.key.to_owned(),
                (item.value.to_vec(), item.expiry.map(Expiry::milliseconds)),
            )
        };
        contents.0.items().map(one).collect()
    }

    fn through(contents: &Contents, settings: &MemoryStorage) -> Contents {
        let mut writer = Writer::new(Vec::new(), KIND).unwrap();
        contents.write(&mut writer, &|| true).unwrap();
        let bytes = writer.finish().unwrap();
        let mut reader = Reader::new(&bytes[..], KIND).unwrap();
        let mut again = Contents::new(settings);
        assert_eq!(again.read(&mut reader).unwrap(), contents.len());
        reader.finish().unwrap();
        again
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            pairs_before in prop::collection::btree_map("\\PC{0,12}", (prop::collection::vec(any::<u8>(), 0..50), prop::option::of(0..1_000_000_u64)), 0..40),
        ) {
            let now = Expiry::now().milliseconds();
            let later = |(key, (value, end)): (String, (Vec<u8>, Option<u64>))| {
                (key, (value, end.map(|end| now + 3_600_000 + end)))
            };
            let before: Pairs = pairs_before.into_iter().map(later).collect();
            let contents = filled(&before);
            prop_assert_eq!(pairs(&contents), before.clone());
            prop_assert_eq!(pairs(&through(&contents, &MemoryStorage::default())), before);
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), small in 0..4_u32) {
            // Short lengths first, so that some keys can be read.
            let mut all = Vec::new();
            for _ in 0..small {
                all.extend(1_u32.to_le_bytes());
                all.extend(2_u32.to_le_bytes());
                all.extend([0xff; 9]);
                all.extend(b"abc");
            }
            all.extend(bytes);
            let mut writer = Writer::new(Vec::new(), KIND).unwrap();
            writer.write_all(&all).unwrap();
            let written = writer.finish().unwrap();
            let mut contents = Contents::default();
            let _ = contents.read(&mut Reader::new(&written[..], KIND).unwrap());
            prop_assert_eq!(contents.len(), u64::from(small.min(1)));
        }
    }

    /// With less room those stay that would have stayed before.
    #[test]
    fn who_goes_first_is_taken_over() {
        let key = |number: usize| format!("key{number}");
        let mut contents = filled(&(0..8).map(|number| (key(number), (vec![1], None))).collect());
        for number in [0, 3, 5] {
            contents.0.get(&key(number), &mut Clock::wall()).unwrap();
        }
        let settings = MemoryStorage {
            max_items: 3,
            ..MemoryStorage::default()
        };
        let left = pairs(&through(&contents, &settings));
        assert_eq!(left.into_keys().collect::<Vec<_>>(), ["key0", "key3", "key5"]);
    }

    #[test]
    fn it_stops_when_the_time_is_over() {
        let contents = filled(&Pairs::from([("a".to_owned(), (vec![1], None))]));
        let stopped = contents.write(&mut Vec::new(), &|| false).unwrap_err();
        assert_eq!(stopped.kind(), io::ErrorKind::TimedOut);
    }
}
