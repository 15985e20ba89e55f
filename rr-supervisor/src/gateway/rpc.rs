//! `rpc.*`: what the server says of itself.

use super::{Answer, Local};
use bytes::Bytes;
use rr_common::{
    COMPATIBLE_VERSION,
    rpc::{CallError, Codec, as_base64, encode},
};
use serde::Serialize;
use std::future::ready;

/// The methods.
#[derive(Debug)]
pub(super) struct Rpc {
    config: Bytes,
}

/// Bytes as a plain value: base64 in JSON.
#[derive(Serialize)]
struct Plain<'a>(#[serde(with = "as_base64")] &'a [u8]);

impl Rpc {
    /// With the resolved configuration as JSON.
    pub(super) fn new(config: Bytes) -> Self {
        Self { config }
    }
}

impl Local for Rpc {
    fn prefix(&self) -> &'static str {
        "rpc"
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, _: Bytes) -> Answer<'a> {
        let answer = match (method, codec) {
            ("Version", codec) => encode(codec, &COMPATIBLE_VERSION),
            ("Config", Codec::Raw) => Ok(self.config.clone()),
            ("Config", codec) => encode(codec, &Plain(&self.config)),
            _ => Err(CallError::NoMethod),
        };
        Box::pin(ready(answer))
    }
}
