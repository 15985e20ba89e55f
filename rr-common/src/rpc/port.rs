//! `rpc.listen`: the socket where PHP and the command line call, and who may come in.

use super::Quiet;
use crate::{
    config::section::Rpc,
    control::{Access, Guests},
    listen::{Address, Listener},
};
use std::{io, os::fd::AsFd, time::Duration};
use tokio::{
    net::{TcpListener, UnixListener},
    time::sleep,
};

/// The wait after a failed accept: most likely a lack of descriptors, which passes.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound socket, and who may use it.
#[derive(Debug)]
pub struct Port {
    listener: Listener,
    guests: Guests,
}

/// A port that the runtime watches.
#[derive(Debug)]
pub enum OpenPort {
    /// Whoever reaches it may come in.
    Tcp(TcpListener),
    /// Whoever the file's mode lets in and, if there is a list, is on it.
    Unix(UnixListener, Guests),
}

impl Port {
    /// The socket that was bound to `rpc.listen`.
    pub fn new(listener: Listener, guests: Guests) -> Self {
        Self { listener, guests }
    }

    /// Who may come in, as the section says it.
    ///
    /// # Errors
    /// `rpc.allow_users` names a user that does not exist, or stands beside a TCP address.
    pub fn access(section: &Rpc) -> io::Result<Access> {
        match (section.listen.parse(), section.allow_users.as_slice()) {
            (_, []) => Ok(Access::everybody()),
            (Ok(Address::Unix(_)), users) => Access::of("rpc.allow_users", users),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "rpc.allow_users: the callers' users are known at a unix:// address only",
            )),
        }
    }

    /// Opens it, inside the runtime that accepts.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn open(self) -> io::Result<OpenPort> {
        Ok(match self.listener {
            Listener::Tcp(listener) => OpenPort::Tcp(TcpListener::from_std(listener)?),
            Listener::Unix(listener) => OpenPort::Unix(UnixListener::from_std(listener)?, self.guests),
        })
    }
}

impl OpenPort {
    /// The next caller.
    pub async fn accept(&self) -> Quiet {
        loop {
            match self.attempt().await {
                Ok(Some(caller)) => return caller,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(target: "rpc", %error, "accepting an RPC connection failed");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// `None`: a stranger, who was turned away, or somebody who is gone already.
    async fn attempt(&self) -> io::Result<Option<Quiet>> {
        match self {
            Self::Tcp(listener) => Ok(Quiet::tcp(listener.accept().await?.0).ok()),
            Self::Unix(listener, guests) => {
                let (stream, _) = listener.accept().await?;
                let known = guests.know(stream.as_fd(), "rpc");
                Ok(if known { Quiet::unix(stream).ok() } else { None })
            }
        }
    }
}
