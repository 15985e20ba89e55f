//! goridge RPC, frame by frame, over one connection that is never made anew: as the public PHP package behaves.

use super::PATIENCE;
use rr_common::frame::flag;
use rr_common::rpc::wire::{self, Look};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// One connection.
pub struct Rpc {
    stream: Stream,
    seen: Vec<u8>,
    /// Answers that came before they were asked for.
    early: HashMap<u32, Answer>,
    sequence: u32,
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The frame's flags.
    pub flags: u8,
    /// The sequence number.
    pub sequence: u32,
    /// The method's name.
    pub method: String,
    /// The result, or the error's text.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The error's text, if it is an error.
    pub fn error(&self) -> Option<String> {
        (self.flags & flag::ERROR != 0).then(|| self.text())
    }

    /// The result as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.error(), None);
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Rpc {
    /// Connects over TCP.
    #[track_caller]
    pub fn tcp(address: SocketAddr) -> Self {
        Self::try_tcp(address).unwrap()
    }

    /// Connects over TCP; none when nobody is there.
    pub fn try_tcp(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Some(Self::over(Stream::Tcp(stream)))
    }

    /// Connects over a Unix socket.
    #[track_caller]
    pub fn unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self::over(Stream::Unix(stream))
    }

    fn over(stream: Stream) -> Self {
        Self {
            stream,
            seen: Vec::new(),
            early: HashMap::new(),
            sequence: 0,
        }
    }

    /// One call with JSON.
    #[track_caller]
    pub fn call(&mut self, method: &str, argument: &Value) -> Answer {
        self.exchange(method, flag::JSON, argument.to_string().as_bytes())
    }

    /// One call with JSON; none when the connection ends or no answer comes.
    pub fn try_call(&mut self, method: &str, argument: &Value) -> Option<Answer> {
        self.sequence += 1;
        let mut frame = Vec::new();
        let body = argument.to_string();
        wire::answer(
            &mut frame,
            flag::JSON,
            self.sequence,
            method.as_bytes(),
            body.as_bytes(),
        );
        let sequence = self.sequence;
        (self.send(&frame) && self.came(sequence, PATIENCE)).then(|| self.answer(sequence))
    }

    /// One call with an encoded argument; waits for its answer.
    #[track_caller]
    pub fn exchange(&mut self, method: &str, codec: u8, body: &[u8]) -> Answer {
        let sequence = self.begin(method, codec, body);
        self.answer(sequence)
    }

    /// Sends a call; its sequence number.
    #[track_caller]
    pub fn begin(&mut self, method: &str, codec: u8, body: &[u8]) -> u32 {
        self.sequence += 1;
        let mut frame = Vec::new();
        wire::answer(&mut frame, codec, self.sequence, method.as_bytes(), body);
        assert!(self.send(&frame), "{method}: the connection is closed");
        self.sequence
    }

    /// Sends bytes; false when the peer has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes).is_ok(),
            Stream::Unix(stream) => stream.write_all(bytes).is_ok(),
        }
    }

    /// Waits for the answer to that call.
    #[track_caller]
    pub fn answer(&mut self, sequence: u32) -> Answer {
        loop {
            if let Some(answer) = self.early.remove(&sequence) {
                return answer;
            }
            let next = self.next_answer();
            self.early.insert(next.sequence, next);
        }
    }

    /// Whether the answer to that call comes within the bound; it is kept for [`Rpc::answer`].
    pub fn came(&mut self, sequence: u32, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        loop {
            if self.early.contains_key(&sequence) {
                return true;
            }
            if matches!(wire::look(&self.seen), Ok(Look::Whole(_))) {
                let next = self.next_answer();
                self.early.insert(next.sequence, next);
            } else if self.read(end) != Some(true) {
                return false;
            }
        }
    }

    /// The next answer, whichever it is.
    #[track_caller]
    pub fn next_answer(&mut self) -> Answer {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Look::Whole(message) = wire::look(&self.seen).unwrap() {
                let frame: Vec<u8> = self.seen.drain(..message.total).collect();
                let name = message.name(&frame);
                return Answer {
                    flags: message.flags,
                    sequence: message.sequence,
                    method: String::from_utf8_lossy(name).into_owned(),
                    body: frame[message.body()..].to_vec(),
                };
            }
            assert_eq!(self.read(end), Some(true), "no answer; so far {:?}", self.seen);
        }
    }

    /// Whether the peer closes within the bound.
    pub fn closes_within(&mut self, bound: Duration) -> bool {
        let end = Instant::now() + bound;
        loop {
            match self.read(end) {
                Some(true) => {}
                Some(false) => return true,
                None => return false,
            }
        }
    }

    /// The bytes that came and are no answer yet.
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// Reads once: true for bytes, false for the end, none when the time is over.
    fn read(&mut self, end: Instant) -> Option<bool> {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let mut piece = [0; 64 * 1024];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => {
                stream.set_read_timeout(Some(left)).unwrap();
                stream.read(&mut piece)
            }
            Stream::Unix(stream) => {
                stream.set_read_timeout(Some(left)).unwrap();
                stream.read(&mut piece)
            }
        };
        match read {
            Ok(0) => Some(false),
            Ok(n) => {
                self.seen.extend_from_slice(&piece[..n]);
                Some(true)
            }
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted) => Some(true),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(_reset) => Some(false),
        }
    }
}
