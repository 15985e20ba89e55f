//! The items of an answer, written as the protobuf message `Response` while a driver finds them: no list in between, and an
//! answer of one item is one allocation of the exact size.

use crate::expiry::Expiry;
use bytes::Bytes;
use prost::{encode_length_delimiter, length_delimiter_len};

/// Field number and wire type (2: bytes with a length) of `Response.items` and of an item's fields.
const ITEMS: u8 = 1 << 3 | 2;
const KEY: u8 = 1 << 3 | 2;
const VALUE: u8 = 2 << 3 | 2;
const TIMEOUT: u8 = 3 << 3 | 2;

/// An answer that grows.
#[derive(Debug, Default)]
pub struct Reply {
    message: Vec<u8>,
}

impl Reply {
    /// A key that exists.
    pub fn key(&mut self, key: &str) {
        self.item(&[(KEY, key.as_bytes())]);
    }

    /// A key with its value.
    pub fn value(&mut self, key: &str, value: &[u8]) {
        self.item(&[(KEY, key.as_bytes()), (VALUE, value)]);
    }

    /// A key with the moment of its end; without one it never ends.
    pub fn expiry(&mut self, key: &str, expiry: Option<Expiry>) {
        let text = expiry.map(Expiry::text).unwrap_or_default();
        self.item(&[(KEY, key.as_bytes()), (TIMEOUT, text.as_bytes())]);
    }

    /// The items of another answer after those of this one.
    pub fn append(&mut self, other: Self) {
        match self.message.is_empty() {
            true => *self = other,
            false => self.message.extend_from_slice(&other.message),
        }
    }

    /// The message `Response`.
    pub fn finish(self) -> Bytes {
        self.message.into()
    }

    fn item(&mut self, fields: &[(u8, &[u8])]) {
        // An empty field is not written: so proto3 has it.
        let size = |bytes: &[u8]| match bytes.len() {
            0 => 0,
            length => 1 + length_delimiter_len(length) + length,
        };
        let length: usize = fields.iter().map(|(_, bytes)| size(bytes)).sum();
        let whole = 1 + length_delimiter_len(length) + length;
        match self.message.is_empty() {
            true => self.message.reserve_exact(whole),
            false => self.message.reserve(whole),
        }
        self.message.push(ITEMS);
        self.length(length);
        for (tag, bytes) in fields.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            self.message.push(*tag);
            self.length(bytes.len());
            self.message.extend_from_slice(bytes);
        }
    }

    fn length(&mut self, length: usize) {
        // A vector has room for anything.
        let _ = encode_length_delimiter(length, &mut self.message);
    }
}
