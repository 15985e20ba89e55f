//! What lies in the file: the values, and the keys in the order of their ends. Everything here works inside a transaction.

use crate::{
    driver::{Item, Outcome, sum},
    expiry::Expiry,
};
use redb::{ReadableTable, StorageError, Table, TableDefinition, TableError, WriteTransaction};

/// A key with its end in milliseconds and its value.
pub(super) const VALUES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("values");
/// The keys that have an end, by it.
const ENDS: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("ends");
/// The end of a key that has none.
const NEVER: u64 = u64::MAX;

/// An item that can travel to the writer.
#[derive(Debug)]
pub(super) struct Owned {
    pub key: String,
    value: Vec<u8>,
    expiry: Option<Expiry>,
}

/// Both tables, open for writing.
pub(super) struct Tables<'a> {
    values: Table<'a, &'static str, (u64, &'static [u8])>,
    ends: Table<'a, (u64, &'static str), ()>,
}

type Stored<T> = Result<T, StorageError>;

impl Owned {
    pub(super) fn of(item: &Item<'_>) -> Self {
        Self {
            key: item.key.to_owned(),
            value: item.value.to_vec(),
            expiry: item.expiry,
        }
    }

    pub(super) fn all(items: &[Item<'_>]) -> Vec<Self> {
        items.iter().map(Self::of).collect()
    }
}

/// Gives end and value of a key, unless it has ended.
pub(super) fn get<T>(
    values: &impl ReadableTable<&'static str, (u64, &'static [u8])>,
    key: &str,
    now: Expiry,
    give: impl FnOnce(Option<Expiry>, &[u8]) -> T,
) -> Stored<Option<T>> {
    let Some(entry) = values.get(key)? else { return Ok(None) };
    let (end, value) = entry.value();
    let expiry = (end != NEVER).then(|| Expiry::at(end));
    let ended = expiry.is_some_and(|expiry| expiry.is_past(now));
    Ok((!ended).then(|| give(expiry, value)))
}

impl<'a> Tables<'a> {
    /// Opens them, and makes them if they are not there.
    pub(super) fn open(transaction: &'a WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            values: transaction.open_table(VALUES)?,
            ends: transaction.open_table(ENDS)?,
        })
    }

    /// Stores an item. If it has ended already, its key is removed.
    pub(super) fn set(&mut self, item: &Owned, now: Expiry) -> Stored<()> {
        let Owned { key, value, expiry } = item;
        self.put(key, value, *expiry, now)
    }

    /// Gives a key that exists another end.
    pub(super) fn expire(&mut self, key: &str, expiry: Expiry, now: Expiry) -> Stored<()> {
        match get(&self.values, key, now, |_, value| value.to_vec())? {
            Some(value) => self.put(key, &value, Some(expiry), now),
            None => Ok(()),
        }
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, key: &str) -> Stored<()> {
        let removed = self.values.remove(key)?.map(|entry| entry.value().0);
        if let Some(end) = removed.filter(|end| *end != NEVER) {
            self.ends.remove((end, key))?;
        }
        Ok(())
    }

    /// Removes all keys.
    pub(super) fn clear(&mut self) -> Stored<()> {
        self.values.retain(|_, _| false)?;
        self.ends.retain(|_, ()| false)
    }

    /// Adds to a number. The outer error is the store's, the inner one the value's.
    pub(super) fn incr(&mut self, key: String, by: i64, expiry: Option<Expiry>, now: Expiry) -> Stored<Outcome<i64>> {
        let found = get(&self.values, &key, now, |end, value| (end, sum(Some(value), by)))?;
        let (expiry, sum) = found.unwrap_or_else(|| (expiry, sum(None, by)));
        if let Ok(sum) = &sum {
            self.put(&key, sum.to_string().as_bytes(), expiry, now)?;
        }
        Ok(sum)
    }

    /// Stores the item if its key has the expected value, or if it is expected not to exist and does not.
    pub(super) fn swap(&mut self, item: &Owned, expected: Option<&[u8]>, now: Expiry) -> Stored<bool> {
        let same = get(&self.values, &item.key, now, |_, value| Some(value) == expected)?;
        let as_expected = same.unwrap_or(expected.is_none());
        if as_expected {
            self.set(item, now)?;
        }
        Ok(as_expected)
    }

    /// Removes keys that have ended, at most so many, and says how many that were.
    pub(super) fn sweep(&mut self, now: Expiry, at_most: usize) -> Stored<usize> {
        for done in 0..at_most {
            let first = self.ends.first()?.map(|(entry, _)| {
                let (end, key) = entry.value();
                (Expiry::at(end), key.to_owned())
            });
            match first {
                Some((end, key)) if end.is_past(now) => self.remove(&key)?,
                _ => return Ok(done),
            }
        }
        Ok(at_most)
    }

    /// Whether any key has an end.
    pub(super) fn any_ends(&self) -> Stored<bool> {
        Ok(self.ends.first()?.is_some())
    }

    fn put(&mut self, key: &str, value: &[u8], expiry: Option<Expiry>, now: Expiry) -> Stored<()> {
        if expiry.is_some_and(|expiry| expiry.is_past(now)) {
            return self.remove(key);
        }
        let end = expiry.map_or(NEVER, Expiry::milliseconds);
        let before = self.values.insert(key, (end, value))?.map(|entry| entry.value().0);
        if before == Some(end) {
            return Ok(());
        }
        if let Some(before) = before.filter(|before| *before != NEVER) {
            self.ends.remove((before, key))?;
        }
        if end != NEVER {
            self.ends.insert((end, key), ())?;
        }
        Ok(())
    }
}
