//! A stand-in for systemd as a service sees it: it hears what the service says, and keeps the descriptors that it is given.

use crate::{Room, Server, bin, wait::SOON};
use command_fds::{CommandFdExt, FdMapping};
use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg},
};
use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixDatagram,
    },
    path::PathBuf,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// The stand-in.
pub struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    /// What it was given to keep, by name.
    pub stored: BTreeMap<String, OwnedFd>,
    _dir: TempDir,
}

impl Manager {
    /// One that has heard nothing yet.
    #[expect(clippy::new_without_default, reason = "it opens a socket")]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        Self {
            socket: UnixDatagram::bind(&path).unwrap(),
            path,
            stored: BTreeMap::new(),
            _dir: dir,
        }
    }

    /// Starts the server as systemd does: with these variables, and with the descriptors that are kept for it. They stay kept.
    pub fn start(&self, room: Room, port: u16, config: &str, variables: &[(&str, &str)]) -> Server {
        let file = room.write(".rr.yaml", config);
        let line = format!("{} serve -c {}", bin::server().display(), file.display());
        let mut command = self.command(&line);
        command.envs(variables.iter().copied());
        Server::run(room, port, command)
    }

    /// Any other service, by its command line.
    pub fn command(&self, line: &str) -> Command {
        // LISTEN_PID must be the program's own, which a shell knows before it becomes the program.
        let script = format!("export LISTEN_FDS={} LISTEN_PID=$$; exec {line}", self.stored.len());
        let names: Vec<_> = self.stored.keys().cloned().collect();
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .env("NOTIFY_SOCKET", &self.path)
            .env("LISTEN_FDNAMES", names.join(":"));
        let passed = (3..).zip(self.stored.values());
        let mappings = passed.map(|(child_fd, kept)| FdMapping {
            parent_fd: kept.try_clone().unwrap(),
            child_fd,
        });
        command.fd_mappings(mappings.collect()).unwrap();
        command
    }

    /// The next message, if one comes in that time.
    pub fn hear(&mut self, within: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let mut text = [0; 4096];
        let mut pieces = [IoSliceMut::new(&mut text)];
        let mut space = cmsg_space!(RawFd);
        let received = recvmsg::<UnixAddr>(
            self.socket.as_raw_fd(),
            &mut pieces,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        );
        let received = received.ok()?;
        let attached = received.cmsgs().unwrap().find_map(|message| match message {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        let length = received.bytes;
        let message = String::from_utf8_lossy(&text[..length]).into_owned();
        let name = message.lines().find_map(|line| line.strip_prefix("FDNAME="));
        match (name, attached) {
            #[expect(unsafe_code, reason = "the one place of the tests that receives a descriptor")]
            (Some(name), Some(fd)) => {
                // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                self.stored.insert(name.to_owned(), fd);
            }
            (Some(name), None) if message.starts_with("FDSTOREREMOVE=1") => drop(self.stored.remove(name)),
            _ => {}
        }
        Some(message)
    }

    /// Waits until a message begins like this, and returns it.
    ///
    /// # Panics
    /// When it does not come.
    #[track_caller]
    pub fn wait_for(&mut self, beginning: &str) -> String {
        let mut heard = Vec::new();
        let end = std::time::Instant::now() + SOON;
        while std::time::Instant::now() < end {
            match self.hear(SOON) {
                Some(message) if message.starts_with(beginning) => return message,
                other => heard.extend(other),
            }
        }
        panic!("nothing begins with {beginning:?}; heard: {heard:#?}");
    }

    /// Takes what has come so far.
    pub fn drain(&mut self) {
        while self.hear(Duration::from_millis(1)).is_some() {}
    }
}
