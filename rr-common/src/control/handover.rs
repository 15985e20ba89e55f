//! Descriptors that go from one process to another over a Unix socket (SCM_RIGHTS), with a message that says what they are.
//!
//! A message is its length in four bytes and then its bytes; the descriptors travel with the first of them. They come out owned and
//! closed on exec.

use rustix::{
    io::Errno,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        recvmsg, sendmsg,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Most descriptors of a message: the kernel takes no more at once.
pub const MOST: usize = 253;

/// The longest message that is taken.
const LONGEST: usize = 64 * 1024;

/// Room for the descriptors of a message.
const ROOM: usize = rustix::cmsg_space!(ScmRights(MOST));

/// Sends a message with its descriptors, over a socket that blocks (with a time limit, as the caller likes).
///
/// # Errors
/// The peer is gone or does not read; more descriptors or bytes than a message may have.
pub fn send(socket: impl AsFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let too_much = || io::Error::new(io::ErrorKind::InvalidInput, "too much for one message");
    let length = u32::try_from(message.len()).map_err(|_| too_much())?;
    if message.len() > LONGEST || descriptors.len() > MOST {
        return Err(too_much());
    }
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut ancillary = SendAncillaryBuffer::new(&mut room);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(too_much());
    }
    let mut sent = 0;
    while sent < bytes.len() {
        match sendmsg(
            &socket,
            &[IoSlice::new(&bytes[sent..])],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        ) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => {
                sent += more;
                ancillary.clear();
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives a message with its descriptors, over a socket that blocks.
///
/// # Errors
/// The peer is gone, says nothing in time, or talks rubbish.
pub fn receive(socket: impl AsFd) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut descriptors = Vec::new();
    let mut head = [0; 4];
    fill(&socket, &mut head, &mut descriptors)?;
    let length = u32::from_be_bytes(head) as usize;
    if length > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
    }
    let mut message = vec![0; length];
    fill(&socket, &mut message, &mut descriptors)?;
    Ok((message, descriptors))
}

/// Reads until the buffer is full.
fn fill(socket: &impl AsFd, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut ancillary = RecvAncillaryBuffer::new(&mut room);
        let rest = &mut buffer[filled..];
        match recvmsg(
            socket,
            &mut [IoSliceMut::new(rest)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Ok(received) if received.bytes == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => filled += received.bytes,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                descriptors.extend(passed);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
        time::Duration,
    };

    fn pair() -> (UnixStream, UnixStream) {
        let (a, b) = UnixStream::pair().unwrap();
        b.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        (a, b)
    }

    #[test]
    fn descriptors_arrive_with_their_message() {
        let (a, b) = pair();
        let (reader, mut writer) = io::pipe().unwrap();
        send(&a, b"first", &[reader.as_fd()]).unwrap();
        send(&a, b"", &[]).unwrap();
        drop(reader);
        writer.write_all(b"through").unwrap();
        drop(writer);
        let (message, mut descriptors) = receive(&b).unwrap();
        assert_eq!((&message[..], descriptors.len()), (&b"first"[..], 1));
        let mut text = String::new();
        std::fs::File::from(descriptors.remove(0))
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "through");
        assert_eq!(receive(&b).unwrap().0, b"");
    }

    #[test]
    fn rubbish_silence_and_an_end_are_errors() {
        let (mut a, b) = pair();
        a.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert_eq!(receive(&b).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let (mut a, b) = pair();
        a.write_all(&[0, 0, 0, 9, 1]).unwrap();
        b.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        assert!(receive(&b).is_err());
        drop(a);
        assert!(receive(&b).is_err());
        assert!(send(&b, &vec![0; LONGEST + 1], &[]).is_err());
    }
}
