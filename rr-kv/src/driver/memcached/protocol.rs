//! Memcached's text protocol: commands written, answers taken apart. Pure.
//!
//! An answer is a sequence of pieces: a value with its header, or a line. [`next`] takes one off the front of what has
//! arrived, or says how much must arrive at least. Nothing is kept between two calls, and nothing is believed: sizes and
//! lines have bounds.

use super::{Expiry, Item};
use std::io::Write;

/// Longest key that a server takes.
pub const LONGEST_KEY: usize = 250;
/// Longest line of an answer: a key, numbers, words.
const LONGEST_LINE: usize = 2048;
/// Largest value that is taken from a server; the largest that one can be told to store is 1 GiB, 1 MiB by default.
const LARGEST_VALUE: usize = 64 << 20;
/// Seconds up to this are not a moment for a server but a time from now.
const MONTH: u64 = 60 * 60 * 24 * 30;
/// Some servers read 32 bits.
const LAST_MOMENT: u64 = i32::MAX as u64;

/// One piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// `VALUE key flags size [cas]` and its data.
    Value {
        /// The key.
        key: &'a str,
        /// The number of this version of the value; 0 if it was not asked for.
        cas: u64,
        /// The value.
        data: &'a [u8],
    },
    /// `VA size flags*` and its data: the answer to a meta command.
    Meta {
        /// The flags, as they are.
        flags: &'a str,
        /// The value.
        data: &'a [u8],
    },
    /// Any other line.
    Line(&'a str),
}

/// What is at the front of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A piece, and the bytes that it takes.
    Piece(Piece<'a>, usize),
    /// A part of one: there must be so many bytes at least.
    More(usize),
}

/// What is no answer of a Memcached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No end of a line in sight.
    #[error("a line longer than {LONGEST_LINE} bytes")]
    Line,
    /// Not text.
    #[error("a line that is no text")]
    Text,
    /// A header that cannot be read.
    #[error("a value without a proper header")]
    Header,
    /// More than would be taken.
    #[error("a value larger than {LARGEST_VALUE} bytes")]
    Size,
    /// No line end after the data.
    #[error("a value that does not end where it should")]
    End,
}

/// Takes the next piece off the front.
///
/// # Errors
/// It is none.
pub fn next(bytes: &[u8]) -> Result<Step<'_>, Malformed> {
    let window = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return match window.len() {
            LONGEST_LINE => Err(Malformed::Line),
            have => Ok(Step::More(have + 1)),
        };
    };
    let line = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
    let line = std::str::from_utf8(line).map_err(|_| Malformed::Text)?;
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "VALUE" => {
            let mut words = rest.split(' ');
            let (Some(key), Some(_flags), Some(size)) = (words.next(), words.next(), words.next()) else {
                return Err(Malformed::Header);
            };
            let cas = words.next().map_or(Ok(0), str::parse).map_err(|_| Malformed::Header)?;
            with_data(bytes, end + 1, size, |data| Piece::Value { key, cas, data })
        }
        "VA" => {
            let (size, flags) = rest.split_once(' ').unwrap_or((rest, ""));
            with_data(bytes, end + 1, size, |data| Piece::Meta { flags, data })
        }
        _ => Ok(Step::Piece(Piece::Line(line), end + 1)),
    }
}

fn with_data<'a>(
    bytes: &'a [u8],
    from: usize,
    size: &str,
    piece: impl FnOnce(&'a [u8]) -> Piece<'a>,
) -> Result<Step<'a>, Malformed> {
    let size: usize = size.parse().map_err(|_| Malformed::Header)?;
    if size > LARGEST_VALUE {
        return Err(Malformed::Size);
    }
    let whole = from + size + 2;
    match bytes.get(from..whole) {
        None => Ok(Step::More(whole)),
        Some(data) => {
            let data = data.strip_suffix(b"\r\n").ok_or(Malformed::End)?;
            Ok(Step::Piece(piece(data), whole))
        }
    }
}

