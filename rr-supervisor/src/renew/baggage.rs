//! What one program of the supervisor hands to the next in the same process: descriptors, bytes, and words about them.
//!
//! Each room packs what it keeps as one value of its own under its name ([`Baggage::put`]), in which a [`Descriptor`] stands for a
//! descriptor and a [`Span`] for bytes; the room of the next program takes it out again ([`Baggage::take`]). A room that finds nothing,
//! because the program before did not know it yet, begins as at any start.
//!
//! It travels in a Unix socket that the next program inherits: first a memory file with the words, then all descriptors in their
//! order. The words are JSON behind their length, and behind that are the bytes.

use nix::sys::memfd::{MFdFlags, memfd_create};
use rr_common::control::handover::{self, MOST};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Duration,
};

/// The version of the format. What single rooms pack may grow without a new one.
pub(crate) const VERSION: u32 = 2;

/// How long a step may take: nobody has to be waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most that there may be of words and bytes.
const LONGEST: u64 = 4 << 30;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Baggage {
    rooms: BTreeMap<String, Value>,
    bytes: Vec<u8>,
    /// Those that have been taken out are gone.
    descriptors: Vec<Option<OwnedFd>>,
}

/// A descriptor among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor(usize);

/// Some of the bytes: where they begin, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span(usize, usize);

/// The words.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Words {
    version: u32,
    descriptors: usize,
    rooms: BTreeMap<String, Value>,
}

impl Baggage {
    /// Packs what a room keeps.
    ///
    /// # Errors
    /// It cannot be put into words.
    pub(crate) fn put(&mut self, room: &str, kept: &impl Serialize) -> io::Result<()> {
        self.rooms.insert(room.to_owned(), serde_json::to_value(kept)?);
        Ok(())
    }

    /// What the room of the program before has packed; nothing, if it has packed none or speaks in other words.
    pub(crate) fn take<T: DeserializeOwned + Default>(&mut self, room: &str) -> T {
        let Some(words) = self.rooms.remove(room) else {
            return T::default();
        };
        serde_json::from_value(words).unwrap_or_else(|error| {
            tracing::error!(target: "supervisor", room, "what the program before has kept is lost: {error}");
            T::default()
        })
    }

    /// Packs a descriptor.
    pub(crate) fn add(&mut self, descriptor: OwnedFd) -> Descriptor {
        self.descriptors.push(Some(descriptor));
        Descriptor(self.descriptors.len() - 1)
    }

    /// A descriptor that was packed; each comes out once.
    pub(crate) fn descriptor(&mut self, which: Descriptor) -> Option<OwnedFd> {
        self.descriptors.get_mut(which.0)?.take()
    }

    /// Packs bytes.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) -> Span {
        let span = Span(self.bytes.len(), bytes.len());
        self.bytes.extend_from_slice(bytes);
        span
    }

    /// All bytes that were packed.
    #[cfg(test)]
    pub(crate) fn all_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes that were packed.
    pub(crate) fn bytes(&self, which: Span) -> Option<&[u8]> {
        self.bytes.get(which.0..)?.get(..which.1)
    }
}

