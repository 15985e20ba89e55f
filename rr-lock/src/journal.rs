//! The grants in a file that outlives this process: the memory file that the supervisor holds.
//!
//! Two heads of 64 bytes, then a log that only grows at its end. Each call's changes are one record, written before the
//! caller is told, so a torn one at the end was never told to anybody and is dropped. When the log is long a record with
//! everything that is held is appended, a head is made to point at it, and the space before it is given back; the other head
//! stays as it is until the next time, so that a torn head loses nothing. Anything else that does not fit is damage, and
//! then nothing is granted at all: to guess would be to let two writers in.

mod record;

pub use record::{Damage, HEADS, Kept, record, replay, snapshot, start_of};

use crate::{
    driver::Token,
    table::{Change, Grant},
};
use nix::fcntl::{FallocateFlags, fallocate};
use std::{fs::File, io, os::unix::fs::FileExt};

/// A log that is this much longer than what it began with is written anew, for each byte of that beginning...
const GROWTH: u64 = 4;
/// ... and besides.
const SLACK: u64 = 256 << 10;

/// More than the longest log: what is held is bounded.
const LONGEST: u64 = 1 << 30;

/// Why a journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It is not what was written.
    #[error(
        "the memory file of the locks is damaged: {0}; only a restart of the server, which ends all locks, makes a new one"
    )]
    Damaged(#[from] Damage),
    /// The system refuses.
    #[error("the memory file of the locks: {0}")]
    Io(#[from] io::Error),
}

/// A journal to append to.
#[derive(Debug)]
pub struct Journal {
    file: File,
    /// Which head counts: 0 or 1.
    head: u64,
    start: u64,
    end: u64,
    /// Length of the record at the start.
    base: u64,
}

impl Journal {
    /// Opens a journal, and tells what it keeps. An empty file becomes a journal.
    ///
    /// # Errors
    /// Damage, or the system.
    pub fn open(file: File) -> Result<(Self, Kept), JournalError> {
        let length = file.metadata()?.len();
        if length < HEADS {
            // New, or the first process died while it wrote this: before it granted anything.
            file.set_len(0)?;
            file.write_all_at(&record::heads(), 0)?;
            let journal = Self {
                file,
                head: 0,
                start: HEADS,
                end: HEADS,
                base: 0,
            };
            return Ok((journal, Kept::default()));
        }
        let mut heads = [0; HEADS as usize];
        file.read_exact_at(&mut heads, 0)?;
        let (head, start) = start_of(&heads)?;
        let size = length
            .checked_sub(start)
            .filter(|size| *size < LONGEST)
            .ok_or(Damage::Length)?;
        let mut log = vec![0; usize::try_from(size).map_err(|_| Damage::Length)?];
        file.read_exact_at(&mut log, start)?;
        let kept = replay(&log, start)?;
        let end = start + kept.length;
        file.set_len(end)?;
        let journal = Self {
            file,
            head,
            start,
            end,
            base: 0,
        };
        Ok((journal, kept))
    }

    /// Writes one call's changes down.
    ///
    /// # Errors
    /// The system; nothing has been written then.
    pub fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let record = record::changes(changes, self.end);
        self.write(&record)
    }

    /// Whether it is time for [`Journal::renew`].
    pub fn is_long(&self) -> bool {
        self.end - self.start > self.base * GROWTH + SLACK
    }

    /// Begins anew with what is held, and gives the space of the old log back.
    ///
    /// # Errors
    /// The system; the old log counts then.
    pub fn renew(&mut self, grants: &[Grant], last: Token) -> io::Result<()> {
        let record = snapshot(grants, last, self.end);
        let start = self.end;
        self.write(&record)?;
        let head = 1 - self.head;
        self.file.write_all_at(&record::head(start), head * (HEADS / 2))?;
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let before = (self.start, start - self.start);
        (self.head, self.start, self.base) = (head, start, record.len() as u64);
        if let (Ok(offset), Ok(length @ 1..)) = (before.0.try_into(), before.1.try_into()) {
            fallocate(&self.file, hole, offset, length)?;
        }
        Ok(())
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(record, self.end);
        match written {
            Ok(()) => self.end += record.len() as u64,
            // What was written of it must not stand before the next one.
            Err(_) => self.file.set_len(self.end)?,
        }
        written
    }
}

#[cfg(test)]
#[path = "journal/tests.rs"]
mod tests;
