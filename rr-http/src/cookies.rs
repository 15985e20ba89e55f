//! The `Cookie` header, read as Go's `net/http` reads it, its values percent-decoded.

use crate::body::unescape;
use http::{HeaderMap, header::COOKIE};
use memchr::{memchr, memchr_iter};
use smallvec::SmallVec;
use std::borrow::Cow;

/// With more cookies than this the request counts as having none, as in the reference.
const MAX_COOKIES: usize = 3000;

/// Up to this many cookies a duplicate is found by looking at each.
const FEW: usize = 16;

/// Name and value.
type Cookie<'a> = (&'a str, Cow<'a, [u8]>);

/// Calls `f` with each cookie's name and value, once for each name: the last cookie of a name wins. What cannot be
/// decoded, has no valid name or contains a byte that no cookie may contain is left out.
pub fn decode(headers: &HeaderMap, mut f: impl FnMut(&str, &[u8])) {
    let lines = || headers.get_all(COOKIE).iter().map(|line| line.as_bytes());
    let pairs: usize = lines().map(|line| memchr_iter(b';', line).count() + 1).sum();
    if pairs == 0 || pairs > MAX_COOKIES {
        return;
    }
    let mut cookies: SmallVec<[Cookie<'_>; FEW]> = SmallVec::new();
    for pair in lines().flat_map(|line| line.split(|&byte| byte == b';')) {
        let Some((name, value)) = parse(pair) else { continue };
        match cookies.iter_mut().find(|(present, _)| pairs <= FEW && *present == name) {
            Some(present) => present.1 = value,
            None => cookies.push((name, value)),
        }
    }
    if pairs > FEW {
        // Stable: of one name the last one stays last.
        cookies.sort_by_key(|(name, _)| *name);
    }
    for (at, (name, value)) in cookies.iter().enumerate() {
        if cookies.get(at + 1).is_none_or(|(next, _)| next != name) {
            f(name, value);
        }
    }
}

fn parse(pair: &[u8]) -> Option<Cookie<'_>> {
    let pair = trim(pair);
    let (name, value) = match memchr(b'=', pair) {
        Some(at) => (trim(&pair[..at]), &pair[at + 1..]),
        None => (pair, &[][..]),
    };
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    };
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) || !value.iter().all(|&byte| is_value(byte)) {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?, unescape(value).ok()?))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_value(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b';' | b'\\')
}

fn trim(text: &[u8]) -> &[u8] {
    text.trim_ascii()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn cookies(lines: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        let mut cookies = Vec::new();
        decode(&headers, |name, value| cookies.push((name.to_owned(), value.to_vec())));
        cookies.sort();
        cookies
    }

    /// HTTP-11: cookies.
    #[test]
    fn table() {
        for (line, expected) in [
            ("c1=v%201; c2=a+b; c1=dup", "c1=dup c2=a b"),
            ("a=1;b=2 ; c = 3", "a=1 b=2 c= 3"),
            ("a=%zz; b=1", "b=1"),
            ("a=ok; a=%", "a=ok"),
            ("a; b=; =c; ;", "a= b="),
            ("a=\"q;\"; b=\"x y\"; c=\"; d=\"\"", "b=x y d="),
            ("a b=1; a@=1; ä=1; a{=2; f=\u{e4}; g=a\\b", ""),
            ("a=1=2", "a=1=2"),
        ] {
            let found = cookies(&[line.as_bytes()]);
            let found = found
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
            assert_eq!(found.collect::<Vec<_>>().join(" "), expected, "{line}");
        }
        assert_eq!(
            cookies(&[b"a=1", b"b=%00; a=2"]),
            [("a".into(), b"2".to_vec()), ("b".into(), vec![0])]
        );
        assert!(cookies(&[]).is_empty());
    }

    #[test]
    fn too_many_are_none() {
        let line = "a=1;".repeat(MAX_COOKIES - 1);
        assert_eq!(cookies(&[line.as_bytes()]).len(), 1);
        assert_eq!(cookies(&[line.as_bytes(), b"b=2"]).len(), 0);
    }

    proptest! {
        /// Any header: no panic, each name once, and the last one wins however many there are.
        #[test]
        fn last_wins(pairs in proptest::collection::vec(("[a-f]{1,2}", "[ -~]{0,4}"), 0..40)) {
            let line = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let mut expected = BTreeMap::new();
            for pair in line.split(';') {
                if let Some((name, value)) = parse(pair.as_bytes()) {
                    expected.insert(name.to_owned(), value.to_vec());
                }
            }
            prop_assert_eq!(cookies(&[line.as_bytes()]), expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                cookies(&[value.as_bytes()]);
            }
        }
    }
}
