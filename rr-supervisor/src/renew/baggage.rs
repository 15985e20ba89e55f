//! What one program of the supervisor hands to the next in the same process: descriptors, and words about them.
//!
//! It travels in a Unix socket that the next program inherits: first a memory file with the words, then all descriptors in their
//! order. The words are JSON behind their length, and behind that the bytes that clients have sent and nobody has taken yet.

use nix::sys::memfd::{MFdFlags, memfd_create};
use rr_common::control::handover::{self, MOST};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// How long a step may take: nobody has to be waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most that there may be of words and bytes.
const LONGEST: u64 = 4 << 30;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Baggage {
    /// Times that this process has become another program.
    pub renewals: u64,
    /// The lock of the control directory.
    pub lock: Option<OwnedFd>,
    /// Listening sockets.
    pub listeners: Vec<OwnedFd>,
    /// Our ends of the plugins' sockets for log lines.
    pub logs: Vec<OwnedFd>,
    /// Connections of RPC clients.
    pub clients: Vec<Parcel>,
}

/// The connection of an RPC client, between two calls.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The socket.
    pub socket: OwnedFd,
    /// Bytes that were read from it and belong to calls that nobody has taken.
    pub unread: Vec<u8>,
    /// Bytes of a refused call that are still to come.
    pub skip: usize,
}

/// The words about the descriptors.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Words {
    version: u32,
    renewals: u64,
    lock: bool,
    listeners: usize,
    logs: usize,
    /// Unread bytes and bytes to be skipped of each client.
    clients: Vec<(usize, usize)>,
}

impl Words {
    fn descriptors(&self) -> Option<usize> {
        usize::from(self.lock)
            .checked_add(self.listeners)?
            .checked_add(self.logs)?
            .checked_add(self.clients.len())
    }
}

/// Sends it; the socket keeps it until somebody receives it.
///
/// # Errors
/// More than a socket holds, or than the kernel lets travel.
pub(crate) fn send(socket: &UnixStream, baggage: &Baggage) -> io::Result<()> {
    socket.set_write_timeout(Some(PATIENCE))?;
    let words = Words {
        version: VERSION,
        renewals: baggage.renewals,
        lock: baggage.lock.is_some(),
        listeners: baggage.listeners.len(),
        logs: baggage.logs.len(),
        clients: baggage
            .clients
            .iter()
            .map(|client| (client.unread.len(), client.skip))
            .collect(),
    };
    let mut file = File::from(memfd_create("rr-self", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&encode(&words)?)?;
    for client in &baggage.clients {
        file.write_all(&client.unread)?;
    }
    handover::send(socket, b"", &[file.as_fd()])?;
    let clients = baggage.clients.iter().map(|client| &client.socket);
    let all: Vec<BorrowedFd<'_>> = baggage
        .lock
        .iter()
        .chain(&baggage.listeners)
        .chain(&baggage.logs)
        .chain(clients)
        .map(AsFd::as_fd)
        .collect();
    all.chunks(MOST).try_for_each(|some| handover::send(socket, b"", some))
}

/// Receives what the program before us has sent.
///
/// # Errors
/// It is not what [`send`] sends.
pub(crate) fn receive(socket: &UnixStream) -> io::Result<Baggage> {
    let invalid = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "what the program before handed over is incomplete",
        )
    };
    socket.set_read_timeout(Some(PATIENCE))?;
    let file = handover::receive(socket)?.1.pop().ok_or_else(invalid)?;
    let mut bytes = Vec::new();
    let mut file = File::from(file);
    file.seek(SeekFrom::Start(0))?;
    file.take(LONGEST).read_to_end(&mut bytes)?;
    let (words, mut rest) = decode(&bytes)?;
    let mut descriptors = Vec::new();
    while descriptors.len() < words.descriptors().ok_or_else(invalid)? {
        descriptors.append(&mut handover::receive(socket)?.1);
    }
    let mut descriptors = descriptors.into_iter();
    let mut next = |count: usize| -> Vec<OwnedFd> { descriptors.by_ref().take(count).collect() };
    let lock = next(usize::from(words.lock)).pop();
    let (listeners, logs) = (next(words.listeners), next(words.logs));
    let mut clients = Vec::new();
    for (socket, (unread, skip)) in next(words.clients.len()).into_iter().zip(words.clients) {
        let (own, others) = rest.split_at_checked(unread).ok_or_else(invalid)?;
        rest = others;
        clients.push(Parcel {
            socket,
            unread: own.to_vec(),
            skip,
        });
    }
    Ok(Baggage {
        renewals: words.renewals,
        lock,
        listeners,
        logs,
        clients,
    })
}

fn encode(words: &Words) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(words)?;
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(&json);
    Ok(bytes)
}

/// The words, and what is behind them.
fn decode(bytes: &[u8]) -> io::Result<(Words, &[u8])> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    let short = || invalid("what the program before handed over is cut off");
    let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (json, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    let words: Words = serde_json::from_slice(json)?;
    match words.version {
        VERSION => Ok((words, rest)),
        other => Err(invalid(&format!(
            "what the program before handed over has version {other}, this program reads version {VERSION}"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A descriptor that is known again by what is in it.
    fn marked(text: &str) -> OwnedFd {
        let mut file = File::from(memfd_create("test", MFdFlags::MFD_CLOEXEC).unwrap());
        file.write_all(text.as_bytes()).unwrap();
        file.into()
    }

    fn mark(descriptor: OwnedFd) -> String {
        let mut text = String::new();
        let mut file = File::from(descriptor);
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn all_of_it_arrives_in_order() {
        let clients = |count: usize| {
            let client = |n: usize| Parcel {
                socket: marked(&format!("client {n}")),
                unread: vec![n as u8; n],
                skip: n * 2,
            };
            (0..count).map(client).collect()
        };
        let baggage = Baggage {
            renewals: 3,
            lock: Some(marked("lock")),
            listeners: vec![marked("listener")],
            logs: vec![marked("log 1"), marked("log 2")],
            clients: clients(MOST + 20),
        };
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, &baggage).unwrap();
        drop((ours, baggage));
        let arrived = receive(&theirs).unwrap();
        assert_eq!(arrived.renewals, 3);
        assert_eq!(arrived.lock.map(mark).as_deref(), Some("lock"));
        assert_eq!(
            arrived.listeners.into_iter().map(mark).collect::<Vec<_>>(),
            ["listener"]
        );
        assert_eq!(
            arrived.logs.into_iter().map(mark).collect::<Vec<_>>(),
            ["log 1", "log 2"]
        );
        assert_eq!(arrived.clients.len(), MOST + 20);
        for (n, client) in arrived.clients.into_iter().enumerate() {
            assert_eq!((client.unread, client.skip), (vec![n as u8; n], n * 2));
            assert_eq!(mark(client.socket), format!("client {n}"));
        }
    }

    #[test]
    fn a_cut_off_one_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(receive(&theirs).is_err());
        let other = Words {
            version: VERSION + 1,
            ..Words::default()
        };
        assert!(decode(&encode(&other).unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_words_or_an_error(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            clients in prop::collection::vec((any::<usize>(), any::<usize>()), 0..5),
            cut in 0..200_usize,
        ) {
            let _ = decode(&bytes);
            let words = Words { version: VERSION, clients, ..Words::default() };
            let whole = encode(&words).unwrap();
            prop_assert_eq!(&decode(&whole).unwrap().0, &words);
            prop_assert!(decode(&whole[..cut.min(whole.len() - 1)]).is_err());
        }
    }
}
