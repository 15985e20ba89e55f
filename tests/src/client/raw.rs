//! Bytes on a TCP connection: for what no HTTP library would send, and for reading an answer piece by piece.

use super::PATIENCE;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A TCP connection and what has arrived on it.
pub struct Raw {
    stream: TcpStream,
    seen: Vec<u8>,
    ended: bool,
}

impl Raw {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// Connects.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            seen: Vec::new(),
            ended: false,
        })
    }

    /// Sends bytes; false when the peer has closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        let _closed_already = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads until the text is among what has arrived; returns everything so far.
    #[track_caller]
    pub fn read_until(&mut self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        while !self.text().contains(text) {
            assert!(self.step(end), "never came: {text:?}; got {:?}", self.text());
        }
        self.text()
    }

    /// Reads until the peer closes (or resets); returns everything.
    #[track_caller]
    pub fn read_to_end(&mut self) -> String {
        assert!(
            self.closes_within(PATIENCE),
            "the connection stays open; got {:?}",
            self.text()
        );
        self.text()
    }

    /// Whether the peer closes within the bound; what arrives meanwhile is kept.
    pub fn closes_within(&mut self, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        while self.step(end) {}
        self.ended
    }

    /// Everything that has arrived, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Reads once; false at the end of the stream or when the time is over.
    fn step(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        if self.ended || left.is_zero() {
            return false;
        }
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => self.ended = true,
            Ok(n) => self.seen.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return false,
            Err(_reset) => self.ended = true,
        }
        !self.ended
    }
}
