//! The calls `metrics.*`.

use super::{
    Metrics,
    arguments::{Metric, NamedCollector},
    collector::Operation,
    declaration::Declaration,
    registry::Declared,
};
use crate::gateway::{Answer, Local};
use bytes::Bytes;
use rr_common::rpc::{CallError, Codec, decode, encode};
use std::{fmt::Display, future::ready, sync::Arc, time::Instant};

/// Answers them.
#[derive(Debug)]
pub(crate) struct Calls(pub(crate) Arc<Metrics>);

impl Local for Calls {
    fn prefix(&self) -> &'static str {
        "metrics"
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, body: Bytes) -> Answer<'a> {
        Box::pin(ready(self.answer(method, codec, &body)))
    }
}

impl Calls {
    fn answer(&self, method: &str, codec: Codec, body: &[u8]) -> Result<Bytes, CallError> {
        match method {
            "Add" => self.update(Operation::Add, "add", codec, body),
            "Sub" => self.update(Operation::Sub, "sub", codec, body),
            "Set" => self.update(Operation::Set, "set", codec, body),
            "Observe" => self.update(Operation::Observe, "observe", codec, body),
            "Declare" => self.declare(codec, body),
            "Unregister" => {
                let name: String = decode(codec, body)?;
                let unregistered = self.0.registry().unregister(&name);
                unregistered.map_err(|error| failed("unregister", &error))?;
                self.0.keep(|metrics| metrics.retain(|metric| metric.name != name));
                yes(codec)
            }
            _ => Err(CallError::NoMethod),
        }
    }

    fn update(&self, operation: Operation, word: &str, codec: Codec, body: &[u8]) -> Result<Bytes, CallError> {
        let metric: Metric = decode(codec, body)?;
        let mut registry = self.0.registry();
        let updated = registry.update(operation, &metric.name, metric.value, &metric.labels, Instant::now());
        drop(registry);
        updated.map_err(|error| failed(word, &error))?;
        yes(codec)
    }

    fn declare(&self, codec: Codec, body: &[u8]) -> Result<Bytes, CallError> {
        let declaration: Declaration = decode::<NamedCollector>(codec, body)?.into();
        let declared = self.0.registry().declare(&declaration, Instant::now());
        if declared.map_err(|error| failed("declare", &error))? == Declared::New {
            self.0.keep(|metrics| metrics.push(declaration));
        } else {
            let Declaration {
                name, kind, namespace, ..
            } = declaration;
            tracing::warn!(target: "metrics", name, r#type = kind, namespace, "metric with provided name already exist");
        }
        yes(codec)
    }
}

fn failed(word: &str, error: &dyn Display) -> CallError {
    CallError::Failed(format!("metrics_plugin_{word}: {error}"))
}

/// The answer of every call: true.
fn yes(codec: Codec) -> Result<Bytes, CallError> {
    match codec {
        Codec::Json => Ok(Bytes::from_static(b"true")),
        codec => encode(codec, &true),
    }
}
