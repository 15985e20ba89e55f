//! The key-value plugin: storages by name, each with a driver, behind the `kv.*` methods.
//!
//! - [`plugin`]: opens what the configuration names, and closes it
//! - [`service`]: the RPC edge: a method and a message in, a message or the reference's error text out
//! - [`request`], [`reply`]: the message that arrives, read in place; the one that leaves, written while a driver finds things
//! - [`handover`]: what one process leaves to the next when it is replaced
//! - [`expiry`], [`rfc3339`]: when a key ends, and how that is written
//! - [`stats`]: the storages as metrics
//! - [`driver`]: what a storage can do, and the list of those that exist
//!
//! The way of one `kv.MGet` on memory: the keys are slices of the request, and the value is copied once, from the table
//! into the answer.

pub mod driver;
pub mod expiry;
pub mod handover;
mod maybe_base64;
pub mod plugin;
pub mod reply;
pub mod request;
pub mod rfc3339;
pub mod service;
pub mod stats;

pub use plugin::KvPlugin;

/// The messages of `proto/kv/v1/kv.proto`.
#[allow(missing_docs)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/kv.v1.rs"));
}
