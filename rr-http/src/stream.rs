//! An answer that PHP sends in pieces, as the body of a response.
//!
//! A piece is asked for when the one before has found room in the connection's buffer: a client that reads slowly makes
//! PHP wait. Dropping it in mid-stream, because the client has gone, tells PHP to stop.

use crate::{body::UploadGuard, connection::Activity, handle::PROTO, observe::Observation};
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use rr_common::{
    pool::{Answer, ExecError, Stream},
    telemetry::trace::{Place, SpanId, TraceId},
};
use std::{
    io,
    task::{Context, Poll, ready},
};
use tracing::field::DisplayValue;

/// The rest of a streamed answer.
pub(crate) struct Streamed {
    first: Bytes,
    source: Source,
    trailers: Option<HeaderMap>,
    sent: u64,
    /// The length that PHP has promised.
    length: Option<u64>,
    seen: Option<Observation>,
    _uploads: UploadGuard,
    activity: Activity,
}

enum Source {
    /// The rest, and its next frame if that has been taken already.
    Open(Stream, Option<Result<Answer, ExecError>>),
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

impl Streamed {
    /// An answer whose head and first bytes are known, and the rest, if there is one, with its next frame if that is known
    /// too; `seen` ends with it.
    pub(crate) fn new(
        first: Bytes,
        rest: Option<(Stream, Option<Result<Answer, ExecError>>)>,
        trailers: Option<HeaderMap>,
        seen: Observation,
        uploads: UploadGuard,
        activity: Activity,
    ) -> Self {
        Self {
            first,
            source: rest.map_or(Source::Ended, |(rest, next)| Source::Open(rest, next)),
            trailers,
            sent: 0,
            length: None,
            seen: Some(seen),
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

    /// After that many bytes nobody asks for more.
    pub(crate) fn promise(&mut self, length: u64) {
        self.length = Some(length);
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return self.piece(first);
        }
        while let Source::Open(rest, next) = &mut self.source {
            let next = match next.take() {
                Some(next) => Some(next),
                None => ready!(rest.poll_next(cx)),
            };
            match next {
                None => self.source = Source::Ended,
                Some(Ok(answer)) if answer.flags != PROTO => {
                    return self.broken(&format!("unknown payload type: {}", answer.flags));
                }
                Some(Ok(answer)) if answer.body.is_empty() => {}
                Some(Ok(answer)) => return self.piece(answer.body),
                Some(Err(error)) => return self.broken(&error.to_string()),
            }
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    /// The fields of a line about a traced request.
    fn place(&self) -> (Option<DisplayValue<TraceId>>, Option<DisplayValue<SpanId>>) {
        Place::fields(self.seen.as_ref().and_then(Observation::place))
    }

    fn piece(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.sent += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    /// The client must not take what it has for the whole: the connection breaks.
    fn broken(&mut self, error: &str) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.source = Source::Broken;
        if let Some(seen) = &mut self.seen {
            seen.wrote(self.activity.connection().app.settings.internal_error.as_u16());
            seen.failed(error);
        }
        let (trace_id, span_id) = self.place();
        tracing::error!(target: "http", error, trace_id, span_id, "read stream");
        Poll::Ready(Some(Err(io::Error::other(error.to_owned()))))
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        let complete = self.length.is_some_and(|length| self.sent >= length);
        if matches!(self.source, Source::Open(..)) && !complete {
            let (trace_id, span_id) = self.place();
            tracing::error!(
                target: "http", peer = %self.activity.connection().peer, trace_id, span_id,
                "write response (chunk) error: the client is gone"
            );
            if let Some(seen) = &mut self.seen {
                seen.failed("the client is gone");
            }
        }
        if let Some(seen) = self.seen.take() {
            seen.end(self.sent);
        }
    }
}
