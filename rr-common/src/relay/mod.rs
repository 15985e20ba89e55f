//! The byte channel between us and one worker: its pipes, or a socket that it connects to.
//!
//! - [`Ends`]: the two ends of a channel as plain descriptors, free to move between runtimes
//! - [`Reader`], [`Writer`]: one end, bound to one runtime
//! - [`frames`]: whole frames out of a [`Reader`]
//! - [`outbox`]: whole frames into a worker, in order, without waiting
//! - [`hub`]: where workers connect when the relay is a socket

pub mod frames;
pub mod hub;
pub mod outbox;

use std::{
    fs::File,
    io,
    net::TcpStream as StdTcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    path::PathBuf,
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream, unix::pipe},
};

/// `server.relay`: how workers talk to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The worker's standard input and output.
    Pipes,
    /// A TCP socket: host and port.
    Tcp(String, u16),
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// Why a text names no relay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("server.relay: {0:?} is none of pipes, tcp://host:port, unix://path")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if matches!(text, "pipes" | "") {
            return Ok(Self::Pipes);
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        if rest.is_empty() || rest.contains("://") {
            return Err(bad());
        }
        match scheme {
            "unix" => Ok(Self::Unix(rest.into())),
            "tcp" => {
                let (host, port) = rest.rsplit_once(':').ok_or_else(bad)?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Ok(Self::Tcp(host.to_owned(), port.parse().map_err(|_| bad())?))
            }
            _ => Err(bad()),
        }
    }
}

/// What kind of descriptor answers are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pipe.
    Pipe,
    /// A TCP connection.
    Tcp,
    /// A Unix connection.
    Unix,
}

/// Both ends of a channel, bound to no runtime.
#[derive(Debug)]
pub struct Ends {
    /// What `read` is.
    pub kind: Kind,
    /// Where answers come from.
    pub read: OwnedFd,
    /// Where requests go; never blocks.
    pub write: File,
    /// Bytes that were read already.
    pub early: bytes::BytesMut,
}

/// The end that answers come from, bound to the runtime in whose context it was made.
#[derive(Debug)]
pub enum Reader {
    /// A pipe.
    Pipe(pipe::Receiver),
    /// A TCP connection.
    Tcp(TcpStream),
    /// A Unix connection.
    Unix(UnixStream),
}

impl Reader {
    /// Binds a descriptor to the current runtime.
    ///
    /// # Errors
    /// The descriptor is not of that kind, or the runtime cannot watch it.
    pub fn attach(kind: Kind, fd: OwnedFd) -> io::Result<Self> {
        Ok(match kind {
            Kind::Pipe => Self::Pipe(pipe::Receiver::from_owned_fd(fd)?),
            Kind::Tcp => {
                let stream = StdTcpStream::from(fd);
                stream.set_nonblocking(true)?;
                Self::Tcp(TcpStream::from_std(stream)?)
            }
            Kind::Unix => {
                let stream = StdUnixStream::from(fd);
                stream.set_nonblocking(true)?;
                Self::Unix(UnixStream::from_std(stream)?)
            }
        })
    }

    /// Frees the descriptor from its runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn detach(self) -> io::Result<(Kind, OwnedFd)> {
        Ok(match self {
            Self::Pipe(pipe) => (Kind::Pipe, pipe.into_nonblocking_fd()?),
            Self::Tcp(stream) => (Kind::Tcp, stream.into_std()?.into()),
            Self::Unix(stream) => (Kind::Unix, stream.into_std()?.into()),
        })
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

/// The end that requests go to, bound to the runtime in whose context it was made: for writes that take their time.
#[derive(Debug)]
pub enum Writer {
    /// A pipe.
    Pipe(pipe::Sender),
    /// A TCP connection.
    Tcp(TcpStream),
    /// A Unix connection.
    Unix(UnixStream),
}

impl Writer {
    /// Binds a descriptor to the current runtime.
    ///
    /// # Errors
    /// The descriptor is not of that kind, or the runtime cannot watch it.
    pub fn attach(kind: Kind, fd: OwnedFd) -> io::Result<Self> {
        Ok(match kind {
            Kind::Pipe => Self::Pipe(pipe::Sender::from_owned_fd(fd)?),
            Kind::Tcp => Self::Tcp(TcpStream::from_std(fd.into())?),
            Kind::Unix => Self::Unix(UnixStream::from_std(fd.into())?),
        })
    }
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Pipe(pipe) => Pin::new(pipe).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relays_are_read_as_the_reference_writes_them() {
        let tcp = |host: &str, port| Ok(Address::Tcp(host.into(), port));
        assert_eq!("pipes".parse(), Ok(Address::Pipes));
        assert_eq!("tcp://127.0.0.1:6001".parse(), tcp("127.0.0.1", 6001));
        assert_eq!("tcp://:6001".parse(), tcp("", 6001));
        assert_eq!("tcp://[::1]:6001".parse(), tcp("::1", 6001));
        assert_eq!("unix:///run/rr.sock".parse(), Ok(Address::Unix("/run/rr.sock".into())));
        for bad in ["tcp", "tcp://", "tcp://x", "tcp://x:y", "udp://x:1", "unix://a://b"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
