//! Binding a new listening socket.

use super::{Address, Endpoint, sys};
use nix::unistd::{Group, User, chown};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt, PermissionsExt},
            net::UnixStream,
        },
    },
    path::Path,
};

/// Connections that wait for an accept: as many as the kernel lets us, so that a restarting plugin loses none.
const BACKLOG: i32 = 4096;

/// Requests in SYN packets that wait for an accept, as the reference has it.
const FAST_OPEN_QUEUE: i32 = 256;

/// A new socket that listens at an endpoint; non-blocking, closed on exec.
///
/// # Errors
/// The kernel's, for example a taken port; an unknown owner.
pub fn bind(endpoint: &Endpoint) -> io::Result<OwnedFd> {
    match &endpoint.address {
        Address::Tcp(address) => tcp(*address, false),
        Address::Unix(path) => unix(path, endpoint),
    }
}

/// The same on a port that other sockets have on other hosts, if all of them share it at present. This one does not afterwards.
pub(super) fn tcp_shared(address: SocketAddr) -> io::Result<OwnedFd> {
    tcp(address, true)
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    // A kernel without it serves the same, one round trip slower.
    let _ = sys::set_fast_open(&socket, FAST_OPEN_QUEUE);
    socket.listen(BACKLOG)?;
    socket.set_reuse_port(false)?;
    Ok(socket.into())
}

fn unix(path: &Path, endpoint: &Endpoint) -> io::Result<OwnedFd> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before `listen`, so the file never stands open with the wrong mode or owner.
    own(path, endpoint)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Gives the file of a Unix socket that is bound already the mode and owner that an address names now; other sockets have none.
///
/// # Errors
/// The kernel's; an unknown owner.
pub fn own_anew(endpoint: &Endpoint) -> io::Result<()> {
    match &endpoint.address {
        Address::Tcp(_) => Ok(()),
        Address::Unix(path) => own(path, endpoint),
    }
}

fn own(path: &Path, endpoint: &Endpoint) -> io::Result<()> {
    if let Some(mode) = endpoint.mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    let unknown =
        |kind: &str, name: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("unknown {kind} {name}"));
    let user = match &endpoint.user {
        Some(name) => Some(User::from_name(name)?.ok_or_else(|| unknown("user", name))?.uid),
        None => None,
    };
    let group = match &endpoint.group {
        Some(name) => Some(Group::from_name(name)?.ok_or_else(|| unknown("group", name))?.gid),
        None => None,
    };
    if user.is_some() || group.is_some() {
        chown(path, user, group)?;
    }
    Ok(())
}

/// Removes a socket file behind which nobody listens any more. A live one, or a file of another kind, is left for `bind` to refuse.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
