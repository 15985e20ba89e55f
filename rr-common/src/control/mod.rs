//! The contract `rr.control.v1` between the supervisor and its plugins: gRPC over Unix sockets in one directory.
//!
//! [`v1`] is generated from `proto/rr/control/v1/control.proto`, where the calls are described. [`Access`] says who may come in, [`Door`]
//! accepts their connections, on both sides; [`connect`] and [`Link`] are the ways out. [`handover`] passes descriptors over.

mod access;
mod door;
pub mod handover;
mod link;

pub use access::{Access, Guests};
pub use door::Door;
pub use link::{Link, LinkError, connect, farewell};

/// The generated messages and services of `proto/rr/control/v1/control.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("rr.control.v1");
}

/// The version of the contract that this build speaks; both sides compare it at `Register`.
pub const CONTRACT_VERSION: u32 = 1;

/// Largest message of the contract: a configuration, a metrics page, a large RPC value.
pub const MAX_MESSAGE: usize = 64 << 20;
