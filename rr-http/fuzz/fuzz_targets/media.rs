//! Any bytes as a media type with parameters: no panic, and no parameter longer than its text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_http::body::media;

fuzz_target!(|text: &[u8]| {
    let Ok(media_type) = media::parse(text) else { return };
    for name in ["name", "filename", "boundary", "a"] {
        assert!(media_type.param(name).is_none_or(|value| value.len() <= text.len()));
    }
});
