//! The bytes of the journal: heads, records, and their reading; pure.
//!
//! Numbers are little-endian. A head: magic, version, offset of the log, CRC. A record: length of the body, CRC of the body,
//! CRC of these two and of the record's own offset; then the body, a row of entries. With a header of its own check it is
//! certain whether a record that is too short was torn or its length is wrong.

use crate::{
    driver::{Mode, Token},
    table::{Change, Grant},
};
use std::{collections::BTreeMap, sync::Arc};

/// Length of both heads, which is where the first log begins.
pub const HEADS: u64 = 128;

const HEAD: usize = 64;
const HEADER: usize = 12;
const MAGIC: &[u8; 8] = b"rr-lock\n";
const VERSION: u32 = 1;

/// PHP's integers go up to here.
const GREATEST: Token = i64::MAX as u64;

/// The entries' first bytes.
mod tag {
    pub(super) const GRANTED: u8 = 1;
    pub(super) const ENDED: u8 = 2;
    pub(super) const MOVED: u8 = 3;
    /// Everything before is void; the last token follows.
    pub(super) const ANEW: u8 = 4;
    /// A grant that goes on.
    pub(super) const KEPT: u8 = 5;
}

/// What is wrong with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Neither head is valid.
    #[error("it has no valid head")]
    Head,
    /// Another version wrote it.
    #[error("it has the format {0}, and this program knows {VERSION}")]
    Version(u32),
    /// The log begins behind the file's end, or is too long.
    #[error("its length is wrong")]
    Length,
    /// A record's check is wrong.
    #[error("the record at byte {0} has a wrong checksum")]
    Checksum(u64),
    /// A record of correct check makes no sense.
    #[error("the record at byte {0} makes no sense")]
    Nonsense(u64),
}

/// What a log keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The locks, by their tokens.
    pub grants: BTreeMap<Token, Grant>,
    /// The last token that was given out.
    pub last: Token,
    /// Length of the whole records; what follows is a torn one.
    pub length: u64,
}

/// The heads of a new file.
pub(super) fn heads() -> [u8; HEADS as usize] {
    let mut heads = [0; HEADS as usize];
    heads[..HEAD].copy_from_slice(&head(HEADS));
    heads
}

/// A head for a log that begins there.
pub(super) fn head(start: u64) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[12..20].copy_from_slice(&start.to_le_bytes());
    let check = crc32fast::hash(&head[..20]);
    head[20..24].copy_from_slice(&check.to_le_bytes());
    head
}

/// Which head counts, and where its log begins: the later one, since logs move only forward.
///
/// # Errors
/// There is no valid head, or one of another version.
pub fn start_of(heads: &[u8; HEADS as usize]) -> Result<(u64, u64), Damage> {
    let (first, second) = heads.split_at(HEAD);
    let mut newest = Err(Damage::Head);
    for (index, bytes) in [(0, first), (1, second)] {
        let mut reader = Reader(bytes);
        let (Some(magic), Some(version), Some(start), Some(check)) =
            (reader.take(MAGIC.len()), reader.u32(), reader.u64(), reader.u32())
        else {
            continue;
        };
        if magic != MAGIC || crc32fast::hash(&bytes[..20]) != check || start < HEADS {
            continue;
        }
        if version != VERSION {
            return Err(Damage::Version(version));
        }
        if newest.is_ok_and(|(_, other)| other > start) {
            continue;
        }
        newest = Ok((index, start));
    }
    newest
}

/// A record of changes for that offset.
pub(super) fn changes(changes: &[Change], offset: u64) -> Vec<u8> {
    let mut body = Vec::new();
    for change in changes {
        match change {
            Change::Granted(grant) => put_grant(&mut body, tag::GRANTED, grant),
            Change::Ended(token) => {
                body.push(tag::ENDED);
                body.extend(token.to_le_bytes());
            }
            Change::Moved(token, deadline) => {
                body.push(tag::MOVED);
                body.extend(token.to_le_bytes());
                body.extend(deadline.to_le_bytes());
            }
        }
    }
    record(&body, offset)
}

