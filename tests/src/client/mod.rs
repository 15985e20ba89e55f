//! HTTP clients: what to connect to, one connection, one whole answer, and raw bytes.
//!
//! [`Client`] names a server; each of its requests opens a connection. [`Connection`] keeps one. [`Raw`] sends what
//! no HTTP library would. Nothing waits longer than [`PATIENCE`].

mod connection;
mod raw;
mod rpc;
mod target;

pub use connection::Connection;
pub use raw::Raw;
pub use rpc::{Answer, Rpc};
pub use target::Target;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Version};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The longest that a client waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server to send requests to.
#[derive(Clone, Debug)]
pub struct Client {
    target: Target,
    http2: bool,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status of the final answer.
    pub status: u16,
    /// HTTP version of the answer.
    pub version: Version,
    /// Headers of the final answer.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Trailers, if any came.
    pub trailers: HeaderMap,
    /// The 1xx answers before it.
    pub informational: Vec<(StatusCode, HeaderMap)>,
}

impl Client {
    /// Plain HTTP/1.1 over TCP.
    pub fn tcp(address: SocketAddr) -> Self {
        Self::to(Target::Tcp(address))
    }

    /// Plain HTTP/1.1 over a Unix socket.
    pub fn unix(path: &Path) -> Self {
        Self::to(Target::Unix(path.to_owned()))
    }

    /// HTTP/1.1 over TLS, trusting exactly this PEM certificate (which must name `localhost`).
    pub fn tls(address: SocketAddr, certificate: &str) -> Self {
        Self::to(Target::tls(address, certificate))
    }

    fn to(target: Target) -> Self {
        Self { target, http2: false }
    }

    /// The same server by HTTP/2: by ALPN over TLS, with prior knowledge otherwise.
    #[must_use]
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// Opens a connection that is kept.
    ///
    /// # Errors
    /// A text saying which step failed.
    pub fn try_connect(&self) -> Result<Connection, String> {
        Connection::open(&self.target, self.http2)
    }

    /// Opens a connection that is kept.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        self.try_connect().unwrap()
    }

    /// One GET on a new connection.
    #[track_caller]
    pub fn get(&self, path: &str) -> Reply {
        self.connect().get(path)
    }

    /// One POST on a new connection.
    #[track_caller]
    pub fn post(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Reply {
        let request = Request::post(path).header("content-type", content_type);
        self.send(request.body(body.into()).unwrap())
    }

    /// One request on a new connection.
    #[track_caller]
    pub fn send(&self, request: Request<Bytes>) -> Reply {
        self.connect().send(request)
    }

    /// One request on a new connection.
    ///
    /// # Errors
    /// A text saying which step failed.
    pub fn try_send(&self, request: Request<Bytes>) -> Result<Reply, String> {
        self.try_connect()?.try_send(request)
    }
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("no JSON ({error}): {self:?}"),
        }
    }

    /// The first value of a header; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|v| v.to_str().unwrap());
        value.unwrap_or_default()
    }

    /// All values of a header.
    pub fn header_all(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values.map(|v| v.to_str().unwrap()).collect()
    }
}
