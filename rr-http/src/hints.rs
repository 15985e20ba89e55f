//! Interim answers (1xx), above all 103 Early Hints.
//!
//! HTTP/2 has a call for them. hyper's HTTP/1.1 has none, so [`Interim`] lies between the handler and the connection's
//! [`Io`](crate::io::Io): the handler leaves the bytes there and waits; hyper flushes its socket whenever the handler waits
//! and everything it had to write is out, and that flush sends them. So they can never land inside another answer.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use std::{
    future::poll_fn,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
    task::{Poll, Waker},
};

/// Sends interim answers of one request.
pub(crate) trait Hints {
    /// Sends one and returns when it is on its way.
    async fn send(&mut self, status: StatusCode, headers: &HeaderMap);
}

/// For a client that must not get any (HTTP/1.0).
pub(crate) struct NoHints;

/// Interim answers of one HTTP/1.1 connection.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    waiting: AtomicBool,
    slot: Mutex<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    bytes: Bytes,
    handler: Option<Waker>,
}

impl Hints for NoHints {
    async fn send(&mut self, _status: StatusCode, _headers: &HeaderMap) {}
}

impl Hints for &Interim {
    async fn send(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.slot().bytes = head(status, headers);
        self.waiting.store(true, Release);
        poll_fn(|cx| {
            let mut slot = self.slot();
            if !self.waiting() {
                return Poll::Ready(());
            }
            slot.handler = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Interim {
    /// True while an interim answer waits to be sent.
    pub(crate) fn waiting(&self) -> bool {
        self.waiting.load(Acquire)
    }

    /// Takes what is to be sent.
    pub(crate) fn take(&self) -> Bytes {
        std::mem::take(&mut self.slot().bytes)
    }

    /// Puts the unsent rest back.
    pub(crate) fn put_back(&self, rest: Bytes) {
        self.slot().bytes = rest;
    }

    /// All is sent: the handler goes on.
    pub(crate) fn sent(&self) {
        let mut slot = self.slot();
        self.waiting.store(false, Release);
        if let Some(handler) = slot.handler.take() {
            handler.wake();
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The head of an interim answer as HTTP/1.1 writes it.
fn head(status: StatusCode, headers: &HeaderMap) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or("Interim").as_bytes());
    out.put_slice(b"\r\n");
    for (name, value) in headers {
        if *name == http::header::CONTENT_LENGTH || *name == http::header::TRANSFER_ENCODING {
            continue;
        }
        crate::request::canonical(name.as_str(), &mut out);
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
    out.freeze()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // HTTP-18
    #[test]
    fn an_interim_head_has_no_length() {
        let mut headers = HeaderMap::new();
        headers.append("link", "</a.css>; rel=preload".parse().unwrap());
        headers.append("link", "</b.js>".parse().unwrap());
        headers.append("content-length", "5".parse().unwrap());
        assert_eq!(
            &head(StatusCode::EARLY_HINTS, &headers)[..],
            b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>\r\n\r\n"
        );
    }
}
