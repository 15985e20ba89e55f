//! Calls and answers as frames.
//!
//! [`look`] judges what has arrived without copying, and [`Message`] says where its parts are. An answer can be written from scratch
//! ([`answer`], [`refuse`]) or passed on with another sequence number ([`renumber`]), which no checksum covers.

use crate::frame::{self, BadFrame, HEADER, Head, flag};
use bytes::BufMut;

/// Bytes of a call's header, its two options included.
pub const CALL_HEADER: usize = HEADER + 8;

/// Largest frame that is taken, the header included.
pub const MAX_FRAME: usize = 64 << 20;

/// The text for the caller whose frame is longer.
pub const TOO_LONG: &str = "rpc: the call is longer than 64 MiB";

/// In the place of a method's name, from the supervisor to a plugin: the caller of the call with this number has hung up. It has
/// no answer of its own.
pub const HUNG_UP: &[u8] = b"hung-up";

/// Longest method name that is repeated in the answer to a frame that was not taken.
const LONGEST_NAME: usize = 256;

/// A frame with two options: a call or an answer. It says nothing about the bytes behind its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Bits of [`flag`].
    pub flags: u8,
    /// The sequence number.
    pub sequence: u32,
    /// Length of the method's name as the frame claims it.
    pub name: usize,
    /// Bytes of the whole frame.
    pub total: usize,
}

/// What [`look`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The frame goes on: at least this many bytes are needed in all.
    Incomplete(usize),
    /// A whole one.
    Whole(Message),
    /// One that is longer than [`MAX_FRAME`]; its header and name are here.
    TooLong(Message),
}

/// Why the bytes are neither call nor answer. What follows them cannot be made out either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// No frame.
    #[error(transparent)]
    Frame(#[from] BadFrame),
    /// A frame without exactly two options.
    #[error("not a call: the frame has {0} options instead of two")]
    Options(u8),
}

/// Looks at the start of a stream of bytes.
///
/// # Errors
/// It is not goridge RPC.
pub fn look(input: &[u8]) -> Result<Look, BadMessage> {
    let Some(head) = frame::peek(input)? else {
        return Ok(Look::Incomplete(HEADER));
    };
    if head.options != 2 {
        return Err(BadMessage::Options(head.options));
    }
    let Some(message) = Message::of(head, input) else {
        return Ok(Look::Incomplete(CALL_HEADER.max(head.total().min(MAX_FRAME))));
    };
    let enough = match message.total > MAX_FRAME {
        true => CALL_HEADER + message.name.min(LONGEST_NAME),
        false => message.total,
    };
    Ok(match input.len() < enough {
        true => Look::Incomplete(enough),
        false if message.total > MAX_FRAME => Look::TooLong(message),
        false => Look::Whole(message),
    })
}

/// What the header at the start of the input says, however much of the frame is there; `None` when it is no call's.
pub fn begun(input: &[u8]) -> Option<Message> {
    let head = frame::peek(input).ok()??;
    Message::of(head, input).filter(|_| head.options == 2)
}

impl Message {
    fn of(head: Head, input: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g, h] = input.get(HEADER..)?.first_chunk()?;
        Some(Self {
            flags: head.flags,
            sequence: u32::from_le_bytes([a, b, c, d]),
            name: u32::from_le_bytes([e, f, g, h]) as usize,
            total: head.total(),
        })
    }

    /// The method's name in the bytes of this frame, as far as they are there.
    pub fn name<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let payload = frame.get(CALL_HEADER..).unwrap_or_default();
        payload
            .get(..self.name)
            .unwrap_or(&payload[..payload.len().min(LONGEST_NAME)])
    }

    /// The whole method name, `Service.Method`, in the bytes of this frame.
    ///
    /// # Errors
    /// The text for the caller: the name is longer than the frame, no UTF-8, or has no dot.
    pub fn method<'a>(&self, frame: &'a [u8]) -> Result<&'a str, String> {
        let name = self.name(frame);
        match std::str::from_utf8(name) {
            Ok(method) if name.len() == self.name && split(method).is_some() => Ok(method),
            _ => {
                let shown = String::from_utf8_lossy(&name[..name.len().min(LONGEST_NAME)]);
                Err(format!("rpc: service/method request ill-formed: {shown}"))
            }
        }
    }

    /// Bytes before the argument or result.
    pub fn body(&self) -> usize {
        CALL_HEADER + self.name
    }

    /// Whether a plugin gives the call back instead of answering it.
    pub fn is_again(&self) -> bool {
        self.flags & flag::CONTROL != 0
    }

    /// The one codec bit that the answer has: of several the first, without any gob's.
    pub fn codec_bit(&self) -> u8 {
        let known = [flag::PROTO, flag::JSON, flag::RAW, flag::MSGPACK];
        let named = known.into_iter().find(|bit| self.flags & bit != 0);
        named.unwrap_or(flag::GOB)
    }
}