/// A record that needs nothing before it, for that offset.
pub fn snapshot(grants: &[Grant], last: Token, offset: u64) -> Vec<u8> {
    let mut body = Vec::new();
    body.push(tag::ANEW);
    body.extend(last.to_le_bytes());
    for grant in grants {
        put_grant(&mut body, tag::KEPT, grant);
    }
    record(&body, offset)
}

fn put_grant(body: &mut Vec<u8>, tag: u8, grant: &Grant) {
    body.push(tag);
    body.push(u8::from(grant.mode == Mode::Write));
    body.extend(grant.token.to_le_bytes());
    body.extend(grant.deadline.to_le_bytes());
    for name in [&grant.resource, &grant.id] {
        // Names are bounded by the table's room.
        body.extend((name.len() as u32).to_le_bytes());
        body.extend(name.as_bytes());
    }
}

/// A record with this body, for that offset.
pub fn record(body: &[u8], offset: u64) -> Vec<u8> {
    // The table's room is far below four gigabytes.
    let mut record = (body.len() as u32).to_le_bytes().to_vec();
    record.extend(crc32fast::hash(body).to_le_bytes());
    record.extend(check_of_header(&record, offset).to_le_bytes());
    record.extend(body);
    record
}

fn check_of_header(fields: &[u8], offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(fields);
    hasher.finalize()
}

/// Reads a log that begins at that offset of its file.
///
/// # Errors
/// Damage; a torn record at the end is none.
pub fn replay(log: &[u8], start: u64) -> Result<Kept, Damage> {
    let mut kept = Kept::default();
    let mut rest = log;
    while let Some(header) = rest.get(..HEADER) {
        let offset = start.saturating_add(kept.length);
        let mut reader = Reader(header);
        let (Some(length), Some(check), Some(own)) = (reader.u32(), reader.u32(), reader.u32()) else {
            break;
        };
        if check_of_header(&header[..8], offset) != own {
            return Err(Damage::Checksum(offset));
        }
        let end = HEADER + length as usize;
        let Some(body) = rest.get(HEADER..end) else { break };
        if crc32fast::hash(body) != check {
            return Err(Damage::Checksum(offset));
        }
        kept.apply(Reader(body)).ok_or(Damage::Nonsense(offset))?;
        kept.length += end as u64;
        rest = &rest[end..];
    }
    Ok(kept)
}

impl Kept {
    /// `None` for what makes no sense.
    fn apply(&mut self, mut body: Reader<'_>) -> Option<()> {
        while let Some(tag) = body.u8() {
            match tag {
                tag::GRANTED => {
                    let grant = body.grant()?;
                    let grows = grant.token > self.last && grant.token <= GREATEST;
                    self.last = grows.then_some(grant.token)?;
                    self.grants.insert(grant.token, grant);
                }
                tag::ENDED => drop(self.grants.remove(&body.u64()?)?),
                tag::MOVED => {
                    let token = body.u64()?;
                    self.grants.get_mut(&token)?.deadline = body.u64()?;
                }
                tag::ANEW => {
                    self.grants.clear();
                    let last = body.u64()?;
                    self.last = (self.last..=GREATEST).contains(&last).then_some(last)?;
                }
                tag::KEPT => {
                    let grant = body.grant()?;
                    let known = grant.token <= self.last;
                    let twice = self.grants.insert(known.then_some(grant.token)?, grant);
                    twice.is_none().then_some(())?;
                }
                _ => return None,
            }
        }
        Some(())
    }
}

/// Takes numbers and names off the front of bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn name(&mut self) -> Option<Arc<str>> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.take(length)?).ok().map(Arc::from)
    }

    fn grant(&mut self) -> Option<Grant> {
        let mode = match self.u8()? {
            0 => Mode::Read,
            1 => Mode::Write,
            _ => return None,
        };
        Some(Grant {
            mode,
            token: self.u64()?,
            deadline: self.u64()?,
            resource: self.name()?,
            id: self.name()?,
        })
    }
}
