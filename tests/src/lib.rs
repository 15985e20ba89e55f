//! What the end-to-end tests share: a real server in a temporary directory, clients for it, and bounded waits.
//!
//! - [`bin`]: where the repository, the built binaries and the PHP scripts are
//! - [`room`]: a temporary directory
//! - [`port`]: a free port, and how its address is written
//! - [`server`]: `rr-supervisor` with a configuration of the test's own
//! - [`standin`]: the same with a plugin that needs no PHP and misbehaves on demand
//! - [`servers`]: Redis and Memcached of the test's own
//! - [`rpc_place`]: the same with an RPC port
//! - [`examples`]: the examples, served as they stand
//! - [`operator`]: the command line with the server's file
//! - [`load`]: constant load, and what became of each request
//! - [`project`]: a PHP project to be changed
//! - [`reload`]: a server whose configuration is written anew
//! - [`process`]: process trees as `/proc` shows them
//! - [`client`]: HTTP/1.1 and HTTP/2 over TCP, Unix sockets and TLS, raw bytes, and goridge RPC
//! - [`collector`]: a collector of traces
//! - [`metrics`]: a server with a page of metrics, and what stands on it
//! - [`background`]: a runtime beside the test
//! - [`systemd`]: a stand-in for systemd
//! - [`rounds`]: how long a test goes on
//! - [`wait`]: polling with a bound
//!
//! Tests are plain `#[test]` functions: everything here blocks, and the clients bring their own small runtimes.
//! A test that needs things to happen at once uses threads.

#![allow(clippy::unwrap_used)] // Here a panic with its place is the report that a test needs.

pub mod background;
pub mod bin;
pub mod client;
pub mod collector;
pub mod examples;
pub mod load;
pub mod metrics;
pub mod operator;
pub mod port;
pub mod process;
pub mod project;
pub mod reload;
pub mod room;
pub mod rounds;
pub mod rpc_place;
pub mod server;
pub mod servers;
pub mod standin;
pub mod systemd;
pub mod wait;

pub use background::Background;
pub use client::{Client, Raw, Reply, Rpc};
pub use room::Room;
pub use rounds::rounds;
pub use server::Server;
pub use wait::eventually;
