//! A field's name as a path: `a[b][]` is `a`, `b` and the empty key.

use memchr::memchr3;

/// Deeper names are ignored.
const MAX_LEVELS: usize = 127;

/// The keys of a name, or nothing if there are too many of them.
///
/// Brackets only separate: `a]b`, `a[b` and `a[b]` are all `a`, `b`. Spaces are dropped.
pub(super) fn split(name: &[u8]) -> Option<Vec<String>> {
    // Most names are one plain key.
    if memchr3(b'[', b']', b' ', name).is_none()
        && let Ok(key) = std::str::from_utf8(name)
    {
        return Some(vec![key.to_owned()]);
    }
    #[derive(PartialEq)]
    enum After {
        Text,
        Open,
        Close,
    }
    let mut path = Vec::with_capacity(1);
    let mut key = String::new();
    let mut after = After::Text;
    let mut add = |key: &mut String, char: char| {
        match char {
            ' ' => {}
            '[' => after = After::Open,
            ']' => {
                if after == After::Open {
                    path.push(std::mem::take(key));
                }
                after = After::Close;
            }
            _ => {
                if after != After::Text {
                    path.push(std::mem::take(key));
                }
                after = After::Text;
                key.push(char);
            }
        }
        path.len() < MAX_LEVELS
    };
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            if !add(&mut key, char) {
                return None;
            }
        }
        for _ in chunk.invalid() {
            if !add(&mut key, char::REPLACEMENT_CHARACTER) {
                return None;
            }
        }
    }
    path.push(key);
    Some(path)
}

/// True for the path of `name[]`, whose values are all kept.
pub(super) fn is_list(path: &[String]) -> bool {
    path.len() > 1 && path.last().is_some_and(String::is_empty)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names() {
        for (name, path) in [
            ("a", "a"),
            ("", ""),
            ("a b", "ab"),
            ("a[b][c]", "a b c"),
            ("a[]", "a "),
            ("a[][b]", "a  b"),
            ("a[ b ]", "a b"),
            ("[a]", " a"),
            ("a[b", "a b"),
            ("a]b", "a b"),
            ("a[[b]]", "a b"),
            ("a[b]c", "a b c"),
            ("a[", "a"),
            ("a]", "a"),
            ("a[ ]", "a "),
        ] {
            let found = split(name.as_bytes()).unwrap();
            assert_eq!(found.join(" "), path, "{name}");
            assert_eq!(is_list(&found), path.ends_with(' '), "{name}");
        }
        assert_eq!(split(b"\xe2\x82[x]").unwrap(), ["\u{fffd}\u{fffd}", "x"]);
        assert_eq!(split("[a]".repeat(126).as_bytes()).unwrap().len(), 127);
        assert_eq!(split("[a]".repeat(127).as_bytes()), None);
        assert_eq!(split("[".repeat(1000).as_bytes()).unwrap().len(), 1);
    }
}
