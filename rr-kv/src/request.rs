//! The message `Request`, read in place: storage, keys and values are slices of what arrived.

use crate::v1;
use bytes::Buf;
use smallvec::SmallVec;

/// A request with its items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    /// The storage's name.
    pub storage: &'a str,
    /// Its items.
    pub items: SmallVec<[RawItem<'a>; 2]>,
}

/// An item as it arrived: nothing is checked yet but that names are text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawItem<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: &'a [u8],
    /// When it ends, as text.
    pub timeout: &'a str,
}

/// The bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// They do not hold together.
    #[error("proto: cannot parse invalid wire-format data")]
    Format,
    /// More items than [`MOST`].
    #[error("more than {MOST} items in one call")]
    TooMany,
    /// A text is none.
    #[error("string field contains invalid UTF-8")]
    Text,
}

/// Items in one call: two bytes that arrive can be an item here, so a frame full of them would take gigabytes.
pub const MOST: usize = 1 << 20;

/// The wire types of protobuf.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;
/// How deep groups may lie in each other, as prost has it.
const DEPTH: u32 = 100;

impl<'a> Request<'a> {
    /// Reads the protobuf form.
    ///
    /// # Errors
    /// It is not this message.
    pub fn parse(message: &'a [u8]) -> Result<Self, BadMessage> {
        let mut request = Self::default();
        fields(message, |number, bytes| {
            match number {
                1 => request.storage = text(bytes)?,
                2 if request.items.len() == MOST => return Err(BadMessage::TooMany),
                2 => request.items.push(RawItem::parse(bytes)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(request)
    }

    /// The same from the message's own type.
    pub fn of(message: &'a v1::Request) -> Self {
        let items = message.items.iter().map(|item| RawItem {
            key: &item.key,
            value: &item.value,
            timeout: &item.timeout,
        });
        Self {
            storage: &message.storage,
            items: items.collect(),
        }
    }
}

impl<'a> RawItem<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, BadMessage> {
        let mut item = Self::default();
        fields(message, |number, bytes| {
            match number {
                1 => item.key = text(bytes)?,
                2 => item.value = bytes,
                3 => item.timeout = text(bytes)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(item)
    }
}

/// Gives each field that has a length; the messages here have no others, so those are skipped.
fn fields<'a>(
    mut rest: &'a [u8],
    mut field: impl FnMut(u64, &'a [u8]) -> Result<(), BadMessage>,
) -> Result<(), BadMessage> {
    while !rest.is_empty() {
        let (number, wire) = tag(&mut rest)?;
        match wire {
            LENGTH => {
                let length = usize::try_from(varint(&mut rest)?).map_err(|_| BadMessage::Format)?;
                field(number, take(&mut rest, length)?)?;
            }
            wire => skip(&mut rest, number, wire, DEPTH)?,
        }
    }
    Ok(())
}

fn tag(rest: &mut &[u8]) -> Result<(u64, u64), BadMessage> {
    let tag = varint(rest)?;
    match (tag >> 3, tag & 7) {
        (0, _) => Err(BadMessage::Format),
        (number, _) if number > 0x1FFF_FFFF => Err(BadMessage::Format),
        parts => Ok(parts),
    }
}

/// Passes over the content of a field.
fn skip(rest: &mut &[u8], number: u64, wire: u64, depth: u32) -> Result<(), BadMessage> {
    match wire {
        VARINT => varint(rest).map(drop),
        FIXED64 => take(rest, 8).map(drop),
        FIXED32 => take(rest, 4).map(drop),
        LENGTH => {
            let length = usize::try_from(varint(rest)?).map_err(|_| BadMessage::Format)?;
            take(rest, length).map(drop)
        }
        GROUP if depth > 0 => loop {
            match tag(rest)? {
                (end, GROUP_END) if end == number => return Ok(()),
                (_, GROUP_END) => return Err(BadMessage::Format),
                (inner, wire) => skip(rest, inner, wire, depth - 1)?,
            }
        },
        _ => Err(BadMessage::Format),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], BadMessage> {
    let (taken, left) = rest.split_at_checked(length).ok_or(BadMessage::Format)?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, BadMessage> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let &byte = rest.first().ok_or(BadMessage::Format)?;
        rest.advance(1);
        // The tenth byte has room for one bit.
        if shift == 63 && byte > 1 {
            return Err(BadMessage::Format);
        }
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(BadMessage::Format)
}

fn text(bytes: &[u8]) -> Result<&str, BadMessage> {
    std::str::from_utf8(bytes).map_err(|_| BadMessage::Text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message;

    fn message() -> impl Strategy<Value = v1::Request> {
        let item =
            ("\\PC{0,8}", prop::collection::vec(any::<u8>(), 0..200), "\\PC{0,8}").prop_map(|(key, value, timeout)| {
                v1::Item {
                    key,
                    value: value.into(),
                    timeout,
                }
            });
        ("\\PC{0,8}", prop::collection::vec(item, 0..5)).prop_map(|(storage, items)| v1::Request { storage, items })
    }

    proptest! {
        #[test]
        fn it_reads_what_prost_writes(message in message()) {
            let bytes = message.encode_to_vec();
            prop_assert_eq!(Request::parse(&bytes).unwrap(), Request::of(&message));
        }

        #[test]
        fn it_takes_whatever_prost_takes(message in message(), cut in any::<usize>(), junk in prop::collection::vec(any::<u8>(), 0..20)) {
            let mut bytes = message.encode_to_vec();
            bytes.truncate(cut % (bytes.len() + 1));
            bytes.extend(junk);
            let parsed = Request::parse(&bytes);
            if let Ok(message) = v1::Request::decode(&bytes[..]) {
                prop_assert_eq!(parsed.unwrap(), Request::of(&message));
            }
        }
    }

    #[test]
    fn fields_that_it_does_not_know_are_passed_over() {
        // Fields 4 to 8: a number, eight bytes, four bytes, a text, a group with a number inside.
        let unknown = b"\x20\x96\x01\x29abcdefgh\x35abcd\x3a\x02hi\x43\x08\x01\x44";
        let bytes = [&b"\x0a\x01s"[..], unknown].concat();
        assert_eq!(Request::parse(&bytes).unwrap().storage, "s");
        assert_eq!(Request::parse(b"\x0a\x02s"), Err(BadMessage::Format));
        assert_eq!(Request::parse(b"\x0a\x01\xff"), Err(BadMessage::Text));
        assert_eq!(Request::parse(&[0x43; 1000]), Err(BadMessage::Format));
        assert_eq!(Request::parse(&[0x12, 0].repeat(MOST + 1)), Err(BadMessage::TooMany));
    }
}
