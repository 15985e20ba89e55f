//! Writes one log line as text: JSON, RoadRunner's console form, or the form of `up`. Pure, and without allocation once
//! the buffer has grown.

use super::Level;
use super::channel::{Mode, Style};
use super::text::{self, Text};
use super::up::{self, Margin};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// One line while it grows: [`Encoder::head`], then the message, then the fields, then [`Encoder::end`].
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    out: Vec<u8>,
    /// Where the line begins in `out`.
    start: usize,
    style: Style,
    /// Name of the process.
    process: &'a str,
    fields: bool,
    /// Of lines in `up` mode.
    margin: Margin,
    /// Values of several lines in `up` mode, which stand below the others.
    below: Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Continues after what `out` holds already.
    pub(crate) fn new(out: Vec<u8>, style: Style, process: &'a str) -> Self {
        Self {
            start: out.len(),
            out,
            style,
            process,
            fields: false,
            margin: Margin::default(),
            below: Vec::new(),
        }
    }

    /// Time, level and logger, with all that stands between them.
    pub(crate) fn head(&mut self, level: Level, now: SystemTime, logger: &str) {
        match (self.style.json, self.style.mode) {
            (true, Mode::Raw) => self.out.extend_from_slice(b"{\"message\":\""),
            (true, mode) => {
                let [level_key, time_key, logger_key, message_key] = match mode {
                    Mode::Other => ["{\"L\":\"", "\",\"T\":", ",\"N\":\"", "\",\"M\":\""],
                    _ => ["{\"level\":\"", "\",\"ts\":", ",\"logger\":\"", "\",\"msg\":\""],
                };
                self.raw(level_key);
                self.raw(if mode == Mode::Production {
                    level.lower()
                } else {
                    level.upper()
                });
                self.raw(time_key);
                self.moment(now);
                self.raw(logger_key);
                text::escape(&mut self.out, logger.as_bytes());
                self.raw(message_key);
            }
            (false, Mode::Raw) => {}
            (false, Mode::Up) => {
                let speaker = up::speaker(self.process, logger);
                self.margin = up::head(&mut self.out, speaker, level, now, self.style.colour);
            }
            (false, Mode::Production) => {
                self.moment(now);
                for part in ["\t", level.lower(), "\t", logger, "\t"] {
                    self.raw(part);
                }
            }
            (false, Mode::Development | Mode::Other) => {
                self.moment(now);
                let [level_colour, logger_colour, reset] = match self.style.colour {
                    true => [text::colour(level), "\x1b[92m", "\x1b[0m"],
                    false => [""; 3],
                };
                let padding = &"            "[logger.len().min(12)..];
                for part in [
                    "\t",
                    level_colour,
                    level.upper(),
                    reset,
                    "\t",
                    logger_colour,
                    logger,
                    padding,
                    reset,
                    "\t",
                ] {
                    self.raw(part);
                }
            }
        }
    }

    /// The message.
    pub(crate) fn message(&mut self, message: &[u8]) {
        let mut text = self.text();
        text.bytes(message);
        text.end();
        self.message_end();
    }

    /// The message, if it is somebody else's text.
    pub(crate) fn foreign_message(&mut self, message: &str) {
        match (self.style.json, self.is_up()) {
            (true, _) => self.message(message.as_bytes()),
            (false, up) => self.message(text::tame(message, up).as_bytes()),
        }
    }

    /// The message, written by a formatter.
    pub(crate) fn message_display(&mut self, message: impl fmt::Display) {
        let mut text = self.text();
        let _ = write!(text, "{message}");
        text.end();
        self.message_end();
    }

    fn message_end(&mut self) {
        if self.style.json {
            self.raw("\"");
        }
    }

    pub(crate) fn str(&mut self, key: &str, value: &[u8]) {
        if self.is_up() {
            match key {
                // A name for programs that watch the log; people have the message.
                "internal_event_name" => return,
                _ if value.contains(&b'\n') => return self.below(key, value),
                _ => {}
            }
        }
        self.key(key);
        if self.is_up() && text::is_word(value) {
            return self.out.extend_from_slice(value);
        }
        self.raw("\"");
        let mut text = Text::json(&mut self.out);
        text.bytes(value);
        text.end();
        self.raw("\"");
    }

    pub(crate) fn display(&mut self, key: &str, value: impl fmt::Display) {
        if self.is_up() {
            return self.str(key, value.to_string().as_bytes());
        }
        self.key(key);
        self.raw("\"");
        let mut text = Text::json(&mut self.out);
        let _ = write!(text, "{value}");
        text.end();
        self.raw("\"");
    }

    /// Why it failed. In `up` mode that stands right behind the message, in its own words, and must come before all fields.
    pub(crate) fn error(&mut self, error: impl fmt::Display) {
        if !self.is_up() {
            return self.display("error", error);
        }
        let error = error.to_string();
        let mut text = self.text();
        text.bytes(b": ");
        text.bytes(up::own_words(&error).as_bytes());
        text.end();
    }

    pub(crate) fn int(&mut self, key: &str, value: impl itoa::Integer) {
        self.key(key);
        self.raw(itoa::Buffer::new().format(value));
    }

    /// As Go writes floats: shortest form, never an exponent, and what is no number as text.
    pub(crate) fn float(&mut self, key: &str, value: f64) {
        self.key(key);
        let _ = match value {
            v if v.is_nan() => write!(self.out, "\"NaN\""),
            v if v.is_infinite() => write!(self.out, "\"{}Inf\"", if v > 0.0 { '+' } else { '-' }),
            v => write!(self.out, "{v}"),
        };
    }

    pub(crate) fn bool(&mut self, key: &str, value: bool) {
        self.key(key);
        self.raw(if value { "true" } else { "false" });
    }

    /// A moment, in the form that the mode gives to the line's own time; in `up` the line's own is enough.
    pub(crate) fn time(&mut self, key: &str, value: SystemTime) {
        if self.is_up() {
            return;
        }
        self.key(key);
        self.moment(value);
    }

    /// Closes the line and gives the buffer back.
    pub(crate) fn end(mut self, line_ending: &str) -> Vec<u8> {
        match (self.style.json, self.is_up(), self.fields) {
            (true, ..) | (false, false, true) => self.raw("}"),
            (false, true, true) if self.style.colour => self.raw(text::RESET),
            _ => {}
        }
        if !self.below.is_empty() {
            let below = std::mem::take(&mut self.below);
            let tamed = text::tame(&String::from_utf8_lossy(&below), true).into_owned();
            self.margin.lines(&mut self.out, tamed.as_bytes());
        }
        self.raw(line_ending);
        self.out
    }

    /// Whether people read this, and nothing else.
    pub(crate) fn is_up(&self) -> bool {
        self.style.mode == Mode::Up && !self.style.json
    }

    /// Whether a line is nothing but its message and fields.
    pub(crate) fn is_bare(&self) -> bool {
        self.style.mode == Mode::Raw && !self.style.json
    }

    pub(crate) fn has_colour(&self) -> bool {
        self.style.colour
    }

    /// A value of several lines, for people: it stands below the line, with a margin.
    fn below(&mut self, key: &str, value: &[u8]) {
        let indented = [b"\n", key.as_bytes(), b": ", value.trim_ascii_end()].concat();
        self.below
            .extend_from_slice(&indented[..indented.len().min(text::VALUE)]);
    }

    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn text(&mut self) -> Text<'_> {
        match (self.style.json, self.is_up()) {
            (true, _) => Text::json(&mut self.out),
            (false, false) => Text::plain(&mut self.out),
            (false, true) => Text::margin(&mut self.out, self.margin.clone()),
        }
    }

    fn key(&mut self, key: &str) {
        let first = !std::mem::replace(&mut self.fields, true);
        if self.style.json {
            self.raw(",\"");
            text::escape(&mut self.out, key.as_bytes());
            self.raw("\":");
        } else if self.is_up() {
            match first && self.out[self.start..].contains(&b'\n') {
                // Below a text of several lines, not behind its last one.
                true => self.margin.line(&mut self.out),
                false => self.raw(" "),
            }
            if first && self.style.colour {
                self.raw(text::DIM);
            }
            match text::is_word(key.as_bytes()) {
                true => self.raw(key),
                false => text::quoted(&mut self.out, key.as_bytes()),
            }
            self.raw("=");
        } else {
            match (first, self.out.len() > self.start) {
                (true, true) => self.raw("\t{"),
                (true, false) => self.raw("{"),
                (false, _) => self.raw(", "),
            }
            text::quoted(&mut self.out, key.as_bytes());
            self.raw(": ");
        }
    }

    fn moment(&mut self, moment: SystemTime) {
        match (self.style.mode, self.style.json) {
            (Mode::Production | Mode::Raw, _) => {
                let nanos = moment
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_nanos() as i64);
                self.raw(itoa::Buffer::new().format(nanos));
            }
            (_, true) => {
                self.raw("\"");
                text::utc(&mut self.out, moment);
                self.raw("\"");
            }
            // The head of a console line has the bare time, its fields are JSON.
            (_, false) if self.fields => {
                self.raw("\"");
                text::utc(&mut self.out, moment);
                self.raw("\"");
            }
            (_, false) => text::utc(&mut self.out, moment),
        }
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
