//! Numbers for people, as the reference writes them.

use std::time::Duration;

/// Bytes in units of thousand: `82 B`, `1.7 MB`, `19 MB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let value = (value * 10.0 + 0.5).floor() / 10.0;
    match unit > 0 && value < 10.0 {
        true => format!("{value:.1} {}", UNITS[unit]),
        false => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// A number with commas: `1,234,567`.
pub(super) fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

/// How long ago something was: `now`, `1 second ago`, `3 weeks ago`.
pub(super) fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    // From how many seconds on, in which unit.
    const UNITS: [(u64, u64, &str); 7] = [
        (YEAR, YEAR, "year"),
        (MONTH, MONTH, "month"),
        (WEEK, WEEK, "week"),
        (DAY, DAY, "day"),
        (HOUR, HOUR, "hour"),
        (MINUTE, MINUTE, "minute"),
        (1, 1, "second"),
    ];
    let unit = UNITS.iter().find(|(from, ..)| seconds >= *from);
    match unit {
        None => "now".into(),
        Some((_, unit, name)) => match seconds / unit {
            1 => format!("1 {name} ago"),
            count => format!("{count} {name}s ago"),
        },
    }
}

/// How long something has lasted, in its two largest units: `3h12m`.
pub(super) fn lasted(seconds: u64) -> String {
    match seconds {
        ..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m{:02}s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{}h{:02}m", seconds / HOUR, seconds % HOUR / MINUTE),
        DAY.. => format!("{}d{:02}h", seconds / DAY, seconds % DAY / HOUR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_reference_writes_them() {
        for (count, text) in [
            (0, "0 B"),
            (82, "82 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_700_000, "1.7 MB"),
            (9_960_000, "10 MB"),
            (19_123_456, "19 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(commas(number), text);
        }
    }

    #[test]
    fn ages_are_written_as_the_reference_writes_them() {
        for (seconds, text) in [
            (0, "now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (3599, "59 minutes ago"),
            (2 * HOUR, "2 hours ago"),
            (DAY, "1 day ago"),
            (2 * WEEK, "2 weeks ago"),
            (3 * MONTH, "3 months ago"),
            (YEAR, "1 year ago"),
            (3 * YEAR, "3 years ago"),
        ] {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
        assert_eq!(lasted(59), "59s");
        assert_eq!(lasted(61), "1m01s");
        assert_eq!(lasted(3 * HOUR + 12 * MINUTE), "3h12m");
        assert_eq!(lasted(2 * DAY + HOUR), "2d01h");
    }
}
