//! A request in a few words, read back from what PHP gets: for operators who ask what a worker works on, or died of.
//!
//! Nothing is kept for it while requests are served. The query is left out: it may hold what is nobody else's business.

/// Numbers of the fields of `http.v1.Request`.
const METHOD: u64 = 3;
const URI: u64 = 4;
/// Longest text.
const LONGEST: usize = 200;

/// Method and address of the request with this context.
pub(crate) fn describe(context: &[u8]) -> Option<String> {
    let (mut method, mut uri) = (None, None);
    let mut rest = context;
    while method.is_none() || uri.is_none() {
        let key = varint(&mut rest)?;
        // Only such fields come before those two.
        if key & 7 != 2 {
            return None;
        }
        let len = usize::try_from(varint(&mut rest)?).ok()?;
        let (value, after) = rest.split_at_checked(len)?;
        rest = after;
        match key >> 3 {
            METHOD => method = Some(value),
            URI => uri = Some(value),
            _ => {}
        }
    }
    let (uri, query) = match uri?.iter().position(|byte| *byte == b'?') {
        Some(at) => (&uri?[..at], "?…"),
        None => (uri?, ""),
    };
    let mut text = format!("{} {}", String::from_utf8_lossy(method?), String::from_utf8_lossy(uri));
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text.push_str(query);
    Some(text)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::request::{Surroundings, encode};
    use bytes::BytesMut;
    use proptest::prelude::*;

    fn described(uri: &str) -> Option<String> {
        let request = http::Request::post(uri).header("host", "example.org").body(()).unwrap();
        let around = Surroundings {
            remote: "127.0.0.1",
            secure: true,
            parsed: false,
            uploads: None,
        };
        let mut context = BytesMut::new();
        encode(&request.into_parts().0, &around, &mut context);
        describe(&context)
    }

    #[test]
    fn method_and_address_are_told_without_the_query() {
        assert_eq!(described("/a/b"), Some("POST https://example.org/a/b".into()));
        assert_eq!(described("/a?token=1"), Some("POST https://example.org/a?…".into()));
        let long = described(&format!("/{}?x", "a".repeat(5000))).unwrap();
        assert!(long.len() < LONGEST + 10 && long.ends_with("a…?…"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(text) = describe(&bytes) {
                prop_assert!(text.len() <= LONGEST + 20);
            }
        }
    }
}
