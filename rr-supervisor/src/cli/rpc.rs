//! A small goridge RPC client: blocking, every wait bounded, several calls in flight at once.

use bytes::Bytes;
use rr_common::{
    frame::{self, BadFrame, Check, flag},
    listen::Address,
    rpc::{CallError, Codec, decode, encode},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// How long the server may take to accept, and to take what we write.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take to answer what it knows already; a little longer than it waits for its plugins.
pub(super) const QUICK: Duration = Duration::from_secs(15);
/// Largest answer.
const MAX_ANSWER: usize = 64 << 20;

/// Why a call failed; one line for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    /// Nobody is there.
    #[error("cannot connect to the server at {address}: {error}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the server at {address} broke: {error}")]
    Broken {
        /// Where.
        address: String,
        /// How.
        error: io::Error,
    },
    /// No answer in time.
    #[error("the server at {address} did not answer within {within:?}")]
    Late {
        /// Where.
        address: String,
        /// How long was waited.
        within: Duration,
    },
    /// Somebody else listens there.
    #[error("whoever listens at {address} does not speak goridge RPC: {reason}")]
    Foreign {
        /// Where.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The server's own words.
    #[error("{0}")]
    Answer(String),
    /// An argument or a result that does not fit.
    #[error("{0}")]
    Value(#[from] CallError),
}

/// A connection to the server.
#[derive(Debug)]
pub(super) struct Client {
    stream: Stream,
    address: String,
    sequence: u32,
    unread: Vec<u8>,
}

/// The answer to a call, or the server's error.
pub(super) type Answered = (u32, Result<Bytes, RpcError>);

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Client {
    /// Connects.
    pub(super) fn connect(address: &Address) -> Result<Self, RpcError> {
        let shown = match address {
            Address::Tcp(address) => format!("tcp://{address}"),
            unix => unix.to_string(),
        };
        match Stream::connect(address) {
            Ok(stream) => Ok(Self {
                stream,
                address: shown,
                sequence: 0,
                unread: Vec::new(),
            }),
            Err(error) => Err(RpcError::Connect { address: shown, error }),
        }
    }

    /// Calls a method with plain values.
    pub(super) fn call<T: Serialize, R: DeserializeOwned + Default>(
        &mut self,
        method: &str,
        argument: &T,
        within: Duration,
    ) -> Result<R, RpcError> {
        self.start(method, Codec::Json, &encode(Codec::Json, argument)?)?;
        let (_, answer) = self.answer(within)?;
        Ok(decode(Codec::Json, &answer?)?)
    }

    /// Calls a method with protobuf messages.
    pub(super) fn call_message<M: prost::Message, R: prost::Message + Default>(
        &mut self,
        method: &str,
        argument: &M,
        within: Duration,
    ) -> Result<R, RpcError> {
        self.start(method, Codec::Proto, &argument.encode_to_vec())?;
        let (_, answer) = self.answer(within)?;
        R::decode(answer?).map_err(|error| self.foreign(error.to_string()))
    }

    /// Sends a call without waiting; the number is found again in [`Client::answer`].
    pub(super) fn start(&mut self, method: &str, codec: Codec, argument: &[u8]) -> Result<u32, RpcError> {
        self.sequence += 1;
        let payload = [method.as_bytes(), argument].concat();
        let mut frame = Vec::with_capacity(frame::MAX_HEADER + payload.len());
        // No method's name is that long.
        let length = u32::try_from(method.len()).unwrap_or(u32::MAX);
        frame::encode(&mut frame, codec.flag(), 0, &[self.sequence, length], &payload);
        self.stream.write_all(&frame).map_err(|error| self.broken(error))?;
        Ok(self.sequence)
    }

    /// The next answer, whichever call it belongs to.
    pub(super) fn answer(&mut self, within: Duration) -> Result<Answered, RpcError> {
        let end = Instant::now() + within;
        loop {
            match frame::check(&self.unread) {
                Ok(Check::Complete(head)) => {
                    let rest = self.unread.split_off(head.total());
                    let whole = std::mem::replace(&mut self.unread, rest);
                    return self.read(&frame::parse(head, whole.into()));
                }
                Ok(Check::Incomplete(needed)) if needed > MAX_ANSWER => {
                    return Err(self.foreign(format!("an answer of {needed} bytes")));
                }
                Ok(Check::Incomplete(_)) => self.fill(end, within)?,
                Err(error @ (BadFrame::Start(_) | BadFrame::Checksum { .. })) => {
                    return Err(self.foreign(error.to_string()));
                }
            }
        }
    }

    fn read(&self, frame: &frame::Frame) -> Result<Answered, RpcError> {
        let &[sequence, length] = frame.options() else {
            return Err(self.foreign("an answer without its number".into()));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > frame.payload.len() {
            return Err(self.foreign("an answer without its method".into()));
        }
        let body = frame.payload.slice(length..);
        Ok(match frame.head.flags & flag::ERROR {
            0 => (sequence, Ok(body)),
            _ => (
                sequence,
                Err(RpcError::Answer(String::from_utf8_lossy(&body).into_owned())),
            ),
        })
    }

    fn fill(&mut self, end: Instant, within: Duration) -> Result<(), RpcError> {
        let late = |address: &str| RpcError::Late {
            address: address.to_owned(),
            within,
        };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late(&self.address));
        }
        let mut piece = [0; 16 * 1024];
        let read = self.stream.read(&mut piece, left);
        match read {
            Ok(0) => Err(self.broken(io::ErrorKind::UnexpectedEof.into())),
            Ok(count) => {
                self.unread.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(late(&self.address)),
                io::ErrorKind::Interrupted => Ok(()),
                _ => Err(self.broken(error)),
            },
        }
    }

    fn broken(&self, error: io::Error) -> RpcError {
        let address = self.address.clone();
        RpcError::Broken { address, error }
    }

    fn foreign(&self, reason: String) -> RpcError {
        let address = self.address.clone();
        RpcError::Foreign { address, reason }
    }
}

impl Stream {
    fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect_timeout(&reachable(*address), PATIENCE)?;
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Tcp(stream))
            }
            Address::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Unix(stream))
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn read(&mut self, buffer: &mut [u8], within: Duration) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(within))?;
                stream.read(buffer)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(within))?;
                stream.read(buffer)
            }
        }
    }
}

