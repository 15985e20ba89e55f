//! One line while it is written: its fields, and how it leaves.

use super::{Level, channel::Channel, encode::Encoder, log::Logger, send::Sender, trace::Place, wire};
use std::{cell::Cell, fmt::Display, sync::Arc, time::SystemTime};

/// Buffers beyond this size are not kept for the next line.
const KEPT: usize = 16 * 1024;

thread_local! {
    /// The buffer of the last line. A line that begins inside another one finds it empty and gets a new one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A line that is being written; nothing happens without [`Line::send`].
#[derive(Debug)]
#[must_use = "a line is written by send()"]
pub struct Line<'a> {
    logger: &'a Logger,
    channel: Arc<Channel>,
    pub(super) encoder: Encoder<'a>,
}

impl<'a> Line<'a> {
    /// A line up to where its message begins.
    pub(super) fn begin(logger: &'a Logger, channel: Arc<Channel>, name: &str, level: Level) -> Self {
        let mut buffer = SPARE.take();
        wire::begin(&mut buffer, name);
        let mut encoder = Encoder::new(buffer, channel.style, logger.process());
        encoder.head(level, SystemTime::now(), name);
        Self {
            logger,
            channel,
            encoder,
        }
    }
}

impl Line<'_> {
    /// A text.
    pub fn str(&mut self, key: &str, value: &str) -> &mut Self {
        self.bytes(key, value.as_bytes())
    }

    /// A text that may be no UTF-8; what is none is replaced.
    pub fn bytes(&mut self, key: &str, value: &[u8]) -> &mut Self {
        self.encoder.str(key, value);
        self
    }

    /// A text made by a formatter, such as an error's.
    pub fn display(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.encoder.display(key, value);
        self
    }

    /// A number.
    pub fn int(&mut self, key: &str, value: i64) -> &mut Self {
        self.encoder.int(key, value);
        self
    }

    /// A number.
    pub fn uint(&mut self, key: &str, value: u64) -> &mut Self {
        self.encoder.int(key, value);
        self
    }

    /// A number with a fraction.
    pub fn float(&mut self, key: &str, value: f64) -> &mut Self {
        self.encoder.float(key, value);
        self
    }

    /// True or false.
    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.encoder.bool(key, value);
        self
    }

    /// A moment, in the form of the mode: nanoseconds in `production`, text in `development`.
    pub fn time(&mut self, key: &str, value: SystemTime) -> &mut Self {
        self.encoder.time(key, value);
        self
    }

    /// The place in a trace, for lines about a traced request.
    pub fn place(&mut self, place: Option<Place>) -> &mut Self {
        if let Some(place) = place {
            self.display("trace_id", place.trace).display("span_id", place.span);
        }
        self
    }

    /// Writes the line.
    pub fn send(self) {
        self.deliver(Sender::send);
    }

    /// Writes the line within a moment, together with others: for lines that come with every request. One that a `kill -9` of
    /// this process overtakes is lost.
    pub fn send_soon(self) {
        self.deliver(Sender::send_soon);
    }

    fn deliver(self, send: fn(&Arc<Sender>, &[u8], &str)) {
        let logger = self.logger;
        self.hand_over(send);
        match logger.sender().take_dropped() {
            0 => {}
            count => logger.tell_dropped(count),
        }
    }

    /// Gives the line away as it is; [`Line::send`] tells of lost ones besides.
    pub(super) fn hand_over(self, send: fn(&Arc<Sender>, &[u8], &str)) {
        let ending = &self.channel.line_ending;
        let mut buffer = self.encoder.end(ending);
        send(self.logger.sender(), &buffer, ending);
        buffer.clear();
        if buffer.capacity() <= KEPT {
            SPARE.set(buffer);
        }
    }
}
