//! Every listening socket of the configuration, by plugin. They live here, so that the kernel queues new connections
//! while a plugin restarts.

use crate::plugins::catalog::Listen;
use rr_common::listen::{Address, Listener, Listeners, Provenance};
use std::{io, os::fd::OwnedFd, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

/// What a plugin that was given up answers.
const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: 5\r\n\r\n";

/// Connections that are answered at once for a plugin that was given up; more wait in the kernel's queue.
const AT_ONCE: usize = 32;

/// The longest that one of them may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The listening sockets of all plugins. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    listeners: Listeners,
}

/// Answers in place of a plugin that was given up, until it is dropped.
#[derive(Debug)]
pub(crate) struct Substitute {
    tasks: Vec<AbortHandle>,
}

impl Sockets {
    /// Over the sockets that systemd passed to us, if any.
    pub(crate) fn new(inherited: Vec<OwnedFd>) -> Self {
        Self {
            listeners: Listeners::new(inherited),
        }
    }

    /// Copies of a plugin's sockets to be inherited; bound at the first call.
    ///
    /// # Errors
    /// A taken port or the like; the text names the address.
    pub(crate) fn of(&self, addresses: &[Listen]) -> io::Result<Vec<OwnedFd>> {
        addresses
            .iter()
            .map(|listen| self.listeners.take(&listen.address).map(OwnedFd::from))
            .collect()
    }

    /// Binds what is not bound yet, all or nothing; returns what is new.
    ///
    /// # Errors
    /// A taken port or the like; the text names the address.
    pub(crate) fn open(&self, addresses: &[Listen]) -> io::Result<Vec<String>> {
        let mut new = Vec::new();
        for Listen { address, .. } in addresses {
            if self.listeners.holds(address) {
                continue;
            }
            match self.listeners.take(address) {
                Ok(_) => new.push(address.clone()),
                Err(error) => {
                    self.close(&new);
                    return Err(error);
                }
            }
        }
        Ok(new)
    }

    /// Lets go of our sockets of these addresses; a plugin that has copies serves on with them. Those that systemd gave us stay.
    pub(crate) fn close(&self, addresses: &[String]) {
        for address in addresses {
            self.listeners.release(address);
        }
    }

    /// The socket of an endpoint of our own, and the address under which it was bound now, if it was; `key` is named in the error.
    /// Without a host it takes both IPv4 and IPv6, where that exists.
    ///
    /// # Errors
    /// A taken port; the text names key and address.
    pub(crate) fn endpoint(&self, key: &str, address: &str) -> io::Result<(Listener, Option<String>)> {
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{key}: {error}"));
        let names = Self::names(address);
        if let Some(held) = names.iter().find(|name| self.listeners.holds(name)) {
            return Ok((self.listeners.take(held).map_err(failed)?, None));
        }
        let mut taken = Err(io::ErrorKind::NotFound.into());
        for name in names {
            taken = self.listeners.take(&name).map(|listener| (listener, Some(name)));
            if !matches!(&taken, Err(error) if error.kind() != io::ErrorKind::AddrInUse) {
                break;
            }
        }
        taken.map_err(failed)
    }

    /// The addresses under which an endpoint's socket may be held, best first.
    pub(crate) fn names(address: &str) -> Vec<String> {
        let both = address.starts_with(':').then(|| format!("[::]{address}"));
        both.into_iter().chain([address.to_owned()]).collect()
    }

    /// Copies of all sockets for the next program of this process, and where they come from.
    ///
    /// # Errors
    /// No free descriptor.
    pub(crate) fn hand_over(&self) -> io::Result<Vec<(Provenance, OwnedFd)>> {
        self.listeners.hand_over()
    }

    /// Holds the sockets of this process's program before us as well.
    pub(crate) fn take_over(&self, sockets: Vec<(Provenance, OwnedFd)>) {
        self.listeners.take_over(sockets);
    }

    /// Holds the sockets of a dead supervisor's plugins as well.
    pub(crate) fn inherit(&self, sockets: Vec<OwnedFd>) {
        self.listeners.inherit(sockets);
    }

    /// Lets go of those among them that the configuration does not name any more.
    pub(crate) fn close_unclaimed(&self) {
        self.listeners.close_unclaimed();
    }

