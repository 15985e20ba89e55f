//! Any bytes: no panic, a complete frame lies within its input, and what was read is written again as it was.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use rr_common::frame::{self, Check};

fuzz_target!(|input: &[u8]| {
    let Ok(Check::Complete(head)) = frame::check(input) else {
        return;
    };
    let bytes = &input[..head.total()];
    let frame = frame::parse(head, Bytes::copy_from_slice(bytes));
    assert_eq!(frame.payload.len(), head.payload as usize);
    let mut again = Vec::new();
    frame::encode(&mut again, head.flags, head.stream, frame.options(), &frame.payload);
    // The reserved byte is the only one that is not kept.
    assert_eq!(again[..11], bytes[..11]);
    assert_eq!(again[12..], bytes[12..]);
});
