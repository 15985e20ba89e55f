//! Lines that may wait a moment, so that under load many travel in one datagram: a send for each would be a good part of
//! what a small request costs. Pure; the [`Sender`](super::send::Sender) sends what is taken out here.

use super::wire;
use std::time::Duration;

/// Longest wait of a line.
pub(super) const WAIT: Duration = Duration::from_millis(1);
/// Bytes beyond which what has gathered goes at once.
const ENOUGH: usize = 16 * 1024;

/// Lines of one logger, as one datagram.
#[derive(Debug, Default)]
pub(super) struct Gather {
    bytes: Vec<u8>,
    lines: u64,
    /// Somebody will take what is here when [`WAIT`] is over.
    armed: bool,
}

/// What a new line leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Put {
    /// To be sent now: a datagram and the number of lines in it.
    pub(super) full: Option<(Vec<u8>, u64)>,
    /// Somebody must come when [`WAIT`] is over.
    pub(super) arm: bool,
}

impl Gather {
    /// Adds a line that begins as [`wire::begin`] writes it.
    pub(super) fn put(&mut self, line: &[u8]) -> Put {
        let mut put = Put::default();
        let Some(new) = wire::parse(line) else { return put };
        let fits = match wire::parse(&self.bytes) {
            Some(old) => old.logger == new.logger && self.bytes.len() + new.text.len() <= ENOUGH,
            None => true,
        };
        if !fits {
            put.full = self.take();
        }
        match self.bytes.is_empty() {
            true => self.bytes.extend_from_slice(line),
            false => self.bytes.extend_from_slice(new.text),
        }
        self.lines += 1;
        put.arm = !std::mem::replace(&mut self.armed, true);
        put
    }

    /// Takes out what has gathered.
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, u64)> {
        let lines = std::mem::take(&mut self.lines);
        (lines > 0).then(|| (std::mem::take(&mut self.bytes), lines))
    }

    /// The same when the wait is over.
    pub(super) fn wait_is_over(&mut self) -> Option<(Vec<u8>, u64)> {
        self.armed = false;
        self.take()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(logger: &str, text: &str) -> Vec<u8> {
        let mut line = Vec::new();
        wire::begin(&mut line, logger);
        line.extend_from_slice(text.as_bytes());
        line
    }

    #[test]
    fn lines_of_one_logger_travel_together() {
        let mut gather = Gather::default();
        assert!(gather.put(&line("http", "a\n")).arm);
        assert_eq!(gather.put(&line("http", "b\n")), Put::default());
        let put = gather.put(&line("grpc", "c\n"));
        let (datagram, lines) = put.full.unwrap();
        assert_eq!((wire::parse(&datagram).unwrap().text, lines), (&b"a\nb\n"[..], 2));
        assert!(!put.arm, "the first one's wait is not over");
        let (datagram, lines) = gather.wait_is_over().unwrap();
        assert_eq!((wire::parse(&datagram).unwrap().logger, lines), (&b"grpc"[..], 1));
        assert_eq!(gather.take(), None);
        assert!(gather.put(&line("http", "d\n")).arm);
    }

    #[test]
    fn a_datagram_stays_small() {
        let mut gather = Gather::default();
        let text = "x".repeat(ENOUGH / 3);
        assert_eq!(gather.put(&line("http", &text)).full, None);
        assert_eq!(gather.put(&line("http", &text)).full, None);
        let (datagram, lines) = gather.put(&line("http", &text)).full.unwrap();
        assert!(datagram.len() <= ENOUGH && lines == 2);
    }
}
