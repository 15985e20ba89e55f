//! Addresses as RoadRunner writes them, and listening sockets: inherited ones matched by their address, or newly bound.
//!
//! A supervisor binds every address of the configuration and passes the sockets to the plugins; systemd's socket
//! activation does the same. [`Listeners`] finds the socket of an address among those, and binds one only when there is none.

mod address;
mod bind;
mod provenance;
mod sys;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressError, Endpoint};
pub use bind::{bind, own_anew};
pub use provenance::Provenance;
pub use sys::{Inherited, SELF_FD, export, inherit};

use nix::sys::socket::{SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt::Ipv6V6Only};
use socket2::SockRef;
use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// The listening sockets that a plugin may take, by address. Clones share the sockets.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    held: Arc<Mutex<Vec<Held>>>,
}

/// A listening socket, not blocking.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(std::net::TcpListener),
    /// A Unix socket.
    Unix(std::os::unix::net::UnixListener),
}

/// One socket that is held.
#[derive(Debug)]
struct Held {
    /// Where it listens in fact: with the port that the kernel chose.
    actual: Address,
    /// The address as it was asked for, of a socket that was bound here.
    asked: Option<Address>,
    /// Of a socket that a process before us has bound: nobody has taken it yet.
    unclaimed: bool,
    /// Somebody has taken it.
    taken: bool,
    /// The file of a Unix socket that was bound here, absolute.
    file: Option<PathBuf>,
    socket: OwnedFd,
}

impl Listeners {
    /// Holds the given sockets, under the addresses that the kernel tells for them. Those that are no TCP or Unix sockets are left out,
    /// and so is a Unix socket whose file is gone: nobody could reach it.
    pub fn new(inherited: Vec<OwnedFd>) -> Self {
        let held = inherited.into_iter().filter_map(|socket| Held::new(socket, false));
        Self {
            held: Arc::new(Mutex::new(held.collect())),
        }
    }

    /// Holds these as well, which a process of the same kind has bound before us; those that are held already are left out.
    pub fn inherit(&self, sockets: Vec<OwnedFd>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for socket in sockets.into_iter().filter_map(|socket| Held::new(socket, true)) {
            if !held.iter().any(|known| known.actual == socket.actual) {
                held.push(socket);
            }
        }
    }

    /// Lets go of those inherited from a process before us that nobody has taken: the configuration names them no more.
    pub fn close_unclaimed(&self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|held| !held.unclaimed);
    }

    /// The socket for an address: the held one, or a new one, which is then held too. May be called again for a further copy
    /// (`dup`) of the same socket.
    ///
    /// # Errors
    /// An address that cannot be read or bound; the text names it.
    pub fn take(&self, address: &str) -> io::Result<Listener> {
        let endpoint: Endpoint = address
            .parse()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held.iter_mut().find(|held| held.serves(&endpoint.address)) {
            if std::mem::take(&mut found.unclaimed) {
                found.file = file(&endpoint.address);
                found.asked = Some(endpoint.address);
            }
            found.taken = true;
            return Listener::new(found.socket.try_clone()?);
        }
        let bound = match bind(&endpoint) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => beside(&endpoint, &held).unwrap_or(Err(error)),
            bound => bound,
        };
        let socket = bound.map_err(|error| io::Error::new(error.kind(), format!("listen {address}: {error}")))?;
        let copy = socket.try_clone()?;
        held.push(Held {
            actual: local_address(&socket)?,
            file: file(&endpoint.address),
            asked: Some(endpoint.address),
            unclaimed: false,
            taken: true,
            socket,
        });
        Listener::new(copy)
    }

    /// Where all sockets listen in fact, and whether they were bound here.
    pub fn held(&self) -> Vec<(Address, bool)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = |held: &Held| (held.actual.clone(), held.asked.is_some());
        held.iter().map(shown).collect()
    }

    /// Closes the sockets that were passed to us and nobody has taken, and says where they listened.
    pub fn drop_untaken(&self) -> Vec<Address> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = held.extract_if(.., |held| !held.taken && !held.unclaimed);
        gone.map(|held| held.actual).collect()
    }

    /// True when [`Listeners::take`] would find the socket of that address.
    pub fn holds(&self, address: &str) -> bool {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Option<Address> = address.parse().ok();
        wanted.is_some_and(|wanted| held.iter().any(|held| held.serves(&wanted)))
    }

    /// Lets go of the socket of that address, if it was bound here. Copies of it live on.
    pub fn release(&self, address: &str) {
        let Ok(wanted) = address.parse::<Address>() else { return };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |held: &Held| held.asked.is_some() && held.serves(&wanted);
        for released in held.extract_if(.., |held| own(held)) {
            released.remove_file();
        }
    }

    /// Copies of all sockets.
    ///
    /// # Errors
    /// No free descriptor.
    pub fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().map(|held| held.socket.try_clone()).collect()
    }

    /// Removes the files of the Unix sockets that were bound here.
    pub fn remove_files(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().for_each(Held::remove_file);
    }
}

