//! Any headers as a trace's: no panic, and what is written for PHP is read back as the same place.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use rr_otel::propagate;

fuzz_target!(|text: &[u8]| {
    let mut headers = HeaderMap::new();
    let names = ["traceparent", "tracestate", "uber-trace-id"];
    for (name, line) in names.into_iter().zip(text.split(|&byte| byte == b'\n')) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let Some(parent) = propagate::extract(&headers) else {
        return;
    };
    assert!(parent.state.len() <= text.len());
    propagate::inject(parent.place, parent.flags, parent.debug, &mut headers);
    let again = propagate::extract(&headers).map(|again| (again.place, again.flags & propagate::SAMPLED, again.debug));
    let sampled = parent.flags & propagate::SAMPLED;
    assert_eq!(again, Some((parent.place, sampled, parent.debug)));
});
