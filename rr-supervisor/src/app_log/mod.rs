//! `app.*`: log lines of PHP applications, by the logger `app`, whose level and looks the `logs` section decides.
//!
//! A message is foreign text: whatever is in it, it stays one line of the log under its own time and level. A message that is
//! JSON is whole in `msg`, as worker's output is, and in `raw` mode it is the line.

mod stderr;

use crate::{
    gateway::{Answer, Local},
    messages::applogger::{LogAttrs, LogEntry, Response},
};
use bytes::Bytes;
use rr_common::{
    rpc::{CallError, Codec, decode, decode_message, encode, encode_message},
    telemetry::{Level, log},
};
use std::borrow::Cow;
use stderr::Stderr;

/// The logger's name.
const LOGGER: &str = "app";

/// Keys that a line has already. An attribute of that name would give the line another level or message for readers that take
/// the last of two.
const TAKEN: [&str; 9] = ["level", "ts", "logger", "msg", "message", "L", "T", "N", "M"];

/// The service.
#[derive(Debug, Default)]
pub(crate) struct AppLog {
    stderr: Stderr,
}

impl AppLog {
    fn answer(&self, method: &str, codec: Codec, body: Bytes) -> Result<Bytes, CallError> {
        let (verb, with_context) = match method.strip_suffix("WithContext") {
            Some(verb) => (verb, true),
            None => (method, false),
        };
        let level = match verb {
            "Error" => Some(Level::Error),
            "Warning" => Some(Level::Warn),
            "Info" => Some(Level::Info),
            "Debug" => Some(Level::Debug),
            "Log" => None,
            _ => return Err(CallError::NoMethod),
        };
        let entry = match with_context {
            true => decode_message(codec, body)?,
            false => LogEntry {
                message: decode(codec, &body)?,
                log_attrs: Vec::new(),
            },
        };
        match level {
            Some(level) => write(level, &entry),
            None => self
                .stderr
                .write(verbatim(entry))
                .map_err(|error| CallError::failed(error.to_string()))?,
        }
        match with_context {
            true => encode_message(codec, &Response {}),
            false => encode(codec, &false),
        }
    }
}

impl Local for AppLog {
    fn prefix(&self) -> &'static str {
        LOGGER
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, body: Bytes) -> Answer<'a> {
        let answer = self.answer(method, codec, body);
        Box::pin(std::future::ready(answer))
    }
}

fn write(level: Level, entry: &LogEntry) {
    let Some(mut line) = log::foreign_line(LOGGER, level, &entry.message) else {
        return;
    };
    for attribute in &entry.log_attrs {
        line.str(&key(&attribute.key), &attribute.value);
    }
    line.send();
}

fn key(name: &str) -> Cow<'_, str> {
    match TAKEN.contains(&name) {
        true => format!("attr.{name}").into(),
        false => name.into(),
    }
}

/// The text of `Log` and `LogWithContext`: nothing is added but what the reference adds.
fn verbatim(entry: LogEntry) -> String {
    let pair = |LogAttrs { key, value }: &LogAttrs| format!("{key}:{value}");
    let pairs: Vec<String> = entry.log_attrs.iter().map(pair).collect();
    match pairs.is_empty() {
        true => entry.message,
        false => format!("{} {}", entry.message, pairs.join(",")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use prost::Message;

    fn entry(message: &str, attributes: &[(&str, &str)]) -> LogEntry {
        let attribute = |(key, value): &(&str, &str)| LogAttrs {
            key: (*key).into(),
            value: (*value).into(),
        };
        LogEntry {
            message: message.into(),
            log_attrs: attributes.iter().map(attribute).collect(),
        }
    }

    /// LOG-03. The reference cuts the last two characters off.
    #[test]
    fn verbatim_is_verbatim() {
        assert_eq!(verbatim(entry("m", &[])), "m");
        assert_eq!(verbatim(entry("m", &[("k", "v"), ("k2", "value")])), "m k:v,k2:value");
    }

    #[test]
    fn an_attribute_never_takes_the_place_of_level_or_message() {
        assert_eq!(key("level"), "attr.level");
        assert_eq!(key("user"), "user");
    }

    /// LOG-03: both codecs of the arguments, and the results that PHP expects.
    #[test]
    fn methods_take_what_php_sends() {
        let app = AppLog::default();
        for method in ["Error", "Warning", "Info", "Debug"] {
            let answer = app.answer(method, Codec::Json, Bytes::from_static(b"\"text\""));
            assert_eq!(answer.unwrap(), "false", "{method}");
            let method = format!("{method}WithContext");
            let message = entry("m", &[("k", "v")]).encode_to_vec();
            assert!(app.answer(&method, Codec::Proto, message.into()).unwrap().is_empty());
            let json = Bytes::from_static(br#"{"message":"m","log_attrs":[{"key":"k","value":"v"}]}"#);
            assert_eq!(app.answer(&method, Codec::Json, json).unwrap(), "{}");
        }
        assert_eq!(
            app.answer("Emergency", Codec::Json, Bytes::new()),
            Err(CallError::NoMethod)
        );
        assert!(app.answer("Info", Codec::Json, Bytes::from_static(b"{")).is_err());
    }
}