    /// Where a plugin listens in fact, for people to read.
    pub(crate) fn shown(&self, listen: &Listen) -> String {
        let address = self
            .listeners
            .take(&listen.address)
            .and_then(|listener| listener.address());
        let address = address.map_or_else(|_| listen.address.clone(), |address| address.to_string());
        match (address.contains("://"), listen.plain_http) {
            (true, _) => address,
            (false, true) => format!("http://{address}"),
            (false, false) => format!("https://{address}"),
        }
    }

    /// Answers in place of a plugin: 503 where plain HTTP is spoken, a closed connection elsewhere.
    pub(crate) fn substitute(&self, addresses: &[Listen]) -> Substitute {
        let tasks = addresses.iter().filter_map(|listen| {
            let listener = self.listeners.take(&listen.address).ok()?;
            let answer = if listen.plain_http { UNAVAILABLE } else { b"" };
            Some(tokio::spawn(answer_all(listener, answer)).abort_handle())
        });
        Substitute { tasks: tasks.collect() }
    }

    /// Where all sockets listen in fact, and whether they were bound here.
    pub(crate) fn held(&self) -> Vec<(Address, bool)> {
        self.listeners.held()
    }

    /// A copy of the socket that listens there.
    ///
    /// # Errors
    /// No free descriptor.
    pub(crate) fn copy(&self, address: &Address) -> io::Result<OwnedFd> {
        self.listeners.take(&address.to_string()).map(OwnedFd::from)
    }

    /// Closes what was passed to us and no address of the configuration means; clients would wait there for nothing.
    pub(crate) fn drop_untaken(&self) -> Vec<Address> {
        self.listeners.drop_untaken()
    }

    /// Removes the files of Unix sockets.
    pub(crate) fn remove_files(&self) {
        self.listeners.remove_files();
    }
}

impl Drop for Substitute {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn answer_all(listener: Listener, answer: &'static [u8]) {
    let mut running = JoinSet::new();
    let accepting = match listener {
        Listener::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Accepting::Tcp),
        Listener::Unix(listener) => tokio::net::UnixListener::from_std(listener).map(Accepting::Unix),
    };
    let Ok(accepting) = accepting else { return };
    loop {
        while running.len() >= AT_ONCE {
            running.join_next().await;
        }
        while running.try_join_next().is_some() {}
        // A failed accept is most likely a lack of descriptors, which passes.
        match &accepting {
            Accepting::Tcp(listener) => match listener.accept().await {
                Ok((stream, _)) => drop(running.spawn(timeout(PATIENCE, refuse(stream, answer)))),
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Accepting::Unix(listener) => match listener.accept().await {
                Ok((stream, _)) => drop(running.spawn(timeout(PATIENCE, refuse(stream, answer)))),
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

/// Answers and closes. What the client sends is read first: closing with unread bytes would reset the connection and
/// take the answer with it.
async fn refuse(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, answer: &[u8]) {
    let mut buffer = [0; 4096];
    if !answer.is_empty() {
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(answer).await;
    }
    let _ = stream.shutdown().await;
    let mut taken = 0;
    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
        taken += n;
        if taken > 1 << 20 {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    #[test]
    fn an_endpoint_is_bound_once() {
        let sockets = Sockets::new(Vec::new());
        let (first, bound) = sockets.endpoint("status.address", ":0").unwrap();
        assert!(bound.is_some());
        let address = first.address().unwrap().to_string();
        let (_, again) = sockets.endpoint("status.address", ":0").unwrap();
        assert_eq!(again, None, "it is held");
        let other = Sockets::new(Vec::new()).endpoint("metrics.address", &address);
        let other = other.unwrap_err().to_string();
        assert!(
            other.starts_with("metrics.address: ") && other.contains(&address),
            "{other}"
        );
    }

    #[test]
    fn a_substitute_answers_503_and_leaves_the_socket_to_the_next() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap();
        let inside = runtime.enter();
        let sockets = Sockets::new(Vec::new());
        let listen = [Listen {
            address: "127.0.0.1:0".into(),
            plain_http: true,
        }];
        let address = sockets.shown(&listen[0]).replace("http://", "");
        let substitute = sockets.substitute(&listen);
        drop(inside);
        let mut client = TcpStream::connect(&address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let answer = runtime.block_on(async {
            let reader = std::thread::spawn(move || {
                let mut answer = String::new();
                client.read_to_string(&mut answer).map(|_| answer)
            });
            while !reader.is_finished() {
                sleep(Duration::from_millis(1)).await;
            }
            reader.join()
        });
        let answer = answer.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        drop(substitute);
        assert!(TcpStream::connect(&address).is_ok(), "it queues in the kernel");
    }
}
