//! Connections that are lent to the plugin that answers all their calls ([`rr_common::rpc::lease`]): when it is worth it, and the page
//! where plugins note what they do with them.

use nix::{
    fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        resource::{Resource, getrlimit},
    },
};
use rr_common::rpc::lease::SLOT;
use std::{fs::File, io, os::unix::fs::FileExt};

/// Calls in a row to the same plugin before a connection is lent for the first time.
const FIRST: u32 = 32;

/// The longest row that is ever waited for.
const LONGEST: u32 = FIRST << 10;

/// A lease over which this many times as many calls went as were waited for was worth it.
const WORTH: u32 = 4;

/// Connections that one plugin may have. It has a descriptor for each, and our limit: a quarter of it is the most for them.
const LEASES: u64 = 256;

/// When a connection is lent. It costs as much as some calls, and what comes back soon was not worth it: the row of calls that has
/// to come first grows, so that mixed traffic hardly notices.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Patience {
    /// Calls in a row so far.
    row: u32,
    needed: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { row: 0, needed: FIRST }
    }
}

impl Patience {
    /// A call has come; does it go where the one before it went?
    pub(in crate::gateway) fn called(&mut self, goes_on: bool) {
        self.row = if goes_on { self.row.saturating_add(1) } else { 1 };
    }

    /// The connection should be lent now.
    pub(in crate::gateway) fn is_over(self) -> bool {
        self.row >= self.needed
    }

    /// The connection has come back since the plugin died, which says nothing about its calls.
    pub(in crate::gateway) fn begin_anew(&mut self) {
        self.row = 0;
    }

    /// The plugin has given the connection back after this many calls, or it was not even taken.
    pub(in crate::gateway) fn came_back(&mut self, calls: u32) {
        self.needed = match calls / WORTH >= self.needed {
            true => (self.needed / 4).max(FIRST),
            false => (self.needed * 4).min(LONGEST),
        };
        self.row = 0;
    }
}

/// The page of one plugin's process.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) file: File,
    free: Vec<u32>,
}

impl Page {
    /// A page with nothing in it.
    ///
    /// # Errors
    /// The kernel has none.
    pub(super) fn new() -> io::Result<Self> {
        let file = memfd_create("rpc-lease", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let file = File::from(file);
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
        let leases = LEASES.min(limit / 4) as u32;
        file.set_len(u64::from(leases) * SLOT as u64)?;
        // A plugin that maps it may rely on its length.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let free = (0..leases).rev().collect();
        Ok(Self { file, free })
    }

    /// One that is in use already, with those slots free.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn with(file: File, mut free: Vec<u32>) -> io::Result<Self> {
        let slots = file.metadata()?.len() / SLOT as u64;
        free.retain(|slot| u64::from(*slot) < slots);
        Ok(Self { file, free })
    }

    /// The free slots.
    pub(super) fn free(&self) -> &[u32] {
        &self.free
    }

    /// A free slot; there is nothing in it.
    pub(super) fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// What is in a slot.
    pub(super) fn read(&self, slot: u32) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; SLOT].into_boxed_slice();
        self.file.read_exact_at(&mut bytes, u64::from(slot) * SLOT as u64)?;
        Ok(bytes)
    }

    /// Empties a slot, gives its memory back, and has it for the next.
    pub(super) fn release(&mut self, slot: u32) {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let start = i64::from(slot) * SLOT as i64;
        // One that cannot be emptied is never used again.
        if fallocate(&self.file, hole, start, SLOT as i64).is_ok() {
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// So many calls to one plugin until a connection is lent.
    fn row(patience: &mut Patience) -> u32 {
        let mut calls = 0;
        while !patience.is_over() {
            patience.called(calls > 0);
            calls += 1;
        }
        calls
    }

    #[test]
    fn a_row_of_calls_is_needed_and_an_interruption_begins_it_anew() {
        let mut patience = Patience::default();
        for _ in 0..FIRST - 1 {
            patience.called(true);
        }
        assert!(!patience.is_over());
        patience.called(false);
        assert!(!patience.is_over());
        assert_eq!(row(&mut Patience::default()), FIRST);
    }

    #[test]
    fn what_comes_back_soon_is_not_lent_soon_again() {
        let mut patience = Patience::default();
        let rows: Vec<u32> = (0..8)
            .map(|_| {
                let calls = row(&mut patience);
                patience.came_back(3);
                calls
            })
            .collect();
        assert_eq!(rows, [32, 128, 512, 2048, 8192, 32_768, 32_768, 32_768]);
        patience.came_back(1_000_000);
        assert_eq!(row(&mut patience), 8192);
        patience.begin_anew();
        assert_eq!(row(&mut patience), 8192);
    }

    #[test]
    fn a_slot_is_empty_whenever_it_is_taken() {
        let mut page = Page::new().unwrap();
        let slots: Vec<u32> = std::iter::from_fn(|| page.take()).collect();
        assert_eq!(slots, (0..LEASES as u32).collect::<Vec<_>>());
        let at = |slot: u32| u64::from(slot) * SLOT as u64;
        page.file.write_all_at(&[7; SLOT], at(5)).unwrap();
        page.file.write_all_at(b"next", at(6)).unwrap();
        assert!(page.read(5).unwrap().iter().all(|byte| *byte == 7));
        page.release(5);
        assert_eq!(page.take(), Some(5));
        assert!(page.read(5).unwrap().iter().all(|byte| *byte == 0));
        assert!(page.read(6).unwrap().starts_with(b"next"));
        assert!(page.file.set_len(0).is_err(), "its length stays");
    }

    proptest! {
        #[test]
        fn patience_has_bounds(returns in prop::collection::vec(any::<u32>(), 0..50)) {
            let mut patience = Patience::default();
            for calls in returns {
                patience.came_back(calls);
                prop_assert!((FIRST..=LONGEST).contains(&patience.needed) && !patience.is_over());
            }
        }
    }
}
