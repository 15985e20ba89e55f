//! The reading side of a connection: what has arrived, cut into frames.
//!
//! All connections of the thread read into one buffer. Frames that arrived whole, which is nearly all of them, are passed on from
//! there; only the start of a frame whose rest is still to come is copied into the connection's own buffer. An idle connection
//! so costs no buffer, and a call no allocation.

use super::{
    load::{LARGE, Load},
    outlet::Outlet,
};
use bytes::{Buf, BytesMut};
use rr_common::rpc::{
    Quiet,
    wire::{self, BadMessage, Look, Message},
};
use std::{
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

/// The thread's buffer.
pub(super) const SHARED: usize = 64 << 10;

/// What becomes of a frame.
#[derive(Debug)]
pub(super) enum Fate {
    /// It goes there, as it stands now.
    To(Rc<Outlet>),
    /// It has been dealt with.
    Done,
    /// Not now: it is offered again.
    Later,
}

/// A connection's own part.
#[derive(Debug)]
pub(super) struct Intake {
    rest: BytesMut,
    /// Bytes of a frame that was refused and has not arrived yet.
    skip: usize,
    load: Rc<Load>,
    /// What the load knows of `rest`.
    counted: usize,
}

/// Takes the frames of a connection.
pub(super) trait Take {
    /// Takes a whole frame.
    fn whole(&mut self, frame: &mut [u8], message: Message) -> Fate;

    /// A frame is refused whose start, with the name, is this; the rest of it is skipped.
    fn refuse(&mut self, start: &[u8], message: Message, text: &str);
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Bytes.
    Some,
    /// The end.
    End,
}

impl Intake {
    pub(super) fn new(load: Rc<Load>) -> Self {
        Self {
            rest: BytesMut::new(),
            skip: 0,
            load,
            counted: 0,
        }
    }

    /// Reads once and takes the frames that are whole.
    pub(super) fn poll_read(
        &mut self,
        from: &Quiet,
        shared: &mut [u8],
        cx: &mut Context<'_>,
        take: &mut impl Take,
    ) -> Poll<io::Result<Read>> {
        let mut buffer = ReadBuf::new(shared);
        ready!(from.poll_read_into(cx, &mut buffer))?;
        let filled = buffer.filled_mut();
        if filled.is_empty() {
            return Poll::Ready(Ok(Read::End));
        }
        if self.rest.is_empty() {
            let used = self.take_all(filled, take)?;
            self.rest.extend_from_slice(&filled[used..]);
            self.count();
        } else {
            self.rest.extend_from_slice(filled);
            self.take_rest(take)?;
        }
        Poll::Ready(Ok(Read::Some))
    }

    /// Nothing of a frame is here, and nothing of one is awaited.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty() && self.skip == 0
    }

    /// Keeps bytes that somebody else has read, behind what is here.
    pub(super) fn keep(&mut self, read: &[u8]) {
        self.rest.extend_from_slice(read);
        self.count();
    }

    /// What is here, and how many bytes that are still to come belong to nobody.
    pub(super) fn unread(&self) -> (&[u8], usize) {
        (&self.rest, self.skip)
    }

    /// Passes over so many bytes that are still to come.
    pub(super) fn pass_over(&mut self, bytes: usize) {
        self.skip = bytes;
    }

    /// Takes what was left for later.
    pub(super) fn take_rest(&mut self, take: &mut impl Take) -> io::Result<()> {
        let mut rest = std::mem::take(&mut self.rest);
        let used = self.take_all(&mut rest, take);
        rest.advance(used.as_ref().map_or(0, |used| *used));
        if !rest.is_empty() {
            self.rest = rest;
        }
        self.count();
        used.map(drop)
    }

    /// Takes the frames that are whole; says how many bytes that were. Neighbours with one goal go there with one write.
    fn take_all(&mut self, bytes: &mut [u8], take: &mut impl Take) -> io::Result<usize> {
        let invalid = |error: BadMessage| io::Error::new(io::ErrorKind::InvalidData, error);
        let mut run: Option<(Rc<Outlet>, usize)> = None;
        let mut at = self.skip.min(bytes.len());
        self.skip -= at;
        let ended = loop {
            let found = match wire::look(&bytes[at..]) {
                Ok(found) => found,
                Err(error) => break Err(invalid(error)),
            };
            let (fate, message) = match found {
                Look::Incomplete(_) if bytes.len() - at > LARGE && self.load.is_heavy() => {
                    let Some(message) = wire::begun(&bytes[at..]) else {
                        break Ok(());
                    };
                    take.refuse(&bytes[at..], message, "rpc: the server's buffers are full");
                    (Fate::Done, message)
                }
                Look::Incomplete(_) => break Ok(()),
                Look::Whole(message) => (take.whole(&mut bytes[at..at + message.total], message), message),
                Look::TooLong(message) => {
                    take.refuse(&bytes[at..], message, wire::TOO_LONG);
                    (Fate::Done, message)
                }
            };
            let goal = match fate {
                Fate::Later => break Ok(()),
                Fate::Done => None,
                Fate::To(goal) => Some(goal),
            };
            let goes_on = matches!((&run, &goal), (Some((before, _)), Some(goal)) if Rc::ptr_eq(before, goal));
            if !goes_on {
                if let Some((goal, from)) = run.take() {
                    goal.send(&bytes[from..at]);
                }
                run = goal.map(|goal| (goal, at));
            }
            let end = at + message.total;
            at = end.min(bytes.len());
            self.skip = end - at;
        };
        if let Some((goal, from)) = run {
            goal.send(&bytes[from..at]);
        }
        ended.map(|()| at)
    }

    fn count(&mut self) {
        self.load.change(self.counted, self.rest.len());
        self.counted = self.rest.len();
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.load.change(self.counted, 0);
    }
}
