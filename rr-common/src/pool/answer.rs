//! A worker's answer: one frame, or the first one of a stream.

use super::ExecError;
use bytes::Bytes;
use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

/// Frames of a stream that may wait for their reader.
pub(super) const WINDOW: usize = 4;

/// A worker's answer.
#[derive(Debug)]
pub struct Answer {
    /// Flags of the frame, the error bit never set.
    pub flags: u8,
    /// The context.
    pub context: Bytes,
    /// The body.
    pub body: Bytes,
    /// The frames that follow, if the answer is a stream.
    pub more: Option<Stream>,
}

/// The further frames of a streamed answer. At most a few wait in memory: the worker waits while the reader does.
/// Dropping it stops the worker's stream.
#[derive(Debug)]
pub struct Stream {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

/// One further frame.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) item: Result<Answer, ExecError>,
    pub(super) last: bool,
}

impl Stream {
    pub(super) fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self { pieces, ended: false }
    }

    /// The next frame; `None` after the last one. An error ends the stream.
    pub async fn next(&mut self) -> Option<Result<Answer, ExecError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same as a poll, for those who are polled themselves.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Answer, ExecError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(cx));
        self.ended = piece.as_ref().is_none_or(|piece| piece.last || piece.item.is_err());
        // A stream that breaks off is never taken for a complete one.
        Poll::Ready(Some(
            piece.map_or_else(|| Err(ExecError::Network("EOF".into())), |piece| piece.item),
        ))
    }
}
