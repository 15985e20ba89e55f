//! A span: a finished piece of work, as exporters get it.

use rr_common::telemetry::trace::{Place, SpanId};
use std::{borrow::Cow, time::SystemTime};

/// Longer texts are cut: they come from clients, and many spans may wait in memory.
const LONGEST_TEXT: usize = 2048;

/// A finished piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its own place.
    pub place: Place,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// Its parent is another program's.
    pub remote_parent: bool,
    /// The trace's flags.
    pub flags: u8,
    /// What vendors add to the trace (`tracestate`).
    pub state: String,
    /// What was done.
    pub name: Cow<'static, str>,
    /// Its role.
    pub kind: Kind,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// What describes it.
    pub attributes: Vec<Attribute>,
    /// What happened meanwhile.
    pub events: Vec<Event>,
    /// Why it failed, if it did; may be empty.
    pub error: Option<String>,
}

/// The role of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work inside a program.
    Internal,
    /// The answer to a request from elsewhere.
    Server,
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// What.
    pub name: Cow<'static, str>,
    /// What describes it.
    pub attributes: Vec<Attribute>,
}

/// A name and a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The name, one of the semantic conventions' where these have one.
    pub key: Cow<'static, str>,
    /// The value.
    pub value: Value,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Int(i64),
}

impl Attribute {
    /// A text, which is cut if it is very long.
    pub fn text(key: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        Self {
            key: key.into(),
            value: Value::Text(cut(value.into())),
        }
    }

    /// A number.
    pub fn int(key: &'static str, value: u64) -> Self {
        Self {
            key: key.into(),
            value: Value::Int(i64::try_from(value).unwrap_or(i64::MAX)),
        }
    }
}

/// At most as much of a text as is kept.
pub fn cut(text: Cow<'static, str>) -> Cow<'static, str> {
    match text.len() {
        0..=LONGEST_TEXT => text,
        _ => text[..text.floor_char_boundary(LONGEST_TEXT)].to_owned().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let Value::Text(text) = Attribute::text("a", "ä".repeat(LONGEST_TEXT) + "b").value else {
            panic!("a text")
        };
        assert_eq!(text.len(), LONGEST_TEXT);
        assert_eq!(cut("short".into()), "short");
    }
}
