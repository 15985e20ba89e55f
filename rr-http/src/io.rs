//! The bytes of one connection: TCP or Unix, plain or TLS, as one type, so that one copy of the HTTP code serves all.
//!
//! On the way it tells the [`Connection`] about progress, gives back bytes that were read ahead to find out the protocol,
//! and sends interim (1xx) answers of HTTP/1.1 at the one moment when that is right: when all earlier bytes are out.

use crate::{connection::Connection, hints::Interim};
use bytes::{Buf, Bytes};
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Sleep, sleep},
};
use tokio_rustls::server::TlsStream;

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket, or TLS on it.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

/// The bytes of one connection.
#[derive(Debug)]
pub(crate) struct Io {
    transport: Transport,
    ahead: Bytes,
    connection: Arc<Connection>,
    interim: Arc<Interim>,
    linger: Option<Linger>,
}

/// The last look at a client that still sends what no one will read: if we closed at once, the kernel would answer with a
/// reset, which may overtake our answer.
#[derive(Debug)]
struct Linger {
    end: Pin<Box<Sleep>>,
    left: usize,
}

impl Linger {
    const TIME: Duration = Duration::from_secs(1);
    const BYTES: usize = 4 << 20;
}

/// Calls one method on whichever variant there is.
macro_rules! each {
    ($self:expr, $kind:ident::{$($variant:ident),+}, $inner:ident => $call:expr) => {
        match $self { $($kind::$variant($inner) => $call),+ }
    };
}

impl Socket {
    /// Ready when there is something to read, be it the end. It looks instead of asking for readiness, which the runtime
    /// assumes of a new socket. (A Unix socket cannot be looked at; its clients are proxies that send at once.)
    pub(crate) fn poll_first_byte(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map_ok(drop),
            Self::Unix(_) => Poll::Ready(Ok(())),
        }
    }
}

impl Io {
    pub(crate) fn new(transport: Transport, connection: Arc<Connection>, interim: Arc<Interim>) -> Self {
        Self {
            transport,
            ahead: Bytes::new(),
            connection,
            interim,
            linger: None,
        }
    }

    /// Puts bytes back that were read.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }

    /// Throws away what still comes, until the client closes, or it was enough.
    fn poll_linger(&mut self, cx: &mut Context<'_>) {
        let Some(linger) = &mut self.linger else { return };
        let mut waste = [0; 8 * 1024];
        while linger.left > 0 && linger.end.as_mut().poll(cx).is_pending() {
            let mut waste = ReadBuf::new(&mut waste);
            match Pin::new(&mut self.transport).poll_read(cx, &mut waste) {
                Poll::Ready(Ok(())) if !waste.filled().is_empty() => {
                    linger.left = linger.left.saturating_sub(waste.filled().len());
                }
                Poll::Ready(_) => break,
                Poll::Pending => return,
            }
        }
        linger.left = 0;
    }

    fn noted<T>(&self, result: Poll<T>) -> Poll<T> {
        self.connection.wrote(result.is_pending());
        result
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = self.interim.take();
        while bytes.has_remaining() {
            match Pin::new(&mut self.transport).poll_write(cx, &bytes) {
                Poll::Ready(Ok(n)) if n > 0 => bytes.advance(n),
                Poll::Ready(Ok(_)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.interim.put_back(bytes);
                    return Poll::Pending;
                }
            }
        }
        self.interim.sent();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let n = self.ahead.len().min(buf.remaining());
            buf.put_slice(&self.ahead.split_to(n));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.connection.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.noted(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.noted(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.waiting() {
            let result = self.poll_interim(cx);
            ready!(self.noted(result))?;
        }
        let result = Pin::new(&mut self.transport).poll_flush(cx);
        self.noted(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            let result = Pin::new(&mut self.transport).poll_shutdown(cx);
            ready!(self.noted(result))?;
            if !self.connection.unread() {
                return Poll::Ready(Ok(()));
            }
            self.linger = Some(Linger {
                end: Box::pin(sleep(Linger::TIME)),
                left: Linger::BYTES,
            });
        }
        self.poll_linger(cx);
        match &self.linger {
            Some(linger) if linger.left > 0 => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), Self::{Plain, Tls}, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), Self::{Plain, Tls}, inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), Self::{Plain, Tls}, inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, Self::{Plain, Tls}, inner => inner.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), Self::{Plain, Tls}, inner => Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), Self::{Plain, Tls}, inner => Pin::new(inner).poll_shutdown(cx))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), Self::{Tcp, Unix}, inner => Pin::new(inner).poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), Self::{Tcp, Unix}, inner => Pin::new(inner).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), Self::{Tcp, Unix}, inner => Pin::new(inner).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), Self::{Tcp, Unix}, inner => Pin::new(inner).poll_shutdown(cx))
    }
}
