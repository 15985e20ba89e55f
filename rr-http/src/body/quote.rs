//! Text in error messages, quoted as Go's `%q` does, since users compare and search for the reference's messages.

use std::fmt::Write;

/// The bytes in double quotes, everything unprintable escaped.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|char| push(&mut quoted, char));
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    quoted.push('"');
    quoted
}

fn push(quoted: &mut String, char: char) {
    let short = match char {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\x07' => "\\a",
        '\x08' => "\\b",
        '\x0c' => "\\f",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\x0b' => "\\v",
        _ => "",
    };
    // Writing to a String cannot fail.
    let _ = match char {
        _ if !short.is_empty() => quoted.write_str(short),
        '\0'..' ' | '\x7f' => write!(quoted, "\\x{:02x}", char as u32),
        _ if char == ' ' || !(char.is_control() || char.is_whitespace()) => quoted.write_char(char),
        '\0'..='\u{ffff}' => write!(quoted, "\\u{:04x}", char as u32),
        _ => write!(quoted, "\\U{:08x}", char as u32),
    };
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn quotes_like_the_reference() {
        assert_eq!(quote(b"%zz"), r#""%zz""#);
        assert_eq!(quote(b"a\"b\\\r\n\x01\x7f\xff"), r#""a\"b\\\r\n\x01\x7f\xff""#);
        assert_eq!(quote("é\u{85}\u{2028}".as_bytes()), r#""é\u0085\u2028""#);
    }
}