/// Whether a server takes this key.
pub fn is_key(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

/// `get` or `gets` of all these keys.
pub(crate) fn get(command: &str, keys: &[&str]) -> Vec<u8> {
    let mut out = command.as_bytes().to_vec();
    for key in keys {
        out.push(b' ');
        out.extend_from_slice(key.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// `set`, `add` or `cas` of an item; the last with the number of the version that it replaces.
pub(crate) fn store(out: &mut Vec<u8>, command: &str, item: &Item<'_>, cas: Option<u64>, now: Expiry) {
    let (key, end, size) = (item.key, moment(item.expiry, now), item.value.len());
    // A vector has room for anything.
    let _ = write!(out, "{command} {key} 0 {end} {size}");
    if let Some(cas) = cas {
        let _ = write!(out, " {cas}");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(item.value);
    out.extend_from_slice(b"\r\n");
}

/// An end as servers read it: seconds from now or, if it is far, since 1970; 0 for never, negative for at once. A server counts
/// ticks of a second: from now on, an item ends up to one early; at a moment, up to two late.
pub(crate) fn moment(expiry: Option<Expiry>, now: Expiry) -> i64 {
    let Some(expiry) = expiry else { return 0 };
    let left = expiry.after(now).as_millis().div_ceil(1000);
    let seconds = match u64::try_from(left).unwrap_or(u64::MAX) {
        0 => return -1,
        left if left <= MONTH => left,
        _ => expiry.seconds().min(LAST_MOMENT),
    };
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// The number after this letter among a meta answer's flags.
pub(crate) fn flag(flags: &str, letter: char) -> Option<i64> {
    flags
        .split(' ')
        .find_map(|flag| flag.strip_prefix(letter)?.parse().ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All pieces, with what is left.
    fn pieces(mut bytes: &[u8]) -> Result<(Vec<String>, &[u8]), Malformed> {
        let mut found = Vec::new();
        while let Step::Piece(piece, length) = next(bytes)? {
            found.push(format!("{piece:?}"));
            bytes = &bytes[length..];
        }
        Ok((found, bytes))
    }

    #[test]
    fn answers_come_apart_into_values_and_lines() {
        let answer =
            b"VALUE k 0 4 77\r\n\r\nEN\r\nVALUE e 5 0\r\n\r\nEND\r\nSTORED\r\nVA 1 c5 t-1\r\nx\r\nHD c9\r\nEN\r\nSTO";
        let (found, rest) = pieces(answer).unwrap();
        let line = |text: &str| format!("{:?}", Piece::Line(text));
        let value = |key, cas, data: &'static [u8]| format!("{:?}", Piece::Value { key, cas, data });
        let meta = format!(
            "{:?}",
            Piece::Meta {
                flags: "c5 t-1",
                data: b"x"
            }
        );
        let expected = [
            value("k", 77, b"\r\nEN"),
            value("e", 0, b""),
            line("END"),
            line("STORED"),
            meta,
            line("HD c9"),
            line("EN"),
        ];
        assert_eq!(found, expected);
        assert_eq!(rest, b"STO");
        assert_eq!(next(b"VALUE k 0 4\r\nab"), Ok(Step::More(19)));
    }

    #[test]
    fn what_no_memcached_says_is_refused() {
        let long = [b'x'; LONGEST_LINE];
        let cases: [(&[u8], Malformed); 8] = [
            (&long, Malformed::Line),
            (b"\xff\xfe\n", Malformed::Text),
            (b"VALUE\r\n", Malformed::Header),
            (b"VALUE k 0\r\n", Malformed::Header),
            (b"VALUE k 0 -1\r\n", Malformed::Header),
            (b"VALUE k 0 1 x\r\n", Malformed::Header),
            (b"VALUE k 0 99999999999\r\n", Malformed::Size),
            (b"VA 1\r\nabc", Malformed::End),
        ];
        for (bytes, expected) in cases {
            assert_eq!(next(bytes), Err(expected), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn keys_are_those_that_fit_into_a_line() {
        assert!(is_key("a") && is_key(&"k".repeat(250)) && is_key("schlüssel"));
        for key in ["", "a b", "a\nb", "a\0b", "\u{7f}", &"k".repeat(251)] {
            assert!(!is_key(key), "{key:?}");
        }
    }

    #[test]
    fn ends_are_written_as_servers_read_them() {
        let now = Expiry::at(1_800_000_000_000);
        let at = |milliseconds| moment(Some(Expiry::at(milliseconds)), now);
        assert_eq!(moment(None, now), 0);
        assert_eq!(at(1_800_000_000_001), 1, "a second from now");
        assert_eq!(at(1_800_000_002_000), 2);
        assert_eq!(at(1_802_592_000_000), 2_592_000, "the last that counts from now");
        assert_eq!(at(1_802_592_000_001), 1_802_592_001);
        assert_eq!(at(1_800_000_000_000), -1, "it is over");
        assert_eq!(at(5000), -1, "long past");
        assert_eq!(at(u64::MAX), i64::from(i32::MAX));
    }

    #[test]
    fn commands_are_written_whole() {
        let now = Expiry::at(0);
        let item = Item {
            key: "k",
            value: b"v\r\n",
            expiry: None,
        };
        let mut out = Vec::new();
        store(&mut out, "set", &item, None, now);
        store(&mut out, "cas", &item, Some(9), now);
        assert_eq!(out, b"set k 0 0 3\r\nv\r\n\r\ncas k 0 0 3 9\r\nv\r\n\r\n");
        assert_eq!(get("gets", &["a", "b"]), b"gets a b\r\n");
        assert_eq!(
            (flag("c5 t-1", 't'), flag("c5 t-1", 'c'), flag("", 'c')),
            (Some(-1), Some(5), None)
        );
    }

    proptest! {
        /// Whatever comes, in whatever parts: no panic, the same pieces, and never a claim beyond the bounds.
        #[test]
        fn any_bytes_are_taken_apart_or_refused(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300),
                "(VALUE [a-z ]{0,9} [0-9]{1,2} [0-9]{0,3}( [0-9]+)?\r\n[a-z\r\n]{0,20}|VA [0-9]{0,2} c[0-9]\r\n[a-z]{0,9}\r\n|END\r\n){0,6}"
                    .prop_map(String::into_bytes),
            ],
        ) {
            match next(&bytes) {
                Ok(Step::Piece(piece, length)) => {
                    prop_assert!(length <= bytes.len() && length > 0);
                    // A part of it is not enough, and says so.
                    for part in 0..length {
                        match next(&bytes[..part]) {
                            Ok(Step::More(least)) => prop_assert!(least > part && least <= length),
                            other => prop_assert!(false, "{piece:?} at {part}: {other:?}"),
                        }
                    }
                }
                Ok(Step::More(least)) => prop_assert!(least > bytes.len() && least <= LARGEST_VALUE + LONGEST_LINE + 2),
                Err(_) => {}
            }
        }
    }
}
