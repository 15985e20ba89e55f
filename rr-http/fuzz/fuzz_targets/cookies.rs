//! Any header as cookies: no panic, each name once.
#![no_main]

use http::{HeaderMap, HeaderValue, header::COOKIE};
use libfuzzer_sys::fuzz_target;
use rr_http::cookies;
use std::collections::HashSet;

fuzz_target!(|text: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in text.split(|&byte| byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(COOKIE, value);
        }
    }
    let mut names = HashSet::new();
    cookies::decode(&headers, |name, value| {
        assert!(value.len() <= text.len());
        assert!(names.insert(name.to_owned()), "{name} twice");
    });
});
