//! What the supervisor and every plugin share.
//!
//! - [`frame`]: the goridge frame, checked, parsed and encoded; pure
//! - [`relay`]: the byte channel between us and one worker
//! - [`worker`]: one PHP process: spawn, handshake, exchange, stop
//! - [`pool`]: the workers of one plugin and who gets which of them
//! - [`config`]: `.rr.yaml` and `rr.toml`: loading, checking, the typed sections
//! - [`control`]: the contract `rr.control.v1` between supervisor and plugins
//! - [`descriptors`]: how many there may be
//! - [`listen`]: addresses and listening sockets, inherited or bound
//! - [`health`]: whether a server that a plugin needs is there
//! - [`memory`]: giving back what only the start needed
//! - [`notify`]: what systemd is told
//! - [`plugin`]: `run()`, what every plugin's `main` calls
//! - [`proc`]: what the kernel tells of a process
//! - [`rpc`]: calls from PHP: codecs, values, errors
//! - [`shutdown`]: begin, force, done
//! - [`telemetry`]: log lines and metrics

pub mod config;
pub mod control;
pub mod descriptors;
pub mod frame;
pub mod health;
pub mod listen;
pub mod memory;
pub mod notify;
pub mod oom;
pub mod plugin;
pub mod pool;
pub mod proc;
pub mod relay;
pub mod rpc;
pub mod shutdown;
pub mod telemetry;
pub mod worker;

/// The RoadRunner release whose behaviour we take over: what `--version`, `RR_VERSION` and `rpc.Version` say.
pub const COMPATIBLE_VERSION: &str = "2025.1.15";
