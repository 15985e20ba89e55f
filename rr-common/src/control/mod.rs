//! The contract `rr.control.v1` between the supervisor and its plugins.

/// The generated messages and services of `proto/rr/control/v1/control.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("rr.control.v1");
}
