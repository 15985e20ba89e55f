//! Telling systemd: ready, stopping, alive (`sd_notify`, over the datagram socket in `NOTIFY_SOCKET`).

use nix::time::{ClockId, clock_gettime};
use std::{
    env, io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// The way to systemd, if we run under it.
#[derive(Debug)]
pub(crate) struct Notify {
    target: Option<(UnixDatagram, SocketAddr)>,
}

impl Notify {
    /// Reads the environment. Without the variable, or with one that names nothing, all messages go nowhere.
    pub(crate) fn from_env() -> Self {
        let target = env::var_os("NOTIFY_SOCKET")
            .filter(|path| !path.is_empty())
            .and_then(|path| {
                let address = match path.as_bytes().split_first() {
                    Some((b'@', name)) => SocketAddr::from_abstract_name(name),
                    _ => SocketAddr::from_pathname(&path),
                };
                Some((UnixDatagram::unbound().ok()?, address.ok()?))
            });
        Self { target }
    }

    /// True when somebody listens to us.
    pub(crate) fn is_on(&self) -> bool {
        self.target.is_some()
    }

    /// Everything is up.
    ///
    /// # Errors
    /// The message could not be sent.
    pub(crate) fn ready(&self) -> io::Result<()> {
        self.send("READY=1")
    }

    /// Workers are being replaced; `ready` ends that. systemd wants to know since when, to tell it from an older message.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map(Duration::from)
            .unwrap_or_default();
        let _ = self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// The orderly stop has begun.
    pub(crate) fn stopping(&self) {
        let _ = self.send("STOPPING=1");
    }

    /// We are alive.
    pub(crate) fn watchdog(&self) {
        let _ = self.send("WATCHDOG=1");
    }

    /// To a socket at that path, which is returned.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(crate) fn to(path: &std::path::Path) -> (Self, UnixDatagram) {
        let systemd = UnixDatagram::bind(path).unwrap();
        let target = (
            UnixDatagram::unbound().unwrap(),
            SocketAddr::from_pathname(path).unwrap(),
        );
        (Self { target: Some(target) }, systemd)
    }

    fn send(&self, message: &str) -> io::Result<()> {
        match &self.target {
            Some((socket, address)) => socket.send_to_addr(message.as_bytes(), address).map(drop),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_systemd_wants_them() {
        let dir = tempfile::tempdir().unwrap();
        let (notify, systemd) = Notify::to(&dir.path().join("notify"));
        notify.ready().unwrap();
        notify.stopping();
        let mut buffer = [0; 64];
        let read = systemd.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"READY=1");
        let read = systemd.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..read], b"STOPPING=1");
    }

    #[test]
    fn without_systemd_nothing_is_sent() {
        assert!(Notify { target: None }.ready().is_ok());
    }
}
