//! A plugin that nobody configured and whose program is not installed: who calls it is told so.

use super::{Answer, Local};
use bytes::Bytes;
use rr_common::rpc::{CallError, Codec};
use std::future::ready;

/// All methods of such a plugin.
#[derive(Debug)]
pub(super) struct Missing {
    prefix: &'static str,
    text: String,
}

impl Missing {
    /// With the text for the callers.
    pub(super) fn new(prefix: &'static str, text: String) -> Self {
        Self { prefix, text }
    }
}

impl Local for Missing {
    fn prefix(&self) -> &'static str {
        self.prefix
    }

    fn call<'a>(&'a self, _: &'a str, _: Codec, _: Bytes) -> Answer<'a> {
        Box::pin(ready(Err(CallError::failed(&self.text))))
    }
}
