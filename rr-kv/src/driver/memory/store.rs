//! The table of the memory driver: plain data, no clock and no lock.
//!
//! - **Compact.** An entry is a slot of 32 bytes in one long list ([`slots`]) and one allocation that holds key and value; the hash
//!   table has the slots' numbers, four bytes each. A hash is kept in the slot, so that the table grows without reading any key.
//! - **Ends** lie in an ordered set beside it, only for the keys that have one.
//! - **Limits.** When there is no room, what has ended goes first. Then a hand goes round over the slots, as that of a clock:
//!   a key that was read since the hand last came by is let off once, the first one that was not is evicted. That keeps
//!   what is in use as a list by last use would, without a list that every read must reorder.

mod slots;
#[cfg(test)]
mod tests;
use crate::{
    driver::{DriverError, Item, Outcome},
    expiry::Expiry,
    stats::Stats,
};
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use slots::{NEVER, READ, Slot, Slots};
use std::{collections::BTreeSet, hash::BuildHasher, mem};

/// What a key costs beside its own bytes and its value's: slot, table, the allocator's header and its rounding up.
const OVERHEAD: usize = 64;
/// How much there may be; 0 is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// Keys.
    pub items: u64,
    /// Bytes of keys, values and what each key costs besides.
    pub bytes: u64,
}

/// The present moment, looked up when somebody needs it, at most once.
#[derive(Debug)]
pub(super) struct Clock(Option<Expiry>);

/// All keys and values.
#[derive(Debug, Default)]
pub(super) struct Store {
    limits: Limits,
    hasher: RandomState,
    table: HashTable<u32>,
    slots: Slots,
    ends: BTreeSet<(Expiry, u32)>,
    bytes: usize,
    /// Without items and bytes, which are known otherwise.
    counts: Stats,
}

/// What a sweep leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swept {
    /// More that has ended.
    More,
    /// A key that ends then, and none before it.
    Next(Expiry),
    /// No key that ends.
    Idle,
}

impl Clock {
    /// The machine's.
    pub(super) const fn wall() -> Self {
        Self(None)
    }

    /// One that stands still.
    #[cfg(test)]
    pub(super) const fn fixed(now: Expiry) -> Self {
        Self(Some(now))
    }

    fn now(&mut self) -> Expiry {
        *self.0.get_or_insert_with(Expiry::now)
    }
}

impl Store {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The value of a key.
    pub(super) fn get(&mut self, key: &str, clock: &mut Clock) -> Option<&[u8]> {
        match self.live(key, clock) {
            Some(number) => {
                self.counts.hits += 1;
                let slot = &mut self.slots[number];
                slot.key |= READ;
                Some(slot.value())
            }
            None => {
                self.counts.misses += 1;
                None
            }
        }
    }

    /// The end of a key that exists.
    pub(super) fn expiry(&mut self, key: &str, clock: &mut Clock) -> Option<Option<Expiry>> {
        let number = self.live(key, clock)?;
        Some(self.slots[number].expiry())
    }

    /// Stores an item. If it has ended already, its key is removed.
    pub(super) fn set(&mut self, item: &Item<'_>, clock: &mut Clock) -> Outcome<()> {
        if item.expiry.is_some_and(|expiry| expiry.is_past(clock.now())) {
            self.remove(item.key);
            return Ok(());
        }
        let size = item.key.len() + item.value.len();
        if item.key.len() >= READ as usize - 1 || self.limits.bytes > 0 && (size + OVERHEAD) as u64 > self.limits.bytes
        {
            return Err(DriverError::Failed(format!("the item is too large: {size} bytes")));
        }
        let hash = self.hash(item.key);
        if let Some(number) = self.find(item.key, hash) {
            if self.slots[number].data.len() == size {
                let slot = &mut self.slots[number];
                slot.data[item.key.len()..].copy_from_slice(item.value);
                self.end_at(number, item.expiry);
                return Ok(());
            }
            self.take(number);
        }
        self.make_room(size, clock);
        let mut data = Vec::with_capacity(size);
        data.extend_from_slice(item.key.as_bytes());
        data.extend_from_slice(item.value);
        let slot = Slot {
            data: data.into_boxed_slice(),
            end: NEVER,
            hash,
            // It was checked above that this fits and is no mark.
            key: item.key.len() as u32,
        };
        let Some(number) = self.slots.place(slot) else {
            return Err(DriverError::Failed("the storage is full".into()));
        };
        let slots = &self.slots;
        self.table
            .insert_unique(spread(hash), number, |number| spread(slots[*number].hash));
        self.bytes += size + OVERHEAD;
        self.end_at(number, item.expiry);
        Ok(())
    }

