//! One PHP process: how it is started, spoken to and ended.
//!
//! - [`recipe`]: command, environment and user, the same for all workers of a pool
//! - [`boot`]: its start, up to the pid handshake
//! - [`process`]: life under orders, end with its whole process group
//! - [`handshake`]: who are you? the first frames on a channel
//! - [`payload`]: one request as it goes to a worker
//! - [`stderr`]: its standard error into the log
//! - [`unsafe_exec`]: what happens between fork and exec

pub mod boot;
pub mod handshake;
pub mod payload;
pub mod process;
pub mod recipe;
pub mod stderr;
pub mod unsafe_exec;

pub use payload::{Body, Payload};
