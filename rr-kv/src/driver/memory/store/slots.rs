//! The long list of entries. Vacant places are a chain through it, so that the next entry finds one at once; and a hand goes
//! round over it, to find what nobody has read lately.

use crate::expiry::Expiry;
use std::ops::{Index, IndexMut};

/// Marks, in the field of the key's length, a key that was read since the hand last came by.
pub(super) const READ: u32 = 1 << 31;
/// In the field of the key's length: nothing is here, and `hash` is the number of the next vacant slot.
pub(super) const VACANT: u32 = u32::MAX;
/// No further vacant slot.
pub(super) const END: u32 = u32::MAX;
/// In the field of the end: there is none.
pub(super) const NEVER: u64 = u64::MAX;

/// One entry, or a vacant place for one.
#[derive(Debug)]
pub(super) struct Slot {
    /// The key and behind it the value.
    pub(super) data: Box<[u8]>,
    pub(super) end: u64,
    pub(super) hash: u32,
    /// Length of the key, with [`READ`]; or [`VACANT`].
    pub(super) key: u32,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) list: Vec<Slot>,
    pub(super) vacant: Option<u32>,
    /// The slot that the hand comes to next.
    hand: usize,
}

impl Slot {
    pub(super) const fn key_length(&self) -> usize {
        (self.key & !READ) as usize
    }

    pub(super) fn is(&self, key: &str) -> bool {
        self.key_length() == key.len() && self.data.starts_with(key.as_bytes())
    }

    pub(super) fn value(&self) -> &[u8] {
        self.data.get(self.key_length()..).unwrap_or_default()
    }

    pub(super) const fn expiry(&self) -> Option<Expiry> {
        match self.end {
            NEVER => None,
            end => Some(Expiry::at(end)),
        }
    }
}

impl Slots {
    /// Puts an entry into a vacant slot, or a new one.
    pub(super) fn place(&mut self, slot: Slot) -> Option<u32> {
        if let Some(number) = self.vacant {
            let place = &mut self.list[number as usize];
            self.vacant = (place.hash != END).then_some(place.hash);
            *place = slot;
            return Some(number);
        }
        let number = u32::try_from(self.list.len()).ok().filter(|number| *number != END)?;
        self.list.push(slot);
        Some(number)
    }

    /// Makes a slot a vacant one.
    pub(super) fn vacate(&mut self, number: u32) {
        self[number] = Slot {
            data: Box::default(),
            end: NEVER,
            hash: self.vacant.unwrap_or(END),
            key: VACANT,
        };
        self.vacant = Some(number);
    }

    /// All entries in the order in which the hand comes to them.
    pub(super) fn before_the_hand(&self) -> impl Iterator<Item = &Slot> {
        let (before, after) = self.list.split_at(self.hand.min(self.list.len()));
        after.iter().chain(before).filter(|slot| slot.key != VACANT)
    }

    /// Moves the hand to a key that was not read since it last came by, and past it. There is at least one key.
    pub(super) fn unread(&mut self) -> u32 {
        loop {
            let number = if self.hand < self.list.len() { self.hand } else { 0 };
            self.hand = number + 1;
            let slot = &mut self.list[number];
            match slot.key {
                VACANT => {}
                key if key & READ != 0 => slot.key = key & !READ,
                _ => return number as u32,
            }
        }
    }
}

impl Index<u32> for Slots {
    type Output = Slot;

    fn index(&self, number: u32) -> &Slot {
        &self.list[number as usize]
    }
}

impl IndexMut<u32> for Slots {
    fn index_mut(&mut self, number: u32) -> &mut Slot {
        &mut self.list[number as usize]
    }
}
