//! A connection to Redis as a `redis` section describes it: one server, a master that sentinels watch, or a cluster.
//!
//! [`Client`] is all that its users see: it opens connections when they are needed, shares each among many commands, tries
//! again, recovers by itself, and tells whether Redis is there. Commands and values are those of the `redis` crate.
//!
//! - [`settings`]: the section with its defaults, checked; what cannot be done is a warning
//! - [`connect`]: one connection, by mode; TLS and the question to the sentinels
//! - [`lanes`]: which of the open connections a command takes, as plain data
//! - [`client`]: commands, retries, health
//! - [`numbers`]: the metrics of the reference's pool

mod address;
mod client;
mod connect;
mod lanes;
mod numbers;
mod sentinel;
mod settings;
mod tls;

pub use client::{Again, Client, Error};
pub use numbers::PoolNumbers;
pub use redis::{Cmd, FromRedisValue, Value, cmd};
pub use settings::SetupError;
