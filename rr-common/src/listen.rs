//! Addresses as RoadRunner writes them, and listening sockets: inherited ones matched by their address, or newly bound.

use std::{io, net::SocketAddr, os::fd::OwnedFd, path::PathBuf};

/// Where something listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A Unix socket, optionally with a mode and an owner.
    Unix(PathBuf),
}

/// The listening sockets that a plugin may take, by address.
#[derive(Debug, Default)]
pub struct Listeners {
    inherited: Vec<(Address, OwnedFd)>,
}

/// A listening socket, not blocking.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(std::net::TcpListener),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixListener),
}

impl Listeners {
    /// The socket for an address: the inherited one, or a new one. May be called again for a further copy (`dup`) of the same socket.
    pub fn take(&self, _address: &str) -> io::Result<Listener> {
        let _ = &self.inherited;
        unimplemented!()
    }
}
