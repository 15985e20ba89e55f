//! The lock plugin: named locks that PHP processes take by RPC, exclusive or shared, with an owner, a time limit, a bounded
//! wait and a fencing token. A library, so that a fuzz target reaches the journal's decoder.
//!
//! `methods` reads a call and asks a [`driver`]. The driver `memory` is [`table`], which decides as plain data, plus
//! [`journal`], which keeps the grants in a memory file that outlives this process, plus a timer.

mod clock;
pub mod driver;
pub mod journal;
mod methods;
mod plugin;
pub mod table;

/// The messages.
#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated from lock.proto, where the words are"
)]
mod v1beta1 {
    include!(concat!(env!("OUT_DIR"), "/lock.v1beta1.rs"));
}

pub use plugin::LockPlugin;
