//! The items of an answer, written as the protobuf message `Response` while a driver finds them: no list in between, and an
//! answer of one item is one allocation of the exact size.

use crate::expiry::Expiry;
use bytes::Bytes;
use prost::{encode_length_delimiter, length_delimiter_len};
use rr_common::rpc::wire::MAX_FRAME;

/// Field number and wire type (2: bytes with a length) of `Response.items` and of an item's fields.
const ITEMS: u8 = 1 << 3 | 2;
const KEY: u8 = 1 << 3 | 2;
const VALUE: u8 = 2 << 3 | 2;
const TIMEOUT: u8 = 3 << 3 | 2;

/// An answer that grows, but not beyond what fits into a frame.
#[derive(Debug, Default)]
pub struct Reply {
    message: Vec<u8>,
    too_large: bool,
}

/// An answer that no frame can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is larger than {} MiB: ask for fewer keys at once", MAX_FRAME >> 20)]
pub struct TooLarge;

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
        if other.too_large || !self.has_room(other.message.len()) {
            self.too_large = true;
            return;
        }
        match self.message.is_empty() {
            true => *self = other,
            false => self.message.extend_from_slice(&other.message),
        }
    }

    /// The message `Response`.
    ///
    /// # Errors
    /// Not all of it fitted into a frame.
    pub fn finish(self) -> Result<Bytes, TooLarge> {
        if self.too_large {
            Err(TooLarge)
        } else {
            Ok(self.message.into())
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        !self.too_large && self.message.len() + bytes <= MAX_FRAME
    }

    fn item(&mut self, fields: &[(u8, &[u8])]) {
        // An empty field is not written: so proto3 has it.
        let size = |bytes: &[u8]| match bytes.len() {
            0 => 0,
            length => 1 + length_delimiter_len(length) + length,
        };
        let length: usize = fields.iter().map(|(_, bytes)| size(bytes)).sum();
        let whole = 1 + length_delimiter_len(length) + length;
        if !self.has_room(whole) {
            self.too_large = true;
            return;
        }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::v1;
    use prost::Message;

    #[test]
    fn it_is_the_message() {
        let mut reply = Reply::default();
        reply.value("a", &[7; 300]);
        reply.value("", b"");
        reply.expiry("b", Some(Expiry::at(0)));
        reply.expiry("c", None);
        reply.key("d");
        let answer = v1::Response::decode(reply.finish().unwrap()).unwrap();
        let item = |key: &str, value: &[u8], timeout: &str| v1::Item {
            key: key.into(),
            value: Bytes::copy_from_slice(value),
            timeout: timeout.into(),
        };
        let (end, plain) = (item("b", b"", "1970-01-01T00:00:00Z"), |key| item(key, b"", ""));
        assert_eq!(
            answer.items,
            [item("a", &[7; 300], ""), plain(""), end, plain("c"), plain("d")]
        );
    }

    #[test]
    fn one_item_takes_exactly_its_room() {
        let mut reply = Reply::default();
        reply.value("key", &[1; 1000]);
        assert_eq!(reply.message.capacity(), reply.message.len());
    }

    #[test]
    fn it_does_not_outgrow_a_frame() {
        let mut reply = Reply::default();
        for _ in 0..70 {
            reply.value("key", &[1; 1 << 20]);
        }
        assert!(reply.message.capacity() <= 2 * MAX_FRAME);
        let error = reply.finish().unwrap_err().to_string();
        assert_eq!(error, "the answer is larger than 64 MiB: ask for fewer keys at once");
    }
}
