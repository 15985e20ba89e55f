//! Memcached.

use super::{Daemon, installed};
use crate::port::free_port;
use crate::room::Room;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// One `memcached` on `127.0.0.1`.
pub struct Memcached {
    daemon: Daemon,
    port: u16,
}

impl Memcached {
    /// Starts a server and waits until it answers. `None` if it is not installed.
    #[track_caller]
    pub fn start(room: &Room, name: &str) -> Option<Self> {
        if !installed("memcached") {
            return None;
        }
        let port = free_port();
        let number = port.to_string();
        // As root it wants to become somebody else, who need not exist; -m is megabytes.
        let arguments = [
            "-l",
            "127.0.0.1",
            "-p",
            &number,
            "-U",
            "0",
            "-m",
            "16",
            "-t",
            "1",
            "-u",
            "root",
        ];
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let server = Self {
            daemon: Daemon::new("memcached", &room.file(name), arguments),
            port,
        };
        server.restart();
        Some(server)
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process: to kill, freeze and thaw.
    pub fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Starts it after a kill, and waits until it answers.
    #[track_caller]
    pub fn restart(&self) {
        self.daemon.start(|| {
            self.ask("version\r\n")
                .is_some_and(|answer| answer.starts_with("VERSION"))
        });
    }

    /// What it answers to a command of the text protocol; the answer must come in one piece.
    pub fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(command.as_bytes()).ok()?;
        let mut piece = [0; 8192];
        let n = stream.read(&mut piece).ok()?;
        Some(String::from_utf8_lossy(&piece[..n]).into_owned())
    }
}
