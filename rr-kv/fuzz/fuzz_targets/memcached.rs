//! What a server that calls itself Memcached may send: pieces are taken off the front until there is no whole one, and
//! none reaches beyond what has arrived.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_kv::driver::memcached::protocol::{Step, next};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    loop {
        match next(rest) {
            Ok(Step::Piece(_, length)) => {
                assert!(length > 0);
                rest = &rest[length..];
            }
            Ok(Step::More(least)) => {
                assert!(least > rest.len());
                break;
            }
            Err(_) => break,
        }
    }
});
