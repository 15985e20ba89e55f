//! The HTTP plugin: HTTP/1.1, HTTP/2 and TLS in front of a pool of PHP workers. A library, so that fuzz targets reach
//! the decoders.
//!
//! The way of a request is short and one-directional: `listeners` accepts, `serve` finds the protocol of a connection
//! (`http1` or `http2`), `handle` answers one request: [`body`] reads what the client sends, [`request`] encodes it for
//! PHP, the pool runs it, [`response`] decodes the answer, `stream` goes on with it when it comes in pieces. Whatever
//! fails on the way becomes an answer in `errors`. `watch` closes slow connections and drains all of them.
//! `describe` tells operators what a worker works on.

mod access_log;
pub mod body;
mod connection;
pub mod cookies;
mod date;
mod describe;
mod errors;
mod handle;
mod hints;
mod http1;
mod http2;
mod io;
mod listeners;
mod middleware;
mod observe;
mod plugin;
mod redirect;
mod reply;
pub mod request;
pub mod response;
mod serve;
mod settings;
pub mod sniff;
mod stream;
mod tls;
mod watch;

pub use plugin::HttpPlugin;
