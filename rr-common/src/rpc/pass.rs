//! Descriptors that go with bytes over a Unix socket. The kernel hands them over as bare numbers, which become owned ones here.
#![allow(unsafe_code)]

use nix::{
    cmsg_space,
    sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
};

/// A descriptor came with the bytes. None: it found no place in this process and was lost on the way.
pub type Passed = Option<OwnedFd>;

/// Sends bytes, and the descriptor with the first of them.
pub(super) fn send(socket: &impl AsFd, bytes: &[u8], descriptor: &impl AsFd) -> io::Result<usize> {
    let numbers = [descriptor.as_fd().as_raw_fd()];
    let passed = [ControlMessage::ScmRights(&numbers)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], &passed, flags, None)?;
    Ok(sent)
}

/// Receives bytes, and the descriptor that came with them. The kernel ends a read behind bytes that brought one, so that there is at
/// most one, and it belongs to the last message that began in these bytes.
pub(super) fn receive(socket: &impl AsFd, room: &mut [u8]) -> io::Result<(usize, Option<Passed>)> {
    let mut space = cmsg_space!(RawFd);
    let mut pieces = [IoSliceMut::new(room)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut pieces, Some(&mut space), flags)?;
    let Ok(parts) = message.cmsgs() else {
        return Ok((message.bytes, Some(None)));
    };
    let mut passed = None;
    for part in parts {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            for number in numbers {
                // SAFETY: the kernel has just opened this descriptor for us, and each number is taken once.
                passed = Some(Some(unsafe { OwnedFd::from_raw_fd(number) }));
            }
        }
    }
    Ok((message.bytes, passed))
}
