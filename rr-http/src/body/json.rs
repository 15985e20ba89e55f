//! JSON strings, byte for byte as Go's encoder writes them: `<`, `>`, `&`, U+2028 and U+2029 are escaped, and each byte
//! that is no UTF-8 becomes `\ufffd`.

use std::io::{self, Write};

/// Writes the bytes as a JSON string, with its quotes.
pub(super) fn string(bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"\"")?;
    for chunk in bytes.utf8_chunks() {
        valid(chunk.valid().as_bytes(), out)?;
        for _ in chunk.invalid() {
            out.write_all(br"\ufffd")?;
        }
    }
    out.write_all(b"\"")
}

/// Bytes of valid UTF-8 that do not stand for themselves; E2 begins the two separators, and much else.
const SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = matches!(byte as u8, 0..b' ' | b'"' | b'\\' | b'<' | b'>' | b'&' | 0xe2);
        byte += 1;
    }
    special
};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn valid(mut bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    while let Some(at) = bytes.iter().position(|&byte| SPECIAL[usize::from(byte)]) {
        let (plain, rest) = bytes.split_at(at);
        out.write_all(plain)?;
        let length = if rest[0] == 0xe2 { 3 } else { 1 };
        let (special, rest) = rest.split_at(length);
        match *special {
            [b'"'] => out.write_all(br#"\""#)?,
            [b'\\'] => out.write_all(br"\\")?,
            [0x08] => out.write_all(br"\b")?,
            [0x0c] => out.write_all(br"\f")?,
            [b'\n'] => out.write_all(br"\n")?,
            [b'\r'] => out.write_all(br"\r")?,
            [b'\t'] => out.write_all(br"\t")?,
            [0xe2, 0x80, 0xa8] => out.write_all(br"\u2028")?,
            [0xe2, 0x80, 0xa9] => out.write_all(br"\u2029")?,
            [byte] => out.write_all(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ])?,
            _ => out.write_all(special)?,
        }
        bytes = rest;
    }
    out.write_all(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    fn string(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        super::string(bytes, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_like_the_reference() {
        assert_eq!(string(b""), r#""""#);
        assert_eq!(string(b"a\"\\/b"), r#""a\"\\/b""#);
        assert_eq!(
            string(b"\x00\x08\x0c\n\r\t\x1f\x7f"),
            "\"\\u0000\\b\\f\\n\\r\\t\\u001f\x7f\""
        );
        assert_eq!(string(b"<a&b>"), r#""\u003ca\u0026b\u003e""#);
        assert_eq!(
            string("é€\u{2028}\u{2029}\u{202a}".as_bytes()),
            "\"é€\\u2028\\u2029\u{202a}\""
        );
        assert_eq!(string(b"\xff\xe2\x82z\xe2"), r#""\ufffd\ufffd\ufffdz\ufffd""#);
    }

    proptest! {
        #[test]
        fn valid_text_survives(text: String) {
            prop_assert_eq!(serde_json::from_str::<String>(&string(text.as_bytes())).unwrap(), text);
        }

        #[test]
        fn any_bytes_make_valid_json(bytes: Vec<u8>) {
            serde_json::from_str::<String>(&string(&bytes)).unwrap();
        }
    }
}
