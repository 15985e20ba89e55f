//! A lease: a client's connection in the hands of the plugin that answers all its calls, so that a call wakes one process instead
//! of two in turn.
//!
//! The supervisor keeps its own copy of the descriptor, unwatched, and a file in memory, the *page*, with a [`SLOT`] for each lease. In it
//! the plugin keeps all that it has of the connection: the bytes that it read, and the answer on its way out. How many bytes were
//! read and written is noted there by the kernel, as part of the system call that moves them (`recvmmsg` and `sendmmsg` put
//! the lengths into memory that the caller names). Whatever moment a plugin dies at, the slot so says where the connection stands
//! ([`standing`]): the supervisor takes it back, and its client notices nothing, or an error instead of one answer.
//!
//! A slot begins with a word, the *state*: the phase, the answer's length and the number of calls before. A change of phase is one store to
//! it. The headers that the kernel fills in follow, twice: those of the present call and, by turns, those of the next, which are
//! cleared before the state says that it is their turn.
//!
//! A lease begins and ends with a frame on the plugin's connection for calls, in order with all others there. It has a sequence
//! number like a call, and these instead of a method's name, which no client can send since they have no dot:
//!
//! | Name | Direction | Meaning |
//! |---|---|---|
//! | [`PAGE`] | to the plugin | with a descriptor: the page, before the first lease |
//! | [`LEND`] | to the plugin | with a descriptor: the connection. The body: the slot's number (`u32`), the prefix of the methods that may be answered |
//! | [`BACK`] | to the plugin | the connection is wanted back |
//! | [`BACK`] | from the plugin | here it is; the slot says what to do about it. If it has the phase [`Phase::Called`] the answer follows as that of an ordinary call with this sequence number |

use super::wire::{self, Look, Message};
use nix::libc::mmsghdr;
use std::mem::{offset_of, size_of};

/// The page's descriptor comes with it.
pub const PAGE: &[u8] = b"lease-page";

/// A lease begins.
pub const LEND: &[u8] = b"lease";

/// A lease ends, or is to end.
pub const BACK: &[u8] = b"lease-back";

/// Bytes of a slot. What is never touched costs no memory: a connection with small calls uses one page of it.
pub const SLOT: usize = 16 << 10;

/// Where a slot's call and answer begin.
pub const HEAD: usize = 1024;

/// Room for a call and its answer together.
pub const ROOM: usize = SLOT - HEAD;

/// Reads that a call may arrive in.
pub const READS: usize = 4;

/// Headers of one call: the reads, and one write.
pub const HEADERS: usize = READS + 1;

/// Where the headers begin, behind the state.
const FIRST_HEADER: usize = 64;

const _: () = assert!(FIRST_HEADER + 2 * HEADERS * size_of::<mmsghdr>() <= HEAD);

/// Where a header of the call with this number lies in the slot; the last one is the write's.
pub const fn header(calls: u32, index: usize) -> usize {
    FIRST_HEADER + ((calls & 1) as usize * HEADERS + index) * size_of::<mmsghdr>()
}

/// What the plugin does with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It reads a call, or waits for one.
    Reading,
    /// The call is whole, and its answer is awaited.
    Called,
    /// The answer lies behind the call and goes out.
    Answering,
}

/// A slot's first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The phase.
    pub phase: Phase,
    /// The answer's length.
    pub answer: usize,
    /// Calls that were answered before.
    pub calls: u32,
}

/// The number is no state, or says something that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin's note of a lent connection makes no sense")]
pub struct Damaged;

impl State {
    /// As the word.
    pub fn to_word(self) -> u64 {
        u64::from(self.calls) << 32 | (self.answer as u64 & 0x0FFF_FFFF) << 4 | self.phase as u64
    }

    /// From the word.
    ///
    /// # Errors
    /// It is none.
    pub fn of_word(word: u64) -> Result<Self, Damaged> {
        let phase = match word & 0xF {
            0 => Phase::Reading,
            1 => Phase::Called,
            2 => Phase::Answering,
            _ => return Err(Damaged),
        };
        Ok(Self {
            phase,
            answer: (word >> 4 & 0x0FFF_FFFF) as usize,
            calls: (word >> 32) as u32,
        })
    }
}

