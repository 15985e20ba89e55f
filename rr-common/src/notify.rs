//! Telling systemd: ready, stopping, alive, what is going on (`sd_notify`, over the datagram socket in `NOTIFY_SOCKET`), and
//! giving it listening sockets to keep while the service is restarted.
//!
//! Nothing here waits for long: a service manager that does not read must not hold up what it watches.

use nix::{
    sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg},
    time::{ClockId, clock_gettime},
};
use std::{
    env,
    ffi::OsStr,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, AsRawFd},
        unix::{ffi::OsStrExt, net::UnixDatagram},
    },
    path::Path,
    process,
    time::Duration,
};

/// How long a message may wait for room in systemd's queue.
const PATIENCE: Duration = Duration::from_millis(500);

/// The way to systemd, if we run under it.
#[derive(Debug, Default)]
pub struct Notify {
    target: Option<(UnixDatagram, UnixAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// Reads the environment. Without `NOTIFY_SOCKET`, or with one that names nothing, all messages go nowhere.
    pub fn from_env() -> Self {
        let address = env::var_os("NOTIFY_SOCKET");
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let for_us = env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(process::id().into());
        Self {
            target: address.and_then(|address| target(&address)),
            watchdog: number("WATCHDOG_USEC")
                .filter(|micros| for_us && *micros > 0)
                .map(Duration::from_micros),
        }
    }

    /// To a socket at that path.
    pub fn to(path: &Path) -> Self {
        Self {
            target: target(path.as_os_str()),
            watchdog: None,
        }
    }

    /// True when somebody listens to us.
    pub fn is_on(&self) -> bool {
        self.target.is_some()
    }

    /// How long we may be silent before systemd takes us for dead (`WatchdogSec` of the unit).
    pub fn watchdog_limit(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.is_on())
    }

    /// Everything is up.
    ///
    /// # Errors
    /// The message could not be sent.
    pub fn ready(&self) -> io::Result<()> {
        self.send("READY=1")
    }

    /// Workers are being replaced; `ready` ends that. systemd wants to know since when, to tell it from an older message.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map(Duration::from)
            .unwrap_or_default();
        let _ = self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// The orderly stop has begun, and may take that long.
    pub fn stopping(&self, within: Duration) {
        let _ = self.send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    /// The start may take that long from now on, whatever the unit says.
    pub fn extend(&self, within: Duration) {
        let _ = self.send(&format!("EXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    /// We are alive.
    pub fn watchdog(&self) {
        let _ = self.send("WATCHDOG=1");
    }

    /// The one line that `systemctl status` shows.
    pub fn status(&self, text: &str) {
        let _ = self.send(&format!("STATUS={}", text.replace('\n', " ")));
    }

    /// Asks systemd to keep a copy of a descriptor (`FileDescriptorStoreMax` of the unit), and to pass it to the next process
    /// of the service beside the sockets of its `.socket` units.
    ///
    /// # Errors
    /// The message could not be sent.
    pub fn store(&self, name: &str, fd: &impl AsFd) -> io::Result<()> {
        // FDPOLL=0: systemd would otherwise drop a socket on which poll reports a hangup.
        let message = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        self.send_with(&message, &[ControlMessage::ScmRights(&[fd.as_fd().as_raw_fd()])])
    }

    /// Asks systemd to forget what it keeps under that name.
    pub fn forget(&self, name: &str) {
        let _ = self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    }

    fn send(&self, message: &str) -> io::Result<()> {
        self.send_with(message, &[])
    }

    fn send_with(&self, message: &str, attached: &[ControlMessage<'_>]) -> io::Result<()> {
        let Some((socket, address)) = &self.target else {
            return Ok(());
        };
        let text = [IoSlice::new(message.as_bytes())];
        sendmsg(
            socket.as_raw_fd(),
            &text,
            attached,
            MsgFlags::MSG_NOSIGNAL,
            Some(address),
        )
        .map(drop)
        .map_err(io::Error::from)
    }
}

/// An address of the variable: a path, or a name in the abstract space after `@`.
fn target(address: &OsStr) -> Option<(UnixDatagram, UnixAddr)> {
    let address = match address.as_bytes().split_first()? {
        (b'@', name) => UnixAddr::new_abstract(name).ok()?,
        _ => UnixAddr::new(address).ok()?,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    Some((socket, address))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nix::{
        cmsg_space,
        sys::socket::{ControlMessageOwned, recvmsg},
    };
    use std::{io::IoSliceMut, os::fd::RawFd};

    fn pair(dir: &Path) -> (Notify, UnixDatagram) {
        let path = dir.join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        (Notify::to(&path), systemd)
    }

    fn heard(systemd: &UnixDatagram) -> String {
        let mut buffer = [0; 200];
        let read = systemd.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    #[test]
    fn messages_arrive_as_systemd_wants_them() {
        let dir = tempfile::tempdir().unwrap();
        let (notify, systemd) = pair(dir.path());
        notify.ready().unwrap();
        notify.stopping(Duration::from_secs(35));
        notify.status("two\nlines");
        notify.forget("a");
        assert_eq!(heard(&systemd), "READY=1");
        assert_eq!(heard(&systemd), "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000");
        assert_eq!(heard(&systemd), "STATUS=two lines");
        assert_eq!(heard(&systemd), "FDSTOREREMOVE=1\nFDNAME=a");
    }

    #[test]
    fn a_stored_socket_travels_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let (notify, systemd) = pair(dir.path());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        notify.store("web", &listener).unwrap();
        let mut text = [0; 200];
        let mut pieces = [IoSliceMut::new(&mut text)];
        let mut space = cmsg_space!(RawFd);
        let message = recvmsg::<UnixAddr>(systemd.as_raw_fd(), &mut pieces, Some(&mut space), MsgFlags::empty());
        let message = message.unwrap();
        let attached: Vec<_> = message.cmsgs().unwrap().collect();
        assert!(matches!(&attached[..], [ControlMessageOwned::ScmRights(fds)] if fds.len() == 1));
        let read = message.bytes;
        assert_eq!(&text[..read], b"FDSTORE=1\nFDNAME=web\nFDPOLL=0");
    }

    #[test]
    fn without_systemd_nothing_is_sent() {
        assert!(Notify::default().ready().is_ok());
        assert!(!Notify::default().is_on());
    }

    /// A full queue costs a bounded wait, and an error.
    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let (notify, _systemd) = pair(dir.path());
        let refused = (0..10_000).find_map(|_| notify.ready().err());
        assert_eq!(refused.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
