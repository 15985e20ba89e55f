//! What lines look like in `up` mode, for people: the time, who speaks, the level; then the message, with a margin before each further line.
//!
//! PHP's complaints stand out: the message in colour, frames of `vendor` dimmed. A failure is told by its own words, without the chain of
//! names that programs look for in it.

use super::{
    Level,
    text::{DIM, RED, RESET, YELLOW, civil, colour},
};
use jiff::tz::TimeZone;
use std::{borrow::Cow, io::Write, ops::Range, time::SystemTime};

/// Where a line's margin stands in its buffer, to be repeated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Margin {
    speaker: Range<usize>,
    colours: bool,
}

/// Who speaks: the process; of the supervisor's lines the service, the application or whatever part of it does.
pub(crate) fn speaker<'a>(process: &'a str, logger: &'a str) -> &'a str {
    match process {
        "supervisor" => logger.strip_prefix("service.").unwrap_or(logger),
        plugin => plugin,
    }
}

/// Writes what stands before the message.
pub(crate) fn head(out: &mut Vec<u8>, speaker: &str, level: Level, now: SystemTime, colours: bool) -> Margin {
    const PALETTE: [&str; 6] = ["\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[34m", "\x1b[33m", "\x1b[96m"];
    let time = civil(now, &TimeZone::system());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let sum = speaker
        .bytes()
        .fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let [dim, reset, of_level, of_speaker] = match colours {
        true => [DIM, RESET, colour(level), PALETTE[sum % PALETTE.len()]],
        false => [""; 4],
    };
    let _ = write!(out, "{dim}{hour:02}:{minute:02}:{second:02}{reset} ");
    let begin = out.len();
    let _ = write!(out, "{of_speaker}{speaker:<10} |{reset} ");
    let speaker = begin..out.len();
    let _ = write!(out, "{of_level}{:<5}{reset} ", level.upper());
    Margin { speaker, colours }
}

impl Margin {
    /// Appends a text that may have several lines.
    pub(crate) fn lines(&self, out: &mut Vec<u8>, text: &[u8]) {
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            if index > 0 {
                self.line(out);
            }
            match self.colour_of(line) {
                Some(colour) => {
                    for part in [colour.as_bytes(), line, RESET.as_bytes()] {
                        out.extend_from_slice(part);
                    }
                }
                None => out.extend_from_slice(line),
            }
        }
    }

    /// Begins a further line.
    pub(crate) fn line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\n         ");
        out.extend_from_within(self.speaker.clone());
        out.extend_from_slice(b"      ");
    }

    fn colour_of(&self, line: &[u8]) -> Option<&'static str> {
        match complaint(line) {
            _ if !self.colours => None,
            Some(Level::Error) => Some(RED),
            Some(_) => Some(YELLOW),
            None => is_foreign_frame(line).then_some(DIM),
        }
    }
}

/// How bad it is what PHP says in this text; `None` where it does not complain.
pub(crate) fn complaint(text: &[u8]) -> Option<Level> {
    const WRONG: [&[u8]; 4] = [
        b"Fatal error:",
        b"Parse error:",
        b"PHP Recoverable fatal error:",
        b"Uncaught ",
    ];
    const DOUBTFUL: [&[u8]; 4] = [b"PHP Warning:", b"PHP Notice:", b"PHP Deprecated:", b"Warning:"];
    let has = |texts: &[&[u8]]| texts.iter().any(|part| memchr::memmem::find(text, part).is_some());
    match () {
        () if has(&WRONG) => Some(Level::Error),
        () if has(&DOUBTFUL) => Some(Level::Warn),
        () => None,
    }
}

/// A line of a stack trace that is in somebody else's code.
fn is_foreign_frame(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let is_frame = line.first() == Some(&b'#') && line.get(1).is_some_and(u8::is_ascii_digit);
    is_frame && (memchr::memmem::find(line, b"/vendor/").is_some() || line.ends_with(b"{main}"))
}

/// A failure in its own words: without the reference's chain before it, and without the output of PHP behind it, which is a line of its
/// own.
pub(crate) fn own_words(error: &str) -> Cow<'_, str> {
    const KINDS: [&str; 5] = ["SoftJobError", "Network", "Decode", "ExecTTL", "NoFreeWorkers"];
    let mut text = error;
    while let Some((link, rest)) = text.split_once(':') {
        let rest = rest.trim_start();
        let is_operation =
            !link.is_empty() && link.contains('_') && link.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if rest.is_empty() || !(is_operation || KINDS.contains(&link)) {
            break;
        }
        text = rest;
    }
    let text = text.split("\nstderr: ").next().unwrap_or(text);
    match text.contains(['\r', '\x1b']) {
        true => super::text::tame(text, true),
        false => text.trim_end().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_the_application_speak_for_themselves() {
        assert_eq!(speaker("http", "server"), "http");
        assert_eq!(speaker("supervisor", "service.import"), "import");
        assert_eq!(speaker("supervisor", "app"), "app");
        assert_eq!(speaker("supervisor", "supervisor"), "supervisor");
    }

    #[test]
    fn php_says_how_bad_it_is() {
        for (text, level) in [
            ("PHP Fatal error:  Uncaught E: x in /a.php:1", Some(Level::Error)),
            ("PHP Parse error:  syntax error", Some(Level::Error)),
            ("PHP Warning:  Undefined variable", Some(Level::Warn)),
            ("PHP Deprecated:  x", Some(Level::Warn)),
            ("all is well", None),
        ] {
            assert_eq!(complaint(text.as_bytes()), level, "{text}");
        }
    }

    #[test]
    fn an_error_is_told_in_its_own_words() {
        for (error, words) in [
            (
                "sync_worker_receive_frame: SoftJobError: RuntimeException: boom in /a.php:4\n#0 x",
                "RuntimeException: boom in /a.php:4\n#0 x",
            ),
            ("sync_worker_receive_frame: Network: EOF", "EOF"),
            (
                "static_pool_allocate: `php x` ended\nstderr: PHP Parse error: y",
                "`php x` ended",
            ),
            ("static_pool_exec: NoFreeWorkers:\n\tno worker", "no worker"),
            ("connection refused", "connection refused"),
            ("a_b:", "a_b:"),
            ("\x1b[2J", "\\u{1b}[2J"),
        ] {
            assert_eq!(own_words(error), words);
        }
    }

    #[test]
    fn frames_of_others_are_dimmed() {
        let margin = Margin {
            speaker: 0..0,
            colours: true,
        };
        let mut out = Vec::new();
        margin.lines(&mut out, b"#0 /app/src/A.php(3): f()\n#1 /app/vendor/x/B.php(4): g()");
        let text = String::from_utf8_lossy(&out);
        assert!(
            text.starts_with("#0 ") && text.ends_with("\x1b[2m#1 /app/vendor/x/B.php(4): g()\x1b[0m"),
            "{text:?}"
        );
    }
}