impl Held {
    /// A socket that was bound elsewhere; `None` if it is neither TCP nor Unix, or one that nobody can reach.
    fn new(socket: OwnedFd, unclaimed: bool) -> Option<Self> {
        let actual = local_address(&socket).ok()?;
        if matches!(&actual, Address::Unix(path) if !path.exists()) {
            return None;
        }
        Some(Self {
            actual,
            asked: None,
            file: None,
            unclaimed,
            taken: false,
            socket,
        })
    }

    /// Removes the file of a Unix socket that was bound here.
    fn remove_file(&self) {
        if let Some(path) = &self.file {
            let _ = fs::remove_file(path);
        }
    }

    /// True when this is the socket that an address of the configuration means. Port 0 means any port of that host.
    fn serves(&self, wanted: &Address) -> bool {
        match (&self.asked, wanted, &self.actual) {
            (Some(asked), _, _) => asked == wanted || self.actual == *wanted,
            (None, Address::Tcp(wanted), Address::Tcp(actual)) if wanted.port() == 0 => wanted.ip() == actual.ip(),
            // systemd's `ListenStream=80` is one socket for both families; `:80` means the same.
            (None, Address::Tcp(wanted), Address::Tcp(actual))
                if wanted.ip() == Ipv4Addr::UNSPECIFIED && actual.ip() == Ipv6Addr::UNSPECIFIED =>
            {
                wanted.port() == actual.port() && matches!(getsockopt(&self.socket, Ipv6V6Only), Ok(false))
            }
            _ => self.actual == *wanted,
        }
    }
}

impl Listener {
    /// A listening socket of either kind, made non-blocking.
    ///
    /// # Errors
    /// The descriptor is no TCP or Unix socket.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        match local_address(&socket)? {
            Address::Tcp(_) => {
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                Ok(Self::Tcp(listener))
            }
            Address::Unix(_) => {
                let listener = std::os::unix::net::UnixListener::from(socket);
                listener.set_nonblocking(true)?;
                Ok(Self::Unix(listener))
            }
        }
    }

    /// Where it listens in fact.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => local_address(listener),
            Self::Unix(listener) => local_address(listener),
        }
    }
}

impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> Self {
        match listener {
            Listener::Tcp(listener) => listener.into(),
            Listener::Unix(listener) => listener.into(),
        }
    }
}

/// The file of a Unix socket, absolute: the working directory may change.
fn file(address: &Address) -> Option<PathBuf> {
    match address {
        Address::Unix(path) => std::path::absolute(path).ok(),
        Address::Tcp(_) => None,
    }
}

/// Binds a port that sockets of ours hold on other hosts: all hosts beside one, or the other way round, as when a server's address
/// changes from `127.0.0.1:80` to `:80` and both are served for a moment. The kernel allows that to sockets that all share the port, so
/// these do while the new one is bound; then nobody else may join. `None` when none of ours is in the way.
fn beside(endpoint: &Endpoint, held: &[Held]) -> Option<io::Result<OwnedFd>> {
    let Address::Tcp(wanted) = endpoint.address else {
        return None;
    };
    let same_port = |held: &&Held| matches!(held.actual, Address::Tcp(actual) if actual.port() == wanted.port());
    let ours: Vec<SockRef<'_>> = held
        .iter()
        .filter(same_port)
        .map(|held| SockRef::from(&held.socket))
        .collect();
    if ours.is_empty() {
        return None;
    }
    let share = |share: bool| ours.iter().try_for_each(|socket| socket.set_reuse_port(share));
    let bound = share(true).and_then(|()| bind::tcp_shared(wanted));
    Some(share(false).and(bound))
}

/// The address that a socket is bound to.
fn local_address(socket: &impl AsFd) -> io::Result<Address> {
    let other = || {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "neither a TCP nor a Unix socket with a path",
        )
    };
    let address: SockaddrStorage = getsockname(socket.as_fd().as_raw_fd())?;
    if let Some(v4) = address.as_sockaddr_in() {
        return Ok(Address::Tcp(std::net::SocketAddrV4::from(*v4).into()));
    }
    if let Some(v6) = address.as_sockaddr_in6() {
        return Ok(Address::Tcp(std::net::SocketAddrV6::from(*v6).into()));
    }
    let unix = address.as_unix_addr().filter(|unix| unix.len() > 0).ok_or_else(other)?;
    unix.path()
        .map(|path| Address::Unix(PathBuf::from(path)))
        .ok_or_else(other)
}
