//! A request as it goes to a worker.
//!
//! Header, option, context and a small body stand in one buffer, so that they are one write. A larger body stays where
//! it is, in memory or in a file.

use crate::frame::{HEADER, Head};
use crate::telemetry::trace::Trail;
use bytes::{BufMut, Bytes, BytesMut};
use std::{fs::File, sync::Arc};

/// Bodies up to this size are copied behind the context: cheaper than a second piece.
const SMALL: usize = 16 * 1024;
/// Header and the one option.
const START: usize = HEADER + 4;

/// One request to a worker: a frame whose context is encoded in place.
#[derive(Debug)]
pub struct Payload {
    head: BytesMut,
    /// What follows the first buffer.
    pub(crate) rest: Body,
    fault: Option<&'static str>,
    /// Of a traced request only.
    pub(crate) trail: Option<Arc<Trail>>,
}

/// The body of a request.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// The first `len` bytes of a file, from its start.
    File(File, u64),
}

impl Payload {
    /// A payload whose context the given function appends. `size_hint` is the context's likely size in bytes.
    pub fn new(flags: u8, size_hint: usize, context: impl FnOnce(&mut BytesMut), body: Body) -> Self {
        let small = match &body {
            Body::Bytes(bytes) if bytes.len() <= SMALL => bytes.len(),
            _ => 0,
        };
        let mut head = BytesMut::with_capacity(START + size_hint + small);
        head.put_bytes(0, START);
        context(&mut head);
        let context_len = head.len() - START;
        let rest = match body {
            Body::Bytes(bytes) if bytes.len() <= SMALL => {
                head.extend_from_slice(&bytes);
                Body::Bytes(Bytes::new())
            }
            Body::Bytes(bytes) => Body::Bytes(bytes),
            Body::File(file, len) => Body::File(file, len),
        };
        let mut payload = Self {
            head,
            rest,
            fault: None,
            trail: None,
        };
        let total = payload.len() - START as u64;
        if total == 0 {
            payload.fault = Some("payload can not be empty");
        } else if total > u64::from(u32::MAX) {
            payload.fault = Some("payload is larger than a frame can be (4 GiB)");
        }
        let header = Head {
            flags,
            stream: 0,
            options: 1,
            payload: u32::try_from(total).unwrap_or(u32::MAX),
        };
        payload.head[..HEADER].copy_from_slice(&header.encode());
        let context_len = u32::try_from(context_len).unwrap_or(u32::MAX);
        payload.head[HEADER..START].copy_from_slice(&context_len.to_le_bytes());
        payload
    }

    /// The request is traced.
    #[must_use]
    pub fn traced(mut self, trail: Arc<Trail>) -> Self {
        self.trail = Some(trail);
        self
    }

    /// Bytes of the whole frame.
    pub fn len(&self) -> u64 {
        self.head.len() as u64
            + match &self.rest {
                Body::Bytes(bytes) => bytes.len() as u64,
                Body::File(_, len) => *len,
            }
    }

    /// Never true: a frame has a header.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the plugin has written about the request.
    pub fn context(&self) -> &[u8] {
        let len = u32::from_le_bytes([
            self.head[HEADER],
            self.head[HEADER + 1],
            self.head[HEADER + 2],
            self.head[HEADER + 3],
        ]);
        let context = &self.head[START..];
        &context[..context.len().min(len as usize)]
    }

    /// Why this payload cannot be sent.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// The parts that are in memory.
    pub(crate) fn memory(&self) -> [&[u8]; 2] {
        let body: &[u8] = match &self.rest {
            Body::Bytes(bytes) => bytes,
            Body::File(..) => &[],
        };
        [&self.head, body]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::{Check, check, parse};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_payload_is_one_frame_with_its_context_length(
            context in prop::collection::vec(any::<u8>(), 0..200), len in 0usize..40_000,
        ) {
            let body = Bytes::from(vec![b'b'; len]);
            let payload = Payload::new(0x80, 0, |out| out.extend_from_slice(&context), Body::Bytes(body.clone()));
            prop_assert_eq!(payload.fault().is_some(), context.is_empty() && body.is_empty());
            let bytes = Bytes::from(payload.memory().concat());
            let Ok(Check::Complete(head)) = check(&bytes) else { panic!() };
            let frame = parse(head, bytes);
            prop_assert_eq!(frame.options(), &[context.len() as u32]);
            prop_assert_eq!(&frame.payload[..context.len()], &context[..]);
            prop_assert_eq!(&frame.payload[context.len()..], &body[..]);
            prop_assert_eq!(payload.memory()[1].is_empty(), len <= SMALL);
            prop_assert_eq!(payload.context(), &context[..]);
        }
    }

    #[test]
    fn a_file_counts_with_its_length() {
        let file = tempfile::tempfile().unwrap();
        let payload = Payload::new(0, 3, |out| out.put_slice(b"ctx"), Body::File(file, 1 << 20));
        assert_eq!(payload.len(), START as u64 + 3 + (1 << 20));
        let file = tempfile::tempfile().unwrap();
        assert!(Payload::new(0, 0, |_| (), Body::File(file, 1 << 32)).fault().is_some());
    }
}