/// Service and method, which the last dot divides.
pub fn split(method: &str) -> Option<(&str, &str)> {
    method.rsplit_once('.')
}

/// Whether an answer is no longer than a frame may be.
pub fn fits(method: &[u8], result: &[u8]) -> bool {
    method.len() + result.len() <= MAX_FRAME - CALL_HEADER
}

/// Gives a whole frame another sequence number.
pub fn renumber(frame: &mut [u8], sequence: u32) {
    if let Some(place) = frame.get_mut(HEADER..HEADER + 4) {
        place.copy_from_slice(&sequence.to_le_bytes());
    }
}

/// Appends the answer to a call.
pub fn answer(out: &mut impl BufMut, codec_bit: u8, sequence: u32, method: &[u8], result: &[u8]) {
    put(out, codec_bit, sequence, method, result);
}

/// Appends the answer to a call that failed.
pub fn refuse(out: &mut impl BufMut, codec_bit: u8, sequence: u32, method: &[u8], text: &str) {
    put(out, codec_bit | flag::ERROR, sequence, method, text.as_bytes());
}

/// Appends a call as a plugin gives it back: nothing was done, and the plugin's next process is to be asked.
pub fn again(out: &mut impl BufMut, flags: u8, sequence: u32, method: &[u8], body: &[u8]) {
    put(out, flags | flag::CONTROL, sequence, method, body);
}

/// Makes a frame that was given back the call again that it was.
pub fn make_call(frame: &mut [u8]) {
    if let Ok(Some(head)) = frame::peek(frame)
        && let Some(place) = frame.get_mut(..HEADER)
    {
        let flags = head.flags & !flag::CONTROL;
        place.copy_from_slice(&Head { flags, ..head }.encode());
    }
}

/// Appends the word that a caller has hung up.
pub fn hang_up(out: &mut impl BufMut, sequence: u32) {
    put(out, flag::RAW, sequence, HUNG_UP, b"");
}

