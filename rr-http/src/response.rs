//! An answer's head as PHP sends it: the protobuf message `http.v1.Response`, read by hand.
//!
//! Header values stay slices of the frame. Unknown fields are skipped, as protobuf wants it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// An answer's status line and what became of its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The status as it was sent; 0 if it was not.
    pub status: i64,
    /// Headers that HTTP cannot carry, which were left out.
    pub dropped: usize,
}

/// A context that is no `http.v1.Response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proto: cannot parse invalid wire-format data")]
pub struct Malformed;

/// Wire types.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// Reads the message and appends its headers.
pub fn decode(context: &Bytes, headers: &mut HeaderMap) -> Result<Head, Malformed> {
    let mut head = Head::default();
    let mut message = Cursor::new(context, 0, context.len());
    while let Some((number, kind)) = message.tag()? {
        match (number, kind) {
            // Negative numbers are ten bytes long; the cast keeps their sign.
            (1, VARINT) => head.status = message.varint()? as i64,
            (2, BYTES) => entry(message.message()?, headers, &mut head)?,
            _ => message.skip(kind)?,
        }
    }
    Ok(head)
}

/// One entry of the map of headers: the name, and a `HeaderValue` with any number of values.
fn entry(mut entry: Cursor<'_>, headers: &mut HeaderMap, head: &mut Head) -> Result<(), Malformed> {
    let mut name = &[][..];
    let mut list = Cursor::new(entry.all, 0, 0);
    while let Some((number, kind)) = entry.tag()? {
        match (number, kind) {
            (1, BYTES) => name = entry.message()?.rest(),
            (2, BYTES) => list = entry.message()?,
            _ => entry.skip(kind)?,
        }
    }
    let name = HeaderName::from_bytes(name);
    while let Some((number, kind)) = list.tag()? {
        if (number, kind) != (1, BYTES) {
            list.skip(kind)?;
            continue;
        }
        let value = list.message()?;
        let value = HeaderValue::from_maybe_shared(value.all.slice(value.at..value.end));
        // More names than a map can hold count as names that HTTP cannot carry.
        let taken = match (&name, value) {
            (Ok(name), Ok(value)) => headers.try_append(name, value).is_ok(),
            _ => false,
        };
        head.dropped += usize::from(!taken);
    }
    Ok(())
}

/// A message within the context.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    all: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    fn new(all: &'a Bytes, at: usize, end: usize) -> Self {
        Self { all, at, end }
    }

    fn rest(&self) -> &'a [u8] {
        &self.all[self.at..self.end]
    }

    /// Number and wire type of the next field; `None` at the end.
    fn tag(&mut self) -> Result<Option<(u64, u64)>, Malformed> {
        if self.at == self.end {
            return Ok(None);
        }
        let tag = self.varint()?;
        match tag >> 3 {
            0 => Err(Malformed),
            number => Ok(Some((number, tag & 7))),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (i, &byte) in self.rest().iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                self.at += i + 1;
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// A field with a length: its content.
    fn message(&mut self) -> Result<Self, Malformed> {
        let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        let end = self
            .at
            .checked_add(len)
            .filter(|end| *end <= self.end)
            .ok_or(Malformed)?;
        let inner = Self::new(self.all, self.at, end);
        self.at = end;
        Ok(inner)
    }

    fn skip(&mut self, kind: u64) -> Result<(), Malformed> {
        let fixed = match kind {
            VARINT => return self.varint().map(drop),
            BYTES => return self.message().map(drop),
            FIXED64 => 8,
            FIXED32 => 4,
            _ => return Err(Malformed),
        };
        self.at += fixed;
        if self.at <= self.end { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