/// Where a server that listens on every address is reached from here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{net::TcpListener, thread};

    /// A server that reads the first call and answers with these bytes.
    fn answering(bytes: Vec<u8>) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut call = [0; 64];
            let _ = stream.read(&mut call).unwrap();
            stream.write_all(&bytes).unwrap();
        });
        Client::connect(&Address::Tcp(address)).unwrap()
    }

    fn frame(flags: u8, options: &[u32], payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame::encode(&mut bytes, flags, 0, options, payload);
        bytes
    }

    #[test]
    fn answers_are_matched_by_their_number() {
        let both = [
            frame(flag::JSON, &[2, 3], b"a.B\"second\""),
            frame(flag::JSON | flag::ERROR, &[1, 3], b"a.Bno such thing"),
        ];
        let mut client = answering(both.concat());
        assert_eq!(client.start("a.B", Codec::Json, b"1").unwrap(), 1);
        assert_eq!(client.start("a.B", Codec::Json, b"2").unwrap(), 2);
        let (number, answer) = client.answer(QUICK).unwrap();
        assert_eq!((number, answer.unwrap().as_ref()), (2, b"\"second\"".as_ref()));
        let (number, answer) = client.answer(QUICK).unwrap();
        assert_eq!((number, answer.unwrap_err().to_string()), (1, "no such thing".into()));
    }

    #[test]
    fn whoever_listens_there_is_told_from_a_server() {
        for (bytes, text) in [
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
                "does not speak goridge RPC",
            ),
            (frame(flag::JSON, &[1], b"x"), "without its number"),
            (frame(flag::JSON, &[1, 99], b"x"), "without its method"),
            (vec![0x15, 8], "broke"),
        ] {
            let error = answering(bytes).call::<_, String>("a.B", &true, QUICK).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_silent_server_is_not_waited_for_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        let mut client = Client::connect(&address).unwrap();
        let answer = client.call::<_, String>("a.B", &true, Duration::from_millis(20));
        assert!(matches!(answer, Err(RpcError::Late { .. })));
        drop((client, listener));
        let error = Client::connect(&address).unwrap_err().to_string();
        assert!(
            error.contains("cannot connect to the server at tcp://127.0.0.1:"),
            "{error}"
        );
        assert!(error.contains("refused"), "{error}");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), begin: bool) {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut client = Client {
                stream: Stream::Unix(ours),
                address: "here".into(),
                sequence: 0,
                unread: Vec::new(),
            };
            let whole = if begin { frame(flag::JSON, &[1, 3], &bytes) } else { bytes };
            theirs.write_all(&whole).unwrap();
            drop(theirs);
            let _ = client.answer(QUICK);
        }
    }

    #[test]
    fn any_address_means_this_host() {
        assert_eq!(reachable("0.0.0.0:6001".parse().unwrap()).to_string(), "127.0.0.1:6001");
        assert_eq!(reachable("[::]:6001".parse().unwrap()).to_string(), "[::1]:6001");
        assert_eq!(reachable("10.0.0.1:6001".parse().unwrap()).to_string(), "10.0.0.1:6001");
    }
}