fn put(out: &mut impl BufMut, flags: u8, sequence: u32, method: &[u8], body: &[u8]) {
    let head = Head {
        flags,
        stream: 0,
        options: 2,
        payload: (method.len() + body.len()) as u32,
    };
    out.put_slice(&head.encode());
    out.put_u32_le(sequence);
    out.put_u32_le(method.len() as u32);
    out.put_slice(method);
    out.put_slice(body);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn call(flags: u8, sequence: u32, method: &str, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        answer(&mut out, flags, sequence, method.as_bytes(), body);
        out
    }

    /// A frame with a name length of its own.
    fn lying(name: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::encode(&mut out, flag::JSON, 0, &[7, name], payload);
        out
    }

    fn whole(frame: &[u8]) -> Message {
        match look(frame) {
            Ok(Look::Whole(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    /// The pairs of goridge.md §5, seen on the wire.
    #[test]
    fn captured_answers_are_reproduced() {
        let version = b"\x15\x08\x0e\0\0\0\x79\x0e\x76\x32\0\0\x01\0\0\0\x0b\0\0\0rpc.Version\"3\"";
        assert_eq!(call(flag::JSON, 1, "rpc.Version", b"\"3\""), version);
        let set = b"\x15\x80\x06\0\0\0\xc5\xdd\x54\x76\0\0\x14\0\0\0\x06\0\0\0kv.Set";
        assert_eq!(call(flag::PROTO, 20, "kv.Set", b""), set);
        let lock = b"\x15\x80\x0b\0\0\0\x18\x05\x3e\x84\0\0\x30\0\0\0\x09\0\0\0lock.Lock\x08\x01";
        assert_eq!(call(flag::PROTO, 48, "lock.Lock", b"\x08\x01"), lock);
        let message = whole(lock);
        assert_eq!(message.method(lock), Ok("lock.Lock"));
        assert_eq!(&lock[message.body()..], b"\x08\x01");
    }

    #[test]
    fn names_that_are_none_get_a_text() {
        let ill = |text: &str| Err(format!("rpc: service/method request ill-formed: {text}"));
        for (frame, expected) in [
            (lying(3, b"abc"), ill("abc")),
            (lying(4, b"a.b"), ill("a.b")),
            (lying(u32::MAX, b""), ill("")),
            (lying(0, b"a.b"), ill("")),
            (lying(3, b"a.\xff"), ill("a.\u{fffd}")),
            (lying(3, b"a.b"), Ok("a.b")),
            (lying(5, b"a.b.cd"), Ok("a.b.c")),
        ] {
            assert_eq!(whole(&frame).method(&frame), expected);
        }
    }

    #[test]
    fn other_frames_are_refused_and_long_ones_named() {
        let mut one = Vec::new();
        frame::encode(&mut one, flag::JSON, 0, &[1], b"a.b");
        assert_eq!(look(&one), Err(BadMessage::Options(1)));
        assert!(matches!(look(b"GET / HTTP/1.1"), Err(BadMessage::Frame(_))));

        let head = Head {
            flags: flag::JSON,
            stream: 0,
            options: 2,
            payload: u32::MAX,
        };
        let mut long = head.encode().to_vec();
        assert_eq!(look(&long), Ok(Look::Incomplete(MAX_FRAME)));
        long.extend([9, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(look(&long), Ok(Look::Incomplete(CALL_HEADER + 3)));
        long.extend(b"a.b");
        let Ok(Look::TooLong(message)) = look(&long) else {
            panic!()
        };
        assert_eq!((message.sequence, message.name(&long)), (9, &b"a.b"[..]));
    }

    #[test]
    fn no_method_has_the_name_that_means_hung_up() {
        let mut frame = Vec::new();
        hang_up(&mut frame, 5);
        let message = whole(&frame);
        assert_eq!((message.sequence, message.name(&frame)), (5, HUNG_UP));
        assert!(message.method(&frame).is_err());
    }

    #[test]
    fn a_call_that_is_given_back_becomes_the_call_that_it_was() {
        let original = call(flag::PROTO, 9, "kv.Set", b"body");
        let mut frame = Vec::new();
        again(&mut frame, flag::PROTO, 9, b"kv.Set", b"body");
        assert!(whole(&frame).is_again() && !whole(&original).is_again());
        make_call(&mut frame);
        assert_eq!(frame, original);
        make_call(&mut frame[..5]);
        make_call(&mut []);
    }

    #[test]
    fn the_answer_has_one_codec_bit() {
        let bit = |flags| whole(&call(flags, 1, "a.b", b"")).codec_bit();
        assert_eq!(bit(flag::PROTO | flag::JSON), flag::PROTO);
        assert_eq!(bit(flag::MSGPACK | flag::ERROR), flag::MSGPACK);
        assert_eq!(bit(0), flag::GOB);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            flags: u8, sequence: u32, other: u32, method in "[a-z]{1,9}\\.[A-Z]{1,9}",
            body in prop::collection::vec(any::<u8>(), 0..300), rest in prop::collection::vec(any::<u8>(), 0..30),
        ) {
            let mut bytes = call(flags, sequence, &method, &body);
            let total = bytes.len();
            for cut in 0..total {
                let Ok(Look::Incomplete(need)) = look(&bytes[..cut]) else { panic!("whole at {cut}") };
                prop_assert!(need > cut && need <= total);
            }
            bytes.extend(rest);
            renumber(&mut bytes, other);
            let message = whole(&bytes);
            prop_assert_eq!((message.flags, message.sequence, message.total), (flags, other, total));
            prop_assert_eq!(message.method(&bytes[..total]), Ok(&method[..]));
            prop_assert_eq!(&bytes[message.body()..total], &body[..]);
        }

        #[test]
        fn any_bytes_are_judged_without_panic(
            flags: u8, name: u32, mut payload in prop::collection::vec(any::<u8>(), 0..100), cut in 0_usize..150,
        ) {
            let _ = look(&payload);
            let mut frame = lying(name, &payload);
            frame[1] = flags;
            let _ = look(&frame);
            let frame = lying(name, &payload);
            let message = whole(&frame);
            let _ = message.method(&frame[..cut.min(frame.len())]);
            prop_assert!(message.method(&frame).is_err() || message.body() <= message.total);
            payload.truncate(3);
            renumber(&mut payload, 1);
        }
    }
}