/// Sends it; the socket keeps it until somebody receives it.
///
/// # Errors
/// More than a socket holds, or than the kernel lets travel.
pub(crate) fn send(socket: &UnixStream, baggage: &Baggage) -> io::Result<()> {
    socket.set_write_timeout(Some(PATIENCE))?;
    // One that was taken out cannot travel, and the others must keep their numbers.
    let all: Option<Vec<BorrowedFd<'_>>> = baggage
        .descriptors
        .iter()
        .map(|descriptor| descriptor.as_ref().map(AsFd::as_fd))
        .collect();
    let all = all.ok_or_else(|| io::Error::other("a descriptor is missing"))?;
    let words = Words {
        version: VERSION,
        descriptors: all.len(),
        rooms: baggage.rooms.clone(),
    };
    let mut file = File::from(memfd_create("rr-self", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(&encode(&words)?)?;
    file.write_all(&baggage.bytes)?;
    handover::send(socket, b"", &[file.as_fd()])?;
    all.chunks(MOST).try_for_each(|some| handover::send(socket, b"", some))
}

/// Receives what the program before us has sent.
///
/// # Errors
/// It is not what [`send`] sends.
pub(crate) fn receive(socket: &UnixStream) -> io::Result<Baggage> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let file = handover::receive(socket)?
        .1
        .pop()
        .ok_or_else(|| invalid("is missing"))?;
    let mut bytes = Vec::new();
    let mut file = File::from(file);
    file.seek(SeekFrom::Start(0))?;
    file.take(LONGEST).read_to_end(&mut bytes)?;
    let (words, rest) = decode(&bytes)?;
    let mut descriptors = Vec::new();
    while descriptors.len() < words.descriptors {
        descriptors.extend(handover::receive(socket)?.1.into_iter().map(Some));
    }
    let rest = rest.len();
    bytes.drain(..bytes.len() - rest);
    Ok(Baggage {
        rooms: words.rooms,
        bytes,
        descriptors,
    })
}

fn invalid(what: &str) -> io::Error {
    let text = format!("what the program before handed over {what}");
    io::Error::new(io::ErrorKind::InvalidData, text)
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
    let short = || invalid("is cut off");
    let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
    let length = u32::from_be_bytes(*length) as usize;
    let (json, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    let words: Words = serde_json::from_slice(json)?;
    match words.version {
        VERSION => Ok((words, rest)),
        other => Err(invalid(&format!(
            "has version {other}, this program reads version {VERSION}"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a room keeps.
    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Kept {
        count: u64,
        files: Vec<(Descriptor, Span)>,
    }

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
    fn all_of_it_arrives() {
        let mut baggage = Baggage::default();
        let mut kept = Kept {
            count: 3,
            ..Kept::default()
        };
        for n in 0..MOST + 20 {
            let descriptor = baggage.add(marked(&format!("file {n}")));
            kept.files.push((descriptor, baggage.add_bytes(&vec![n as u8; n])));
        }
        baggage.put("room", &kept).unwrap();
        baggage.put("other", &"else").unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&ours, &baggage).unwrap();
        drop((ours, baggage));
        let mut arrived = receive(&theirs).unwrap();
        assert_eq!(arrived.take::<Kept>("room"), kept);
        assert_eq!(arrived.take::<Kept>("room"), Kept::default(), "once");
        assert_eq!(arrived.take::<Kept>("other"), Kept::default(), "in other words");
        assert_eq!(arrived.take::<Kept>("unknown"), Kept::default());
        for (n, (descriptor, span)) in kept.files.into_iter().enumerate() {
            assert_eq!(arrived.bytes(span).unwrap(), vec![n as u8; n]);
            assert_eq!(mark(arrived.descriptor(descriptor).unwrap()), format!("file {n}"));
            assert!(arrived.descriptor(descriptor).is_none(), "once");
        }
    }

    #[test]
    fn what_names_nothing_is_nothing() {
        let mut baggage = Baggage::default();
        let span = baggage.add_bytes(b"abc");
        assert_eq!(baggage.bytes(span), Some(&b"abc"[..]));
        for span in [Span(0, 4), Span(4, 0), Span(usize::MAX, 1), Span(1, usize::MAX)] {
            assert_eq!(baggage.bytes(span), None, "{span:?}");
        }
        assert!(baggage.descriptor(Descriptor(0)).is_none());
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
            descriptors in any::<usize>(),
            room in ".*",
            cut in 0..200_usize,
        ) {
            let _ = decode(&bytes);
            let rooms = [(room.clone(), Value::from(room))].into();
            let words = Words { version: VERSION, descriptors, rooms };
            let whole = encode(&words).unwrap();
            prop_assert_eq!(&decode(&whole).unwrap().0, &words);
            prop_assert!(decode(&whole[..cut.min(whole.len() - 1)]).is_err());
        }
    }
}
