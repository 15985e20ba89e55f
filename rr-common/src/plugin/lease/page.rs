//! A lent connection and its slot of the page: the steps of a call, each noted before it is taken or by the kernel while it takes it.
//!
//! Nothing but these steps touches the slot while the lease lasts; the supervisor reads it, through the file, when the lease is over.
#![allow(unsafe_code)]

use crate::rpc::lease::{HEAD, Phase, READS, ROOM, SLOT, State, header};
use nix::{
    errno::Errno,
    libc::{self, iovec, mmsghdr},
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
};
use std::{
    ffi::{c_int, c_void},
    fs::File,
    io, mem,
    num::NonZeroUsize,
    os::fd::{AsFd, AsRawFd},
    ptr::NonNull,
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// The page, mapped.
#[derive(Debug)]
pub(super) struct Page {
    start: NonNull<c_void>,
    slots: usize,
}

// SAFETY: it is plain memory, of which each slot belongs to one `Desk` at a time.
unsafe impl Send for Page {}
// SAFETY: as above; the page itself only gives out slots.
unsafe impl Sync for Page {}

/// Where one lent connection is served: its slot.
#[derive(Debug)]
pub(super) struct Desk {
    /// Keeps the slot mapped.
    _page: Arc<Page>,
    slot: NonNull<u8>,
    calls: u32,
    /// Reads of the present call, and the bytes that they brought.
    reads: usize,
    read: usize,
}

// SAFETY: it is the only one that touches its slot.
unsafe impl Send for Desk {}

impl Page {
    /// Maps the supervisor's file, which is sealed: its length stays.
    ///
    /// # Errors
    /// It is empty, or cannot be mapped.
    pub(super) fn map(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(0);
        let slots = length / SLOT;
        let length = NonZeroUsize::new(slots * SLOT).ok_or(io::ErrorKind::InvalidData)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice; no other memory is concerned.
        let start = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, file, 0)? };
        Ok(Self { start, slots })
    }

    /// The slot with that number, which is nobody else's: the supervisor gives it out once at a time.
    pub(super) fn desk(self: &Arc<Self>, number: u32) -> Option<Desk> {
        let number = usize::try_from(number).ok().filter(|number| *number < self.slots)?;
        // SAFETY: the slot lies within the mapping.
        let slot = unsafe { self.start.cast::<u8>().add(number * SLOT) };
        Some(Desk {
            _page: Arc::clone(self),
            slot,
            calls: 0,
            reads: 0,
            read: 0,
        })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and every desk has kept the page alive.
        let _ = unsafe { munmap(self.start, self.slots * SLOT) };
    }
}

impl Desk {
    /// Reads what is there; none when this call has had its number of reads, or its room, already.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when there is nothing.
    pub(super) fn receive(&mut self, socket: &impl AsFd) -> io::Result<Option<usize>> {
        if self.reads == READS || self.read == ROOM {
            return Ok(None);
        }
        let length = self.transfer(self.reads, self.read, ROOM - self.read, |headers| {
            // SAFETY: one header, which with its piece of memory is valid as `transfer` says; no timeout is waited for.
            unsafe {
                libc::recvmmsg(
                    socket.as_fd().as_raw_fd(),
                    headers,
                    1,
                    libc::MSG_DONTWAIT as _,
                    std::ptr::null_mut(),
                )
            }
        })?;
        self.reads += 1;
        self.read += length;
        Ok(Some(length))
    }

    /// Whether the last read found less than there was room for.
    pub(super) fn has_room(&self) -> bool {
        self.read < ROOM
    }

    /// What has been read of the call.
    pub(super) fn input(&self) -> &[u8] {
        // SAFETY: these bytes lie within the slot's room and are not written to while they are borrowed: that takes `&mut self`.
        unsafe { slice::from_raw_parts(self.slot.add(HEAD).as_ptr(), self.read) }
    }

    /// The call begins.
    pub(super) fn begin(&mut self) {
        self.note(Phase::Called, 0);
    }

    /// Sends the answer, if there is room for it; says whether the client took all of it.
    pub(super) fn answer(&mut self, socket: &impl AsFd, answer: &[u8]) -> Option<bool> {
        if answer.len() > ROOM - self.read {
            return None;
        }
        // SAFETY: the place behind the call lies within the slot's room, as just checked, and nobody has borrowed it.
        unsafe {
            let place = self.slot.add(HEAD + self.read).as_ptr();
            std::ptr::copy_nonoverlapping(answer.as_ptr(), place, answer.len());
        }
        self.note(Phase::Answering, answer.len());
        let sent = self.transfer(READS, self.read, answer.len(), |headers| {
            // SAFETY: one header, which with its piece of memory is valid as `transfer` says.
            unsafe {
                libc::sendmmsg(
                    socket.as_fd().as_raw_fd(),
                    headers,
                    1,
                    (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) as _,
                )
            }
        });
        Some(sent.is_ok_and(|sent| sent == answer.len()))
    }

    /// The next call's turn.
    pub(super) fn next(&mut self) {
        self.calls = self.calls.wrapping_add(1);
        for index in 0..=READS {
            // SAFETY: see `header`; a header without pointers and lengths is a valid one.
            unsafe { self.header(index).write(mem::zeroed()) };
        }
        (self.reads, self.read) = (0, 0);
        self.note(Phase::Reading, 0);
    }

    /// Has the kernel move bytes from or to that part of the room, and note their number in the header.
    fn transfer(
        &mut self,
        index: usize,
        from: usize,
        length: usize,
        call: impl Fn(*mut mmsghdr) -> c_int,
    ) -> io::Result<usize> {
        let mut piece = iovec {
            // SAFETY: the callers have checked that the part lies within the room.
            iov_base: unsafe { self.slot.add(HEAD + from) }.as_ptr().cast(),
            iov_len: length,
        };
        let header = self.header(index);
        // SAFETY: see `header`. It points to `piece`, which lives until the call is over; no later call uses this pointer, since each
        // sets its own.
        unsafe {
            (*header).msg_hdr.msg_iov = &raw mut piece;
            (*header).msg_hdr.msg_iovlen = 1;
        }
        loop {
            match Errno::result(call(header)) {
                // SAFETY: as above.
                Ok(_) => return Ok(unsafe { (*header).msg_len } as usize),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A header of the present call. It lies within the slot's head and is aligned, since the slot is.
    fn header(&self, index: usize) -> *mut mmsghdr {
        // SAFETY: `rpc::lease` has checked that all headers lie within the head.
        unsafe { self.slot.add(header(self.calls, index)) }.as_ptr().cast()
    }

    /// Notes the phase, in one store.
    fn note(&self, phase: Phase, answer: usize) {
        let calls = self.calls;
        // SAFETY: the slot's first word, aligned since the slot is, and only ever used as an atomic one.
        let state = unsafe { AtomicU64::from_ptr(self.slot.as_ptr().cast()) };
        state.store(State { phase, answer, calls }.to_word(), Ordering::SeqCst);
    }
}
