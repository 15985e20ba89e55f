//! The pieces of text that lines are made of: JSON strings, times, colours.

use super::{Level, up::Margin};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::time::SystemTime;

pub(crate) const RESET: &str = "\x1b[0m";
pub(crate) const DIM: &str = "\x1b[2m";
pub(crate) const RED: &str = "\x1b[91m";
pub(crate) const YELLOW: &str = "\x1b[93m";

/// For every byte below 0x80 whether it stands in a JSON string as it is.
const AS_IT_IS: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

/// Appends the bytes as the inside of a JSON string: always valid, what is no UTF-8 becomes the replacement character.
pub(crate) fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let plain = bytes
            .iter()
            .position(|&byte| !AS_IT_IS[byte as usize])
            .unwrap_or(bytes.len());
        out.extend_from_slice(&bytes[..plain]);
        bytes = &bytes[plain..];
        let Some(&byte) = bytes.first() else { return };
        if byte < 0x80 {
            escape_ascii(out, byte);
            bytes = &bytes[1..];
            continue;
        }
        let high = bytes.iter().position(|&byte| byte < 0x80).unwrap_or(bytes.len());
        escape_high(out, &bytes[..high]);
        bytes = &bytes[high..];
    }
}

fn escape_ascii(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            let [high, low] = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }
}

/// A run of bytes of which none is ASCII. Go replaces each wrong byte, Rust each wrong sequence: as Go here.
fn escape_high(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.extend_from_slice(chunk.valid().as_bytes());
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
}

/// Appends a JSON string.
pub(crate) fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    escape(out, bytes);
    out.push(b'"');
}

/// Makes somebody else's text harmless where nothing else escapes it: a further line is indented, unless the margin of `up`
/// does that, and control characters become escapes. In JSON a line end stands between tokens only, so it stays valid.
pub(crate) fn tame(text: &str, has_margin: bool) -> Cow<'_, str> {
    let harmless = |c: char| !c.is_control() || c == '\t' || (has_margin && c == '\n');
    if text.chars().all(harmless) {
        return text.into();
    }
    let text = text.trim_end_matches(['\r', '\n']).replace("\r\n", "\n");
    let mut tamed = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if !has_margin => tamed.push_str("\n\t"),
            c if harmless(c) => tamed.push(c),
            c => tamed.extend(c.escape_default()),
        }
    }
    tamed.into()
}

/// Whether a value of `up` mode needs no quotes.
pub(crate) fn is_word(bytes: &[u8]) -> bool {
    let bare = |byte: &u8| AS_IT_IS[usize::from(*byte)] && *byte != b' ' && *byte != b'=';
    !bytes.is_empty() && bytes.iter().all(bare)
}

/// Appends a time as the reference's console shows it: UTC, to the second.
pub(crate) fn utc(out: &mut Vec<u8>, moment: SystemTime) {
    let time = civil(moment, &TimeZone::UTC);
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+0000"
    );
}

/// A time as access logs show it, in the local zone.
pub(crate) fn local(moment: SystemTime) -> impl fmt::Display {
    let timestamp = Timestamp::try_from(moment).unwrap_or(Timestamp::UNIX_EPOCH);
    timestamp
        .to_zoned(TimeZone::system())
        .strftime("%d/%b/%y:%H:%M:%S %z")
        .to_string()
}

pub(crate) fn civil(moment: SystemTime, zone: &TimeZone) -> DateTime {
    let timestamp = Timestamp::try_from(moment).unwrap_or(Timestamp::UNIX_EPOCH);
    zone.to_datetime(timestamp)
}

/// The colour that the reference gives to a level.
pub(crate) fn colour(level: Level) -> &'static str {
    match level {
        Level::Debug => "\x1b[97m",
        Level::Info => "\x1b[96m",
        Level::Warn => YELLOW,
        Level::Error => RED,
        Level::Panic | Level::Fatal => "\x1b[95m",
    }
}

/// The colour of an answer's status.
pub(crate) fn status_colour(status: u16) -> &'static str {
    match status {
        0..400 => "\x1b[92m",
        400..500 => YELLOW,
        _ => RED,
    }
}

/// Most bytes of one message or value: what a worker writes at once, and less, escaped, than the longest line.
pub(crate) const VALUE: usize = 1152 * 1024;

/// Text that is being appended, with the escapes that its place needs, up to [`VALUE`] bytes.
pub(crate) struct Text<'a> {
    out: &'a mut Vec<u8>,
    place: Place,
    left: usize,
    cut: usize,
}

enum Place {
    Json,
    Plain,
    /// Further lines get the margin of `up` before them.
    Margin(Margin),
}

impl<'a> Text<'a> {
    fn new(out: &'a mut Vec<u8>, place: Place) -> Self {
        Self {
            out,
            place,
            left: VALUE,
            cut: 0,
        }
    }

    pub(crate) fn json(out: &'a mut Vec<u8>) -> Self {
        Self::new(out, Place::Json)
    }

    pub(crate) fn plain(out: &'a mut Vec<u8>) -> Self {
        Self::new(out, Place::Plain)
    }

    pub(crate) fn margin(out: &'a mut Vec<u8>, margin: Margin) -> Self {
        Self::new(out, Place::Margin(margin))
    }

    /// Appends bytes; what does not fit is only counted.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(self.left);
        self.left -= fits;
        self.cut += bytes.len() - fits;
        self.append(&bytes[..fits]);
    }

    /// Tells how much was cut off, if anything.
    pub(crate) fn end(self) {
        if self.cut > 0 {
            let _ = write!(self.out, "… ({} bytes cut off)", self.cut);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        match self.place {
            Place::Json => escape(self.out, bytes),
            Place::Plain => self.out.extend_from_slice(bytes),
            Place::Margin(ref margin) => margin.lines(self.out, bytes),
        }
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_foreign_text_forges_no_line() {
        assert_eq!(tame("plain \t ü", false), "plain \t ü");
        assert_eq!(tame("a\r\n2026\tERROR\tforged\n", false), "a\n\t2026\tERROR\tforged");
        assert_eq!(tame("a\nb", true), "a\nb");
        assert_eq!(tame("\x1b[2Jx\ry\u{9b}", true), "\\u{1b}[2Jx\\ry\\u{9b}");
    }

    proptest! {
        #[test]
        fn no_text_begins_a_line_of_its_own(text in ".*\n?.*\r?\n.*") {
            let tamed = tame(&text, false);
            prop_assert!(tamed.split('\n').skip(1).all(|line| line.starts_with('\t')));
            prop_assert!(tamed.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        }

        #[test]
        fn json_stays_json(key in "[a-z]{1,5}", value in any::<String>()) {
            let value = serde_json::json!({ key: [value, {"n": 1}] });
            let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&tame(&pretty, false)).ok(), Some(value));
        }
    }
}
