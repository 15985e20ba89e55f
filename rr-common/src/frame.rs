//! The goridge frame: twelve bytes of header, up to ten option words, a payload. Pure: bytes in, values out.
//!
//! Reading takes two steps. [`check`] looks at what has arrived so far, allocates nothing and answers either how many
//! bytes the frame needs, or what its header says. [`parse`] then cuts a complete frame into options and payload
//! without copying. A stream of bytes that is no frame is refused at its first wrong byte.

use bytes::{Buf, BufMut, Bytes};

/// Bytes of the fixed header.
pub const HEADER: usize = 12;
/// Most option words in a frame.
pub const MAX_OPTIONS: usize = 10;
/// Bytes of the longest header, options included.
pub const MAX_HEADER: usize = HEADER + 4 * MAX_OPTIONS;

const VERSION: u8 = 1;
const HEADER_WORDS: u8 = 3;

/// Bits of the second byte: what the payload is.
pub mod flag {
    /// Handshake and stop command; the payload is JSON.
    pub const CONTROL: u8 = 0x01;
    /// Raw bytes.
    pub const RAW: u8 = 0x04;
    /// JSON.
    pub const JSON: u8 = 0x08;
    /// MessagePack (RPC only).
    pub const MSGPACK: u8 = 0x10;
    /// Go's gob (RPC between Go programs only).
    pub const GOB: u8 = 0x20;
    /// The payload is an error text.
    pub const ERROR: u8 = 0x40;
    /// Protocol buffers.
    pub const PROTO: u8 = 0x80;
}

/// Bits of the eleventh byte: streamed answers.
pub mod stream {
    /// Worker: more frames of this answer follow.
    pub const STREAM: u8 = 0x01;
    /// Server: stop producing.
    pub const STOP: u8 = 0x02;
    /// Worker: may I go on?
    pub const PING: u8 = 0x04;
    /// Server: go on.
    pub const PONG: u8 = 0x08;
}

/// The empty frame that answers a PING.
pub const PONG: [u8; HEADER] = [0x13, 0, 0, 0, 0, 0, 0x96, 0xd1, 0x80, 0x34, stream::PONG, 0];
/// The empty frame that ends a stream nobody reads any more.
pub const STREAM_STOP: [u8; HEADER] = [0x13, 0, 0, 0, 0, 0, 0x96, 0xd1, 0x80, 0x34, stream::STOP, 0];
/// The command after which a worker exits.
pub const STOP_COMMAND: [u8; HEADER + 13] = *b"\x13\x09\x0d\0\0\0\x3a\x6b\xfa\xcb\0\0{\"stop\":true}";
/// The context by which a worker asks to be replaced.
pub const STOP_CONTEXT: &[u8] = b"{\"stop\":true}";

/// What a frame's fixed header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bits of [`flag`].
    pub flags: u8,
    /// Bits of [`stream`].
    pub stream: u8,
    /// Number of option words.
    pub options: u8,
    /// Bytes of payload.
    pub payload: u32,
}

/// What [`check`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The frame goes on: at least this many bytes are needed in all.
    Incomplete(usize),
    /// A complete frame stands at the start of the input.
    Complete(Head),
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// The first byte is not that of a header.
    #[error("not a frame: it begins with byte {0:#04x}")]
    Start(u8),
    /// The header's checksum is wrong.
    #[error("not a frame: the header's checksum is {found:#010x} instead of {expected:#010x}")]
    Checksum {
        /// What the header says.
        found: u32,
        /// What it should say.
        expected: u32,
    },
}

/// A frame cut into its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The fixed header.
    pub head: Head,
    options: [u32; MAX_OPTIONS],
    /// The payload.
    pub payload: Bytes,
}

impl Head {
    /// Bytes before the payload.
    pub const fn header_len(&self) -> usize {
        HEADER + 4 * self.options as usize
    }

    /// Bytes of the whole frame.
    pub const fn total(&self) -> usize {
        self.header_len() + self.payload as usize
    }

    /// The fixed header's bytes.
    ///
    /// At most [`MAX_OPTIONS`] options fit; more are a mistake of the caller.
    pub fn encode(&self) -> [u8; HEADER] {
        debug_assert!(self.options as usize <= MAX_OPTIONS);
        let mut bytes = [0; HEADER];
        bytes[0] = VERSION << 4 | (HEADER_WORDS + self.options);
        bytes[1] = self.flags;
        bytes[2..6].copy_from_slice(&self.payload.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..6]);
        bytes[6..10].copy_from_slice(&crc.to_le_bytes());
        bytes[10] = self.stream;
        bytes
    }
}

impl Frame {
    /// The option words.
    pub fn options(&self) -> &[u32] {
        &self.options[..self.head.options as usize]
    }
}

/// Looks at the start of a stream of bytes: a frame, a part of one, or something else.
///
/// # Errors
/// The bytes are no frame, or the header is damaged.
pub fn check(input: &[u8]) -> Result<Check, BadFrame> {
    let Some(head) = peek(input)? else {
        return Ok(Check::Incomplete(HEADER));
    };
    Ok(if input.len() < head.total() {
        Check::Incomplete(head.total())
    } else {
        Check::Complete(head)
    })
}

