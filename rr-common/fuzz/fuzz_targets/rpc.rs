//! Any bytes as calls: no panic, every part lies within its frame, and a frame that is passed on differs in its number only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_common::rpc::wire::{self, CALL_HEADER, Look, MAX_FRAME};

fuzz_target!(|input: &[u8]| {
    let _ = wire::begun(input);
    let mut rest = input;
    loop {
        match wire::look(rest) {
            Err(_) => return,
            Ok(Look::Incomplete(need)) => {
                assert!(need > rest.len());
                return;
            }
            Ok(Look::TooLong(message)) => {
                assert!(message.total > MAX_FRAME && message.name(rest).len() <= rest.len());
                return;
            }
            Ok(Look::Whole(message)) => {
                let (frame, behind) = rest.split_at(message.total);
                assert!(message.name(frame).len() <= frame.len() - CALL_HEADER);
                if let Ok(method) = message.method(frame) {
                    assert!(message.body() <= frame.len() && wire::split(method).is_some());
                }
                let mut passed_on = frame.to_vec();
                wire::renumber(&mut passed_on, 7);
                assert_eq!(passed_on[..12], frame[..12]);
                assert_eq!(passed_on[16..], frame[16..]);
                assert!(matches!(wire::look(&passed_on), Ok(Look::Whole(again)) if again.sequence == 7));
                rest = behind;
            }
        }
    }
});
