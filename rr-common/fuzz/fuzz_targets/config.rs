//! Any text as YAML, JSON and TOML, with all checks: no panic, bounded depth and size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_common::config;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    for extension in ["yaml", "json", "toml"] {
        let _ = config::check_text(&text, extension);
    }
});