    /// As [`Store::set`], for a key that another process has had: it was `read` there lately, or not.
    pub(super) fn put(&mut self, item: &Item<'_>, read: bool, clock: &mut Clock) -> Outcome<()> {
        self.set(item, clock)?;
        if read && let Some(number) = self.find(item.key, self.hash(item.key)) {
            self.slots[number].key |= READ;
        }
        Ok(())
    }

    /// All items in the order in which the hand comes to them, each with whether it was read since it last did.
    pub(super) fn items(&self) -> impl Iterator<Item = (Item<'_>, bool)> {
        self.slots.before_the_hand().filter_map(|slot| {
            let key = slot.data.get(..slot.key_length())?;
            let item = Item {
                key: std::str::from_utf8(key).ok()?,
                value: slot.value(),
                expiry: slot.expiry(),
            };
            Some((item, slot.key & READ != 0))
        })
    }

    /// Gives a key that exists another end.
    pub(super) fn expire(&mut self, key: &str, expiry: Expiry, clock: &mut Clock) {
        if let Some(number) = self.live(key, clock) {
            match expiry.is_past(clock.now()) {
                true => self.take(number),
                false => self.end_at(number, Some(expiry)),
            }
        }
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, key: &str) {
        if let Some(number) = self.find(key, self.hash(key)) {
            self.take(number);
        }
    }

    /// Removes all keys and gives what held them.
    pub(super) fn clear(&mut self) -> Self {
        let fresh = Self {
            limits: self.limits,
            counts: self.counts,
            ..Self::default()
        };
        mem::replace(self, fresh)
    }

    /// Removes keys that have ended, at most so many.
    pub(super) fn sweep(&mut self, now: Expiry, at_most: usize) -> Swept {
        for _ in 0..at_most {
            if !self.drop_ended(now) {
                return self.next_end().map_or(Swept::Idle, Swept::Next);
            }
        }
        Swept::More
    }

    /// The first end of all.
    pub(super) fn next_end(&self) -> Option<Expiry> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// What has happened, and what is there.
    pub(super) fn stats(&self) -> Stats {
        Stats {
            items: self.table.len() as u64,
            bytes: self.bytes as u64,
            ..self.counts
        }
    }

    fn hash(&self, key: &str) -> u32 {
        // The upper half is as good as the lower one.
        (self.hasher.hash_one(key) >> 32) as u32
    }

    fn find(&self, key: &str, hash: u32) -> Option<u32> {
        let same = |number: &u32| {
            let slot = &self.slots[*number];
            slot.hash == hash && slot.is(key)
        };
        self.table.find(spread(hash), same).copied()
    }

    /// The slot of a key that has not ended; one that has goes now.
    fn live(&mut self, key: &str, clock: &mut Clock) -> Option<u32> {
        let number = self.find(key, self.hash(key))?;
        let ended = |expiry: Expiry| expiry.is_past(clock.now());
        if self.slots[number].expiry().is_some_and(ended) {
            self.take(number);
            self.counts.expired += 1;
            return None;
        }
        Some(number)
    }

    fn end_at(&mut self, number: u32, expiry: Option<Expiry>) {
        let slot = &mut self.slots[number];
        let before = slot.expiry();
        if before == expiry {
            return;
        }
        slot.end = expiry.map_or(NEVER, Expiry::milliseconds);
        if let Some(before) = before {
            self.ends.remove(&(before, number));
        }
        if let Some(expiry) = slot.expiry() {
            self.ends.insert((expiry, number));
        }
    }

    /// Removes what is in a slot.
    fn take(&mut self, number: u32) {
        self.end_at(number, None);
        let slot = &self.slots[number];
        self.bytes -= slot.data.len() + OVERHEAD;
        if let Ok(entry) = self.table.find_entry(spread(slot.hash), |other| *other == number) {
            entry.remove();
        }
        self.slots.vacate(number);
    }

    /// Removes one key that has ended, if there is one.
    fn drop_ended(&mut self, now: Expiry) -> bool {
        match self.ends.first() {
            Some(&(end, number)) if end.is_past(now) => {
                self.take(number);
                self.counts.expired += 1;
                true
            }
            _ => false,
        }
    }

    /// Lets go of keys until another one with `size` bytes of key and value fits.
    fn make_room(&mut self, size: usize, clock: &mut Clock) {
        let Limits { items, bytes } = self.limits;
        let lacking = |store: &Self| {
            (items > 0 && store.table.len() as u64 >= items)
                || (bytes > 0 && (store.bytes + size + OVERHEAD) as u64 > bytes)
        };
        while lacking(self) && !self.table.is_empty() {
            if !self.drop_ended(clock.now()) {
                let number = self.slots.unread();
                self.take(number);
                self.counts.evicted += 1;
            }
        }
    }
}

/// Half a hash as a whole one: the table picks a place by the lower bits and compares the upper ones.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