/// What the header at the start of the input says; `None` while it is incomplete.
///
/// # Errors
/// The bytes are no frame, or the header is damaged.
pub fn peek(input: &[u8]) -> Result<Option<Head>, BadFrame> {
    let Some(&first) = input.first() else {
        return Ok(None);
    };
    let words = first & 0x0f;
    if first >> 4 != VERSION || !(HEADER_WORDS..=HEADER_WORDS + MAX_OPTIONS as u8).contains(&words) {
        return Err(BadFrame::Start(first));
    }
    let Some(header) = input.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let found = u32::from_le_bytes([header[6], header[7], header[8], header[9]]);
    let expected = crc32fast::hash(&header[..6]);
    if found != expected {
        return Err(BadFrame::Checksum { found, expected });
    }
    Ok(Some(Head {
        flags: header[1],
        stream: header[10],
        options: words - HEADER_WORDS,
        payload: u32::from_le_bytes([header[2], header[3], header[4], header[5]]),
    }))
}

/// Cuts the bytes of one complete frame, as [`check`] found it, into options and payload; nothing is copied.
/// Bytes that are missing at the end are missing in the result.
pub fn parse(head: Head, mut bytes: Bytes) -> Frame {
    bytes.advance(HEADER.min(bytes.len()));
    let mut options = [0; MAX_OPTIONS];
    for option in options.iter_mut().take(head.options as usize) {
        *option = bytes.try_get_u32_le().unwrap_or(0);
    }
    Frame {
        head,
        options,
        payload: bytes,
    }
}

/// Appends a whole frame.
pub fn encode(out: &mut impl BufMut, flags: u8, stream: u8, options: &[u32], payload: &[u8]) {
    let head = Head {
        flags,
        stream,
        options: options.len() as u8,
        payload: payload.len() as u32,
    };
    out.put_slice(&head.encode());
    for &option in options {
        out.put_u32_le(option);
    }
    out.put_slice(payload);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn encoded(flags: u8, stream: u8, options: &[u32], payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, flags, stream, options, payload);
        out
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Bytes captured from the reference and the public PHP package.
    #[test]
    fn captured_frames_are_reproduced() {
        let json = flag::CONTROL | flag::JSON;
        let cases: [(&str, Vec<u8>, &[u8]); 6] = [
            (
                "13 09 09000000 6dfc9844 00 00",
                encoded(json, 0, &[], b"{\"pid\":1}"),
                b"{\"pid\":1}",
            ),
            (
                "13 01 0c000000 9e473643 00 00",
                encoded(1, 0, &[], b"{\"pid\":1234}"),
                b"{\"pid\":1234}",
            ),
            (
                "13 40 04000000 881e11e3 00 00",
                encoded(flag::ERROR, 0, &[], b"boom"),
                b"boom",
            ),
            (
                "14 00 02000000 a5298c83 00 00 00000000",
                encoded(0, 0, &[0], b"hi"),
                b"hi",
            ),
            (
                "14 00 0d000000 f339efdb 00 00 0d000000",
                encoded(0, 0, &[13], STOP_CONTEXT),
                STOP_CONTEXT,
            ),
            (
                "15 08 0f000000 1c69ca8a 00 00 01000000 0b000000",
                encoded(8, 0, &[1, 11], b"rpc.Versiontrue"),
                b"rpc.Versiontrue",
            ),
        ];
        for (header, bytes, payload) in cases {
            let mut expected = hex(header);
            expected.extend_from_slice(payload);
            assert_eq!(bytes, expected, "{header}");
        }
        assert_eq!(encoded(0, stream::PONG, &[], b""), PONG);
        assert_eq!(encoded(0, stream::STOP, &[], b""), STREAM_STOP);
        assert_eq!(encoded(json, 0, &[], STOP_CONTEXT), STOP_COMMAND);
    }

    #[test]
    fn text_is_refused_at_its_first_byte() {
        for text in ["Could not open input file: x", "\n", "PHP Warning", "<br />", "{"] {
            assert_eq!(check(text.as_bytes()), Err(BadFrame::Start(text.as_bytes()[0])));
        }
    }

    #[test]
    fn a_damaged_header_is_refused() {
        let mut bytes = encoded(0x80, 0, &[1], b"abc");
        bytes[2] = 4;
        assert!(matches!(check(&bytes), Err(BadFrame::Checksum { .. })));
        for words in [0x10, 0x12, 0x1e, 0x1f] {
            assert_eq!(check(&[words]), Err(BadFrame::Start(words)));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_read_again(
            flags: u8, stream: u8,
            options in prop::collection::vec(any::<u32>(), 0..=MAX_OPTIONS),
            payload in prop::collection::vec(any::<u8>(), 0..300),
            rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut bytes = encoded(flags, stream, &options, &payload);
            let total = bytes.len();
            for cut in 0..total {
                let expected = if cut < HEADER { HEADER } else { total };
                prop_assert_eq!(check(&bytes[..cut]), Ok(Check::Incomplete(expected)));
            }
            bytes.extend_from_slice(&rest);
            let Ok(Check::Complete(head)) = check(&bytes) else { panic!("not complete") };
            prop_assert_eq!(head.total(), total);
            let frame = parse(head, Bytes::from(bytes).slice(..total));
            prop_assert_eq!((frame.head.flags, frame.head.stream), (flags, stream));
            prop_assert_eq!(frame.options(), &options[..]);
            prop_assert_eq!(&frame.payload[..], &payload[..]);
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Check::Complete(head)) = check(&bytes) {
                prop_assert!(head.total() <= bytes.len());
                parse(head, Bytes::from(bytes));
            }
        }
    }
}
