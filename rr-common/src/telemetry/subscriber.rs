//! `tracing` events as log lines. Spans are nothing here: the reference's lines have none, and they cost on the hot path.

use super::Level;
use super::encode::Encoder;
use super::log::Logger;
use std::fmt::Debug;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};

/// Our own subscriber: it has no registry of spans and holds no state beside the logger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber(pub(super) &'static Logger);

impl tracing::Subscriber for Subscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.enabled(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let logger = logger_of(metadata.target(), self.0.process()).filter(|_| !metadata.is_span());
        match (logger, Level::of(metadata.level())) {
            (Some(logger), Some(level)) => self.0.wanted(logger, level).is_some(),
            _ => false,
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0.lowest() {
            None => LevelFilter::OFF,
            Some(Level::Debug) => LevelFilter::DEBUG,
            Some(Level::Info) => LevelFilter::INFO,
            Some(Level::Warn) => LevelFilter::WARN,
            Some(Level::Error | Level::Panic | Level::Fatal) => LevelFilter::ERROR,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let Some(logger) = logger_of(metadata.target(), self.0.process()) else {
            return;
        };
        let Some(level) = Level::of(metadata.level()) else {
            return;
        };
        let Some(mut line) = self.0.begin(logger, level) else {
            return;
        };
        let mut message = Message {
            encoder: &mut line.encoder,
            seen: false,
        };
        event.record(&mut message);
        if !message.seen {
            line.encoder.message(metadata.name().as_bytes());
        }
        // For people the failure comes first.
        let error_first = line.encoder.is_up();
        if error_first {
            event.record(&mut Failure(&mut line.encoder));
        }
        event.record(&mut Fields {
            encoder: &mut line.encoder,
            error_first,
        });
        line.send();
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// The logger that a target names: itself; the process's own for our crates' module paths; none for libraries.
fn logger_of<'a>(target: &'a str, process: &'a str) -> Option<&'a str> {
    match target.split_once("::") {
        Some((first, _)) => first.starts_with("rr_").then_some(process),
        None if target.starts_with("rr_") => Some(process),
        None => Some(target),
    }
}

/// Writes the message and nothing else: it stands before the fields, wherever it comes among them.
struct Message<'a, 'b> {
    encoder: &'a mut Encoder<'b>,
    seen: bool,
}

impl Visit for Message<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.encoder.message_display(format_args!("{value:?}"));
            self.seen = true;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.encoder.message(value.as_bytes());
            self.seen = true;
        }
    }
}

/// Writes the field `error`, for lines that have it right behind the message.
struct Failure<'a, 'b>(&'a mut Encoder<'b>);

impl Visit for Failure<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "error" {
            self.0.error(format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "error" {
            self.0.error(value);
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if field.name() == "error" {
            self.0.error(value);
        }
    }
}

/// Writes all fields but the message, and the error where that has been written.
struct Fields<'a, 'b> {
    encoder: &'a mut Encoder<'b>,
    error_first: bool,
}

impl Fields<'_, '_> {
    fn is_written(&self, field: &Field) -> bool {
        // What the reference calls its reasons is the message once more, for programs.
        let known = ["error", "reason"].contains(&field.name());
        field.name() == "message" || (self.error_first && known)
    }
}

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if !self.is_written(field) {
            self.encoder.display(field.name(), format_args!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !self.is_written(field) {
            self.encoder.str(field.name(), value.as_bytes());
        }
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.encoder.str(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.encoder.int(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.encoder.int(field.name(), value);
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.encoder.int(field.name(), value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.encoder.int(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.encoder.float(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.encoder.bool(field.name(), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        if !self.is_written(field) {
            self.encoder.display(field.name(), value);
        }
    }
}
