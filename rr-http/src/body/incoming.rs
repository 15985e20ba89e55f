//! The pieces of a body as they come from the network, counted and timed.

use super::{BodyError, Settings};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::{error::Error, io, time::Duration};
use tokio::time::timeout;

/// A body being read.
#[derive(Debug)]
pub(super) struct Incoming<B> {
    body: B,
    /// What [`Incoming::slice`] has not given out yet.
    rest: Bytes,
    left: u64,
    declared: Option<u64>,
    idle_timeout: Duration,
}

impl<B> Incoming<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Fails at once if the declared length is above the limit.
    pub(super) fn new(
        body: B,
        content_length: Option<u64>,
        limit: u64,
        settings: &Settings,
    ) -> Result<Self, BodyError> {
        if content_length.is_some_and(|length| length > limit) {
            return Err(BodyError::TooLarge);
        }
        Ok(Self {
            body,
            rest: Bytes::new(),
            left: limit,
            declared: content_length,
            idle_timeout: settings.idle_timeout,
        })
    }

    /// The length that the client declared, which may be a lie.
    pub(super) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// True if it is certain that no piece follows.
    pub(super) fn ended(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The next piece, never empty; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        while !self.body.is_end_stream() {
            let frame = match timeout(self.idle_timeout, self.body.frame()).await {
                Err(_) => return Err(BodyError::Timeout),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(network_error(error.into().as_ref())),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers are of no interest to anyone behind us.
            let Ok(piece) = frame.into_data() else { continue };
            self.left = self.left.checked_sub(piece.len() as u64).ok_or(BodyError::TooLarge)?;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// The next bytes, at most a small slice of them; do not mix with [`Incoming::next`].
    pub(super) async fn slice(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.rest.is_empty() {
            match self.next().await? {
                Some(piece) => self.rest = piece,
                None => return Ok(None),
            }
        }
        Ok(Some(self.rest.split_to(self.rest.len().min(SLICE))))
    }
}

/// Pieces on a fast connection are large; whoever copies them takes them in slices of this size.
const SLICE: usize = 64 << 10;

/// Chunks that break the grammar are the client's mistake, everything else is its disappearance.
fn network_error(error: &(dyn Error + 'static)) -> BodyError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>()
            && matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        {
            return BodyError::Form("malformed chunked encoding".into());
        }
        cause = error.source();
    }
    BodyError::ClientGone
}
