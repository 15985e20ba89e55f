//! `rpc.*`: what the server says of itself.

use super::{Answer, Local};
use bytes::Bytes;
use rr_common::{
    COMPATIBLE_VERSION,
    rpc::{CallError, Codec, as_base64, encode},
};
use serde::Serialize;
use std::future::ready;
use tokio::sync::watch;

/// The methods.
#[derive(Debug)]
pub(super) struct Rpc {
    config: watch::Receiver<Bytes>,
}

/// Bytes as a plain value: base64 in JSON.
#[derive(Serialize)]
struct Plain<'a>(#[serde(with = "as_base64")] &'a [u8]);

impl Rpc {
    /// With the resolved configuration as JSON, now and after each reload.
    pub(super) fn new(config: watch::Receiver<Bytes>) -> Self {
        Self { config }
    }
}

impl Local for Rpc {
    fn prefix(&self) -> &'static str {
        "rpc"
    }

    fn call<'a>(&'a self, method: &'a str, codec: Codec, _: Bytes) -> Answer<'a> {
        let config = self.config.borrow().clone();
        let answer = match (method, codec) {
            ("Version", codec) => encode(codec, &COMPATIBLE_VERSION),
            ("Config", Codec::Raw) => Ok(config),
            ("Config", codec) => encode(codec, &Plain(&config)),
            _ => Err(CallError::NoMethod),
        };
        Box::pin(ready(answer))
    }
}
