//! Any bytes as a multipart body, in pieces of any size: no panic, little memory, and the same events as in one piece.
//! The first byte is the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rr_http::body::multipart::{Event, Head, Parser};

/// Heads and contents of the parts, and whether the last one is complete and the body valid.
fn parts(body: &[u8], size: usize) -> (Vec<(Head, Vec<u8>)>, Option<String>) {
    let mut parser = Parser::new(b"X").expect("a boundary");
    let mut pieces = body.chunks(size);
    let mut parts = Vec::new();
    loop {
        match parser.event() {
            Ok(Event::More) => match pieces.next() {
                Some(piece) => parser.push(piece),
                None => parser.end(),
            },
            Ok(Event::Part(head)) => parts.push((head, Vec::new())),
            Ok(Event::Data(data)) => {
                assert!(!data.is_empty());
                parts.last_mut().expect("a part").1.extend_from_slice(data);
            }
            Ok(Event::PartEnd) => {}
            Ok(Event::End) => return (parts, None),
            Err(error) => return (parts, Some(error.to_string())),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((size, body)) = input.split_first() else { return };
    let whole = parts(body, body.len().max(1));
    assert_eq!(parts(body, usize::from(*size).max(1)), whole);
    let length: usize = whole.0.iter().map(|(_, content)| content.len()).sum();
    assert!(length <= body.len());
});
