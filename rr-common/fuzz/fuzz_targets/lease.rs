//! Any bytes as a slot: no panic, and whatever it says lies within its room. A call that it names is a whole one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_common::rpc::{
    lease::{HEAD, ROOM, SLOT, Standing, standing},
    wire::{self, Look},
};

fuzz_target!(|input: &[u8]| {
    let _ = standing(input);
    // The head as it comes, then the room: most inputs are much shorter than a slot.
    let mut slot = vec![0; SLOT];
    let (head, room) = input.split_at(input.len().min(HEAD / 2));
    slot[..head.len()].copy_from_slice(head);
    let length = room.len().min(ROOM);
    slot[HEAD..HEAD + length].copy_from_slice(&room[..length]);
    match standing(&slot) {
        Ok((Standing::Called(frame, message), _)) => {
            assert_eq!(wire::look(frame), Ok(Look::Whole(message)));
            assert_eq!(message.total, frame.len());
        }
        Ok((Standing::Read(bytes) | Standing::Answered(bytes), _)) => assert!(bytes.len() <= ROOM),
        Err(_) => {}
    }
});
