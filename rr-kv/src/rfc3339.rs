//! RFC 3339 times as Go's `time.Parse` reads them, with its error texts: clients have seen those for years.

use std::fmt::Write;

/// Why a text is no time, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parsing time {}{what}", quoted(text))]
pub struct BadTime {
    text: String,
    what: String,
}

/// What is wrong with one element.
enum Wrong {
    /// It is not what belongs there.
    Element,
    /// A number is too large, or too small.
    Range(&'static str),
}

/// What is left of the text.
struct Rest<'a>(&'a str);

/// Milliseconds since 1970 of an RFC 3339 time. Finer fractions are cut off.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<i64, BadTime> {
    let bad = |what| BadTime {
        text: text.to_owned(),
        what,
    };
    let mut rest = Rest(text);
    let mut element = |layout: &'static str, read: fn(&mut Rest<'_>) -> Result<i64, Wrong>| {
        let before = rest.0;
        read(&mut rest).map_err(|wrong| {
            bad(match wrong {
                Wrong::Element => format!(
                    " as \"2006-01-02T15:04:05Z07:00\": cannot parse {} as {layout:?}",
                    quoted(before)
                ),
                Wrong::Range(name) => format!(": {name} out of range"),
            })
        })
    };
    let year = element("2006", |rest| rest.digits(4))?;
    element("-", |rest| rest.literal(b'-'))?;
    let month = element("01", |rest| rest.number(1..=12, "month"))?;
    element("-", |rest| rest.literal(b'-'))?;
    let day = element("02", |rest| rest.digits(2))?;
    element("T", |rest| rest.literal(b'T'))?;
    let hour = element("15", |rest| rest.hour())?;
    element(":", |rest| rest.literal(b':'))?;
    let minute = element("04", |rest| rest.number(0..=59, "minute"))?;
    element(":", |rest| rest.literal(b':'))?;
    let second = element("05", |rest| rest.number(0..=59, "second"))?;
    let milliseconds = element("05", |rest| rest.fraction())?;
    let offset = element("Z07:00", |rest| rest.offset())?;
    if !rest.0.is_empty() {
        return Err(bad(format!(": extra text: {}", quoted(rest.0))));
    }
    if day < 1 || day > days_in(year, month) {
        return Err(bad(": day out of range".into()));
    }
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset;
    Ok(seconds * 1000 + milliseconds)
}