/// Where a connection stands when its lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// These bytes have been read, and no call in them has begun.
    Read(&'a [u8]),
    /// This call has begun; nothing of an answer has gone out.
    Called(&'a [u8], Message),
    /// These bytes of the answer are still to go out.
    Answered(&'a [u8]),
}

/// Reads a slot: where the connection stands, and how many calls were answered.
///
/// # Errors
/// It makes no sense. Any bytes may lie in it: it is the plugin's.
pub fn standing(slot: &[u8]) -> Result<(Standing<'_>, u32), Damaged> {
    let word = slot.first_chunk().ok_or(Damaged)?;
    let State { phase, answer, calls } = State::of_word(u64::from_ne_bytes(*word))?;
    let moved = |index| {
        let at = header(calls, index) + offset_of!(mmsghdr, msg_len);
        let bytes = slot.get(at..).and_then(<[u8]>::first_chunk).ok_or(Damaged)?;
        Ok(u32::from_ne_bytes(*bytes) as usize)
    };
    let mut read = 0;
    for index in 0..READS {
        read += moved(index)?;
    }
    let room = slot.get(HEAD..).ok_or(Damaged)?;
    let (call, behind) = room.split_at_checked(read).ok_or(Damaged)?;
    let standing = match phase {
        Phase::Reading => Standing::Read(call),
        Phase::Called => match wire::look(call) {
            Ok(Look::Whole(message)) if message.total == read => Standing::Called(call, message),
            _ => return Err(Damaged),
        },
        Phase::Answering => {
            let answer = behind.get(..answer).ok_or(Damaged)?;
            Standing::Answered(answer.get(moved(READS)?..).ok_or(Damaged)?)
        }
    };
    Ok((standing, calls))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::frame::flag;
    use proptest::prelude::*;

    /// A slot in which the kernel has noted these lengths.
    fn slot(state: State, lengths: &[(usize, u32)], room: &[u8]) -> Vec<u8> {
        let mut slot = vec![0; SLOT];
        slot[..8].copy_from_slice(&state.to_word().to_ne_bytes());
        for (index, length) in lengths {
            let at = header(state.calls, *index) + offset_of!(mmsghdr, msg_len);
            slot[at..at + 4].copy_from_slice(&length.to_ne_bytes());
        }
        slot[HEAD..HEAD + room.len()].copy_from_slice(room);
        slot
    }

    fn state(phase: Phase, answer: usize, calls: u32) -> State {
        State { phase, answer, calls }
    }

    fn call() -> Vec<u8> {
        let mut frame = Vec::new();
        wire::answer(&mut frame, flag::RAW, 7, b"kv.Get", b"key");
        frame
    }

    #[test]
    fn a_slot_that_nobody_has_touched_is_an_idle_connection() {
        assert_eq!(standing(&vec![0; SLOT]), Ok((Standing::Read(b""), 0)));
    }

    #[test]
    fn what_was_read_and_not_begun_is_read_on() {
        let bytes = call();
        for calls in [4, 5] {
            let slot = slot(state(Phase::Reading, 0, calls), &[(0, 10), (1, 8)], &bytes);
            assert_eq!(standing(&slot), Ok((Standing::Read(&bytes[..18]), calls)));
        }
    }

    #[test]
    fn a_call_that_has_begun_is_known_by_its_frame() {
        let bytes = call();
        let whole = bytes.len() as u32;
        let begun = slot(state(Phase::Called, 0, 1), &[(0, 5), (2, whole - 5)], &bytes);
        let (found, _) = standing(&begun).unwrap();
        assert!(matches!(found, Standing::Called(frame, message) if frame == bytes && message.sequence == 7));
        // A phase that does not go with the bytes.
        let cut = slot(state(Phase::Called, 0, 1), &[(0, whole - 1)], &bytes);
        assert_eq!(standing(&cut), Err(Damaged));
    }

    #[test]
    fn of_an_answer_the_rest_is_left() {
        for (sent, rest) in [(0, &b"answer"[..]), (2, b"swer"), (6, b"")] {
            let slot = slot(state(Phase::Answering, 6, 3), &[(0, 4), (READS, sent)], b"callanswer");
            assert_eq!(standing(&slot), Ok((Standing::Answered(rest), 3)));
        }
        let more = slot(state(Phase::Answering, 6, 3), &[(0, 4), (READS, 7)], b"callanswer");
        assert_eq!(standing(&more), Err(Damaged));
    }

    /// The lengths of the call before stay in the other headers and say nothing.
    #[test]
    fn only_the_present_calls_headers_count() {
        let mut slot = slot(state(Phase::Answering, 6, 2), &[(0, 4), (READS, 6)], b"callanswer");
        slot[..8].copy_from_slice(&state(Phase::Reading, 0, 3).to_word().to_ne_bytes());
        assert_eq!(standing(&slot), Ok((Standing::Read(b""), 3)));
    }

    proptest! {
        #[test]
        fn a_state_is_read_as_it_was_written(phase in 0..3_usize, answer in 0..=ROOM, calls: u32) {
            let phase = [Phase::Reading, Phase::Called, Phase::Answering][phase];
            let state = State { phase, answer, calls };
            prop_assert_eq!(State::of_word(state.to_word()), Ok(state));
        }

        #[test]
        fn any_slot_is_judged_without_panic(
            phase in 0..4_u64, answer: u16, lengths in prop::collection::vec(any::<u16>(), HEADERS), length in 0..=SLOT, filler: u8,
        ) {
            let mut slot = vec![filler; SLOT];
            slot[..8].copy_from_slice(&(u64::from(answer) << 4 | phase).to_ne_bytes());
            for (index, length) in lengths.iter().enumerate() {
                let at = header(0, index) + offset_of!(mmsghdr, msg_len);
                slot[at..at + 4].copy_from_slice(&u32::from(*length).to_ne_bytes());
            }
            if let Ok((Standing::Read(bytes) | Standing::Answered(bytes) | Standing::Called(bytes, _), _)) = standing(&slot[..length]) {
                prop_assert!(bytes.len() <= ROOM);
            }
        }
    }
}
