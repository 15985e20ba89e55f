//! The last of what somebody wrote.

use memchr::{memchr, memmem};
use std::sync::{Arc, Mutex, PoisonError};

/// The logger that has a line for each request.
const REQUESTS: &[u8] = b"http";
/// What such a line says; one for people begins with the status and the method.
const REQUEST_LINES: [&[u8]; 2] = [b"http log", b"http access log"];
/// Bytes that are kept.
const LONGEST: usize = 4096;

/// The last of a stream of text, shared between who gathers it and who wants to know.
#[derive(Clone, Debug, Default)]
pub struct Tail(Arc<Mutex<Vec<u8>>>);

impl From<&[u8]> for Tail {
    /// What has been written before.
    fn from(bytes: &[u8]) -> Self {
        let tail = Self::default();
        tail.push(bytes);
        tail
    }
}

impl Tail {
    /// It as text, without surrounding space.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// It as it was written.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True for the same one, not for another with the same text.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Adds log lines, except those that tell of requests: what was answered says nothing about an end, and would push out what does.
    pub fn note(&self, logger: &[u8], lines: &[u8]) {
        if logger != REQUESTS {
            return self.push(lines);
        }
        for line in lines
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| !tells_of_request(line))
        {
            self.push(line);
        }
    }

    /// Adds something; as much of the oldest goes.
    pub fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&bytes[bytes.len().saturating_sub(LONGEST)..]);
        let excess = tail.len().saturating_sub(LONGEST);
        tail.drain(..excess);
    }
}

/// Whether a line of the logger `http` is one of the request log, in any encoding.
fn tells_of_request(line: &[u8]) -> bool {
    let sentence = || {
        let after = memmem::find(line, b"INFO").map(|at| plain(&line[at + 4..]))?;
        let (status, rest) = after.split_at_checked(3)?;
        let method = plain(rest).first()?;
        Some(status.iter().all(u8::is_ascii_digit) && method.is_ascii_uppercase())
    };
    REQUEST_LINES.iter().any(|words| memmem::find(line, words).is_some()) || sentence() == Some(true)
}

/// What follows spaces and colours.
fn plain(mut text: &[u8]) -> &[u8] {
    loop {
        text = text.trim_ascii_start();
        let Some(colour) = text.strip_prefix(b"\x1b[") else {
            return text;
        };
        let end = memchr(b'm', colour).map_or(colour.len(), |at| at + 1);
        text = &colour[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_no_last_words() {
        let tail = Tail::default();
        tail.note(
            b"http",
            b"{\"msg\":\"the disk is full\"}\n{\"msg\":\"http log\",\"status\":200}\n",
        );
        tail.note(b"http", b"INFO http http access log {\"status\": 200}\n");
        tail.note(b"http", b" http       | INFO  500 GET /error 2 ms\n");
        tail.note(
            b"http",
            b" http | \x1b[32mINFO\x1b[0m  \x1b[31m500\x1b[0m GET /error 2 ms\n",
        );
        tail.note(b"server", b"the http log is somewhere else\n");
        assert_eq!(
            tail.text(),
            "{\"msg\":\"the disk is full\"}\nthe http log is somewhere else"
        );
    }

    #[test]
    fn the_end_is_kept() {
        let tail = Tail::default();
        tail.push(&vec![b'a'; 3 * LONGEST]);
        tail.push(b"\nlast words\n");
        let text = tail.text();
        assert!(text.len() <= LONGEST && text.ends_with("a\nlast words"));
        let again = Tail::from(&*tail.bytes());
        assert_eq!(again.bytes(), tail.bytes());
        assert!(tail.is(&tail.clone()) && !tail.is(&again));
    }
}
