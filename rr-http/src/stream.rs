//! An answer that PHP sends in pieces, as the body of a response.
//!
//! A piece is asked for when the one before has found room in the connection's buffer: a client that reads slowly makes
//! PHP wait. Dropping it in mid-stream, because the client has gone, tells PHP to stop.

use crate::{access_log::Record, body::UploadGuard, connection::Activity, handle::PROTO};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use rr_common::pool::{Answer, ExecError, Stream};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A wait for the next frame, which gives the stream back.
pub(crate) type Pull = Pin<Box<dyn Future<Output = (Stream, Option<Result<Answer, ExecError>>)> + Send>>;

/// The rest of a streamed answer.
pub(crate) struct Streamed {
    first: Bytes,
    source: Source,
    trailers: Option<HeaderMap>,
    sent: u64,
    log: Option<Box<Record>>,
    _uploads: UploadGuard,
    activity: Activity,
}

enum Source {
    Pulling(Pull),
    Ended,
    Broken,
}

impl std::fmt::Debug for Streamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streamed")
            .field("sent", &self.sent)
            .finish_non_exhaustive()
    }
}

/// Asks for the next frame.
pub(crate) fn pull(mut stream: Stream) -> Pull {
    Box::pin(async move {
        let next = stream.next().await;
        (stream, next)
    })
}

impl Streamed {
    /// An answer whose head and first bytes are known, and the wait for the rest, if there is one; `log` is written when
    /// it ends.
    pub(crate) fn new(
        first: Bytes,
        rest: Option<Pull>,
        trailers: Option<HeaderMap>,
        log: Option<Box<Record>>,
        uploads: UploadGuard,
        activity: Activity,
    ) -> Self {
        Self {
            first,
            source: rest.map_or(Source::Ended, Source::Pulling),
            trailers,
            sent: 0,
            log,
            _uploads: uploads,
            activity,
        }
    }

    /// The bytes that came with the head.
    pub(crate) fn beginning(&self) -> &[u8] {
        &self.first
    }

    /// No one wants the body (HEAD and the like): PHP is told to stop.
    pub(crate) fn unwanted(&mut self) {
        self.source = Source::Broken;
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return self.piece(first);
        }
        while let Source::Pulling(pull) = &mut self.source {
            let (stream, next) = ready!(pull.as_mut().poll(cx));
            match next {
                None => self.source = Source::Ended,
                Some(Ok(answer)) if answer.flags == PROTO => {
                    self.source = Source::Pulling(self::pull(stream));
                    if !answer.body.is_empty() {
                        return self.piece(answer.body);
                    }
                }
                Some(Ok(answer)) => return self.broken(&format!("unknown payload type: {}", answer.flags)),
                Some(Err(error)) => return self.broken(&error.to_string()),
            }
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn piece(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.sent += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    /// The client must not take what it has for the whole: the connection breaks.
    fn broken(&mut self, error: &str) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.source = Source::Broken;
        tracing::error!(target: "http", error, "read stream");
        Poll::Ready(Some(Err(io::Error::other(error.to_owned()))))
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        if let Source::Pulling(_) = self.source {
            tracing::error!(target: "http", peer = %self.activity.connection().peer, "write response (chunk) error: the client is gone");
        }
        if let Some(log) = self.log.take() {
            log.write(self.sent);
        }
    }
}
