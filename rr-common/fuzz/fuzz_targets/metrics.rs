//! Any text of a plugin: no panic, and what is read reads back from what we write.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_common::telemetry::metrics::Families;

fuzz_target!(|input: &str| {
    let Ok(families) = Families::parse(input) else {
        return;
    };
    let written = families.to_string();
    let again = Families::parse(&written).expect("what we write is well formed");
    assert_eq!(again.to_string(), written);
});