impl Rest<'_> {
    fn digit(&self, at: usize) -> Option<i64> {
        let byte = self.0.as_bytes().get(at)?;
        byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
    }

    fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }

    fn literal(&mut self, byte: u8) -> Result<i64, Wrong> {
        match self.0.as_bytes().first() {
            Some(first) if *first == byte => {
                self.skip(1);
                Ok(0)
            }
            _ => Err(Wrong::Element),
        }
    }

    /// A number of exactly so many digits.
    fn digits(&mut self, count: usize) -> Result<i64, Wrong> {
        let mut number = 0;
        for at in 0..count {
            number = number * 10 + self.digit(at).ok_or(Wrong::Element)?;
        }
        self.skip(count);
        Ok(number)
    }

    fn number(&mut self, range: std::ops::RangeInclusive<i64>, name: &'static str) -> Result<i64, Wrong> {
        let number = self.digits(2)?;
        range.contains(&number).then_some(number).ok_or(Wrong::Range(name))
    }

    /// The one number that may have a single digit.
    fn hour(&mut self) -> Result<i64, Wrong> {
        let digits = if self.digit(1).is_some() { 2 } else { 1 };
        let hour = self.digits(digits)?;
        (hour < 24).then_some(hour).ok_or(Wrong::Range("hour"))
    }

    /// A point or a comma and digits, or nothing.
    fn fraction(&mut self) -> Result<i64, Wrong> {
        if !self.0.starts_with(['.', ',']) || self.digit(1).is_none() {
            return Ok(0);
        }
        let digits = self.0[1..].bytes().take_while(u8::is_ascii_digit).count();
        let thousandths = (1..=3).map(|at| if at <= digits { self.digit(at).unwrap_or(0) } else { 0 });
        let milliseconds = thousandths.fold(0, |sum, digit| sum * 10 + digit);
        self.skip(1 + digits);
        Ok(milliseconds)
    }

    /// `Z` or an offset, in seconds.
    fn offset(&mut self) -> Result<i64, Wrong> {
        if self.literal(b'Z').is_ok() {
            return Ok(0);
        }
        let sign = match self.0.as_bytes() {
            [b'+', _, _, b':', _, _, ..] => 1,
            [b'-', _, _, b':', _, _, ..] => -1,
            _ => return Err(Wrong::Element),
        };
        let two = |at| Some(self.digit(at)? * 10 + self.digit(at + 1)?);
        let (Some(hours), Some(minutes)) = (two(1), two(4)) else {
            return Err(Wrong::Element);
        };
        if hours > 24 {
            return Err(Wrong::Range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(Wrong::Range("time zone offset minute"));
        }
        self.skip(6);
        Ok(sign * (hours * 60 + minutes) * 60)
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Years are counted from March, so that a leap day is a year's last.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// Go's quotes: what is not plain ASCII is written byte by byte.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                quoted.push('\\');
                quoted.push(char::from(byte));
            }
            b' '..=b'\x7F' => quoted.push(char::from(byte)),
            _ => {
                let _ = write!(quoted, "\\x{byte:02x}");
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    #[test]
    fn times_are_read() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-11-22T19:05:53+00:00",
            "2026-11-22T19:05:53.25-03:30",
            "2024-02-29T23:59:59.999999999+14:00",
            "0001-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text).unwrap(), at(text), "{text}");
        }
        // As Go has it: an hour of one digit, a comma.
        assert_eq!(parse("2026-11-22T9:05:53,5Z").unwrap(), at("2026-11-22T09:05:53.5Z"));
    }

    #[test]
    fn what_is_wrong_is_said_in_go_words() {
        let said = |text: &str| parse(text).unwrap_err().to_string();
        let layout = "as \"2006-01-02T15:04:05Z07:00\": cannot parse";
        assert_eq!(
            said("bad-time"),
            format!("parsing time \"bad-time\" {layout} \"bad-time\" as \"2006\"")
        );
        assert_eq!(
            said("2026-11-22"),
            format!("parsing time \"2026-11-22\" {layout} \"\" as \"T\"")
        );
        assert_eq!(
            said("2026-11-22T19:05:53"),
            format!("parsing time \"2026-11-22T19:05:53\" {layout} \"\" as \"Z07:00\"")
        );
        assert_eq!(
            said("2026-13-22T19:05:53Z"),
            "parsing time \"2026-13-22T19:05:53Z\": month out of range"
        );
        assert_eq!(
            said("2026-02-29T19:05:53Z"),
            "parsing time \"2026-02-29T19:05:53Z\": day out of range"
        );
        assert_eq!(
            said("2026-02-28T19:05:53Z\""),
            "parsing time \"2026-02-28T19:05:53Z\\\"\": extra text: \"\\\"\""
        );
        assert_eq!(
            said("é"),
            format!("parsing time \"\\xc3\\xa9\" {layout} \"\\xc3\\xa9\" as \"2006\"")
        );
    }

    proptest! {
        #[test]
        fn the_calendar_is_right(seconds in -62_135_596_800_i64..253_402_207_200) {
            let text = Timestamp::from_second(seconds).unwrap().to_string();
            prop_assert_eq!(parse(&text).unwrap(), seconds * 1000);
        }

        #[test]
        fn any_text_is_judged(text in "\\PC{0,40}", cut in 0usize..26) {
            let _ = parse(&text);
            let _ = parse(&format!("{}{text}", &"2026-11-22T19:05:53+00:00"[..cut.min(25)]));
        }
    }
}
