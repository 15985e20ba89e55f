//! Whole frames out of a relay's reading end.
//!
//! Frames are slices of one buffer, so that a small answer costs one read and no copy. The buffer grows with what has
//! really arrived, never with what a header merely claims.

use super::Reader;
use crate::frame::{self, Check, Frame, Head};
use bytes::BytesMut;
use std::{io, time::Duration};
use tokio::io::AsyncReadExt;

/// The buffer's usual size: what a pipe holds.
const BUFFER: usize = 64 * 1024;
/// Free space below which a new buffer is begun.
const ROOM: usize = 16 * 1024;
/// Most of a stray text that is kept.
const STRAY: usize = 8 * 1024;
/// Time in which the rest of a stray text is awaited.
const STRAY_WAIT: Duration = Duration::from_millis(100);

/// Why no further frame can be read.
#[derive(Debug)]
pub enum ReadError {
    /// The other side closed, in the middle of a frame if `partial`.
    End {
        /// Bytes of an incomplete frame were read.
        partial: bool,
    },
    /// The bytes are no frame; what could be read of them.
    Stray(Vec<u8>),
    /// Reading failed.
    Io(io::Error),
}

/// Reads frames.
#[derive(Debug)]
pub struct Frames {
    reader: Reader,
    buffer: BytesMut,
}

impl Frames {
    /// Reads from this reader, after the bytes that were read before.
    pub fn new(reader: Reader, early: BytesMut) -> Self {
        Self { reader, buffer: early }
    }

    /// Gives back the reader and what is in the buffer.
    pub fn into_parts(self) -> (Reader, BytesMut) {
        (self.reader, self.buffer)
    }

    /// The next frame. Dropping the future loses nothing.
    ///
    /// # Errors
    /// See [`ReadError`]; nothing can be read after one.
    pub async fn next(&mut self) -> Result<Frame, ReadError> {
        loop {
            let need = match frame::check(&self.buffer) {
                Ok(Check::Complete(head)) => return Ok(self.take(head)),
                Ok(Check::Incomplete(need)) => need,
                Err(_) => return Err(ReadError::Stray(self.stray().await)),
            };
            self.make_room(need);
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(0) => {
                    let partial = !self.buffer.is_empty();
                    return Err(ReadError::End { partial });
                }
                Ok(_) => {}
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
    }

    /// A complete frame that is in the buffer already, if it passes the test; it stays where it is otherwise.
    pub fn next_buffered_if(&mut self, test: impl FnOnce(&Frame) -> bool) -> Option<Frame> {
        let Ok(Check::Complete(head)) = frame::check(&self.buffer) else {
            return None;
        };
        // Small frames only are looked at: the copy is cheaper than a second way of parsing.
        if head.total() > 256 {
            return None;
        }
        let copy = bytes::Bytes::copy_from_slice(&self.buffer[..head.total()]);
        test(&frame::parse(head, copy)).then(|| self.take(head))
    }

    /// All that still comes until the end, up to a bound: what a process that is no worker has to say.
    pub async fn rest(&mut self) -> Vec<u8> {
        self.stray().await
    }

    fn take(&mut self, head: Head) -> Frame {
        frame::parse(head, self.buffer.split_to(head.total()).freeze())
    }

    /// Makes place for the next read: the usual room, more for a long frame, at most doubling what is there.
    fn make_room(&mut self, need: usize) {
        let have = self.buffer.len();
        let missing = need.saturating_sub(have).min(have.max(BUFFER));
        let free = self.buffer.capacity() - have;
        if self.buffer.capacity() == 0 {
            self.buffer = BytesMut::with_capacity(BUFFER);
        } else if free < ROOM.max(missing) {
            self.buffer.reserve(ROOM.max(missing));
        }
    }

    async fn stray(&mut self) -> Vec<u8> {
        let read = async {
            while self.buffer.len() < STRAY {
                self.buffer.reserve(ROOM);
                match self.reader.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
        };
        let _ = tokio::time::timeout(STRAY_WAIT, read).await;
        let kept = self.buffer.len().min(STRAY);
        self.buffer[..kept].to_vec()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::frame::{STOP_CONTEXT, encode, flag};
    use tokio::io::AsyncWriteExt;

    fn pair() -> (tokio::net::UnixStream, Frames) {
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        (theirs, Frames::new(Reader::Unix(ours), BytesMut::new()))
    }

    #[tokio::test]
    async fn frames_come_whole_however_they_are_cut() {
        let (mut peer, mut frames) = pair();
        let mut bytes = Vec::new();
        let long = vec![7; 300_000];
        encode(&mut bytes, flag::PROTO, 0, &[2], b"ctx body");
        encode(&mut bytes, flag::PROTO, 0, &[0], &long);
        encode(&mut bytes, flag::RAW, 0, &[0], b"");
        let writer = tokio::spawn(async move {
            for piece in bytes.chunks(1013) {
                peer.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(&frames.next().await.unwrap().payload[..], b"ctx body");
        assert_eq!(frames.next().await.unwrap().payload, long);
        assert_eq!(frames.next().await.unwrap().head.flags, flag::RAW);
        assert!(matches!(frames.next().await, Err(ReadError::End { partial: false })));
        writer.await.unwrap();
    }

    #[tokio::test]
    async fn a_header_that_claims_much_reserves_little() {
        let (mut peer, mut frames) = pair();
        let head = Head {
            flags: 0,
            stream: 0,
            options: 0,
            payload: u32::MAX,
        };
        peer.write_all(&head.encode()).await.unwrap();
        drop(peer);
        assert!(matches!(frames.next().await, Err(ReadError::End { partial: true })));
        assert!(frames.buffer.capacity() <= 4 * BUFFER);
    }

    #[tokio::test]
    async fn stray_text_is_shown_and_bounded() {
        let (mut peer, mut frames) = pair();
        peer.write_all(b"PHP Warning: ").await.unwrap();
        peer.write_all(&vec![b'x'; 20_000]).await.unwrap();
        let Err(ReadError::Stray(text)) = frames.next().await else {
            panic!()
        };
        assert!(text.starts_with(b"PHP Warning: xxx") && text.len() == STRAY);
    }

    #[tokio::test]
    async fn a_stop_that_follows_an_answer_is_seen_and_another_frame_left_alone() {
        let (mut peer, mut frames) = pair();
        let mut bytes = Vec::new();
        for payload in [&b"a"[..], STOP_CONTEXT, b"b"] {
            encode(&mut bytes, 0, 0, &[0], payload);
        }
        peer.write_all(&bytes).await.unwrap();
        let is_stop = |frame: &Frame| frame.payload == STOP_CONTEXT;
        assert!(frames.next_buffered_if(is_stop).is_none());
        frames.next().await.unwrap();
        assert!(frames.next_buffered_if(is_stop).is_some());
        assert!(frames.next_buffered_if(is_stop).is_none());
        assert_eq!(&frames.next().await.unwrap().payload[..], b"b");
    }
}
