//! RPC methods that the supervisor answers itself, by the first part of their name.

use bytes::Bytes;
use rr_common::rpc::{CallError, Codec};
use std::{fmt, future::Future, pin::Pin, sync::Arc};

/// An answer on its way.
pub(crate) type Answer<'a> = Pin<Box<dyn Future<Output = Result<Bytes, CallError>> + Send + 'a>>;

/// The methods below one prefix.
///
/// A call is polled at once, on the RPC port's thread, and what is ready then costs no task. So it must never block: what takes
/// long waits, and what the supervisor's loop owns is asked of it by a `Question`.
pub(crate) trait Local: fmt::Debug + Send + Sync {
    /// The prefix: `metrics` for `metrics.Add`.
    fn prefix(&self) -> &'static str;

    /// Answers a method, whose name comes without the prefix.
    fn call<'a>(&'a self, method: &'a str, codec: Codec, body: Bytes) -> Answer<'a>;
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Locals {
    services: Vec<Arc<dyn Local>>,
}

impl Locals {
    /// Adds one.
    pub(crate) fn add(&mut self, service: impl Local + 'static) {
        self.services.push(Arc::new(service));
    }

    /// Adds these.
    pub(crate) fn extend(&mut self, others: &Self) {
        self.services.extend(others.services.iter().cloned());
    }

    /// The one with that prefix.
    pub(crate) fn get(&self, prefix: &str) -> Option<&Arc<dyn Local>> {
        self.services.iter().find(|service| service.prefix() == prefix)
    }
}
