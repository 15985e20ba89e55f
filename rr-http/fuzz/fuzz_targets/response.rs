//! Any context as the head of an answer: no panic, never more headers than bytes, and only what HTTP can carry.
#![no_main]

use bytes::Bytes;
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use rr_http::response;

fuzz_target!(|context: &[u8]| {
    let mut headers = HeaderMap::new();
    if let Ok(head) = response::decode(&Bytes::copy_from_slice(context), &mut headers) {
        assert!(headers.len() + head.dropped <= context.len());
    }
    for value in headers.values() {
        assert!(!value.as_bytes().contains(&b'\n') && !value.as_bytes().contains(&b'\r'));
    }
});
