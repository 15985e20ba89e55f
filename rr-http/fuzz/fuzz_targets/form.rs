//! Any bytes as an urlencoded form: no panic, and what is accepted becomes valid JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_http::body::form;
use serde_json::Value;

fuzz_target!(|text: &[u8]| {
    let Ok(tree) = form::parse(text) else { return };
    let mut json = Vec::new();
    tree.write_json(&mut json).expect("a vector takes everything");
    // 127 levels, the most that a tree has, are as deep as this parser goes.
    let value: Value = serde_json::from_slice(&json).expect("valid JSON");
    assert!(value.is_object());
});
