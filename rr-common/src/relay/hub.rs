//! Where workers connect when the relay is a socket.
//!
//! Each plugin process listens on an address of its own, derived from `server.relay`, and tells it to its workers in
//! RR_RELAY. A connection is asked for its process id and given to whoever waits for that process; a wrapper such as
//! `sh -c` is seen through by the process group. Peers that are slow, silent or strangers cost a bounded number of
//! places for a bounded time, and block nobody.

use super::{Address, Ends, Reader, frames::Frames};
use crate::{
    plugin::StartError,
    worker::{handshake, unsafe_exec::Identity},
};
use bytes::BytesMut;
use nix::unistd::{Pid, getpgid};
use std::{
    collections::HashMap,
    fs::{File, Permissions},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::{Semaphore, oneshot},
    task::AbortHandle,
};

/// Handshakes at once.
const AT_ONCE: usize = 512;
/// Longest handshake.
const LONGEST: Duration = Duration::from_secs(10);
/// Pause after a failed accept (no free descriptor).
const PAUSE: Duration = Duration::from_millis(50);

type Waiting = Arc<Mutex<HashMap<u32, oneshot::Sender<Ends>>>>;

/// A listening relay socket.
#[derive(Debug)]
pub struct Hub {
    relay: String,
    path: Option<PathBuf>,
    waiting: Waiting,
    accepting: AbortHandle,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Hub {
    /// Listens on an address derived from the configured one; `None` for pipes. Workers that run as somebody else get
    /// access to a Unix socket by owning it.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(address: &Address, name: &str, owner: Option<&Identity>) -> Result<Option<Self>, StartError> {
        let (listener, relay, path) = match address {
            Address::Pipes => return Ok(None),
            Address::Tcp(host, _) => {
                let host = if host.is_empty() { "127.0.0.1" } else { host };
                let fail = |error: io::Error| StartError(format!("server.relay: cannot listen on {host}: {error}"));
                let listener = TcpListener::bind((host, 0)).await.map_err(fail)?;
                let relay = format!("tcp://{}", listener.local_addr().map_err(fail)?);
                (Listener::Tcp(listener), relay, None)
            }
            Address::Unix(base) => {
                let path = own_path(base, name);
                let fail = |error: io::Error| {
                    StartError(format!("server.relay: cannot listen on {}: {error}", path.display()))
                };
                let listener = UnixListener::bind(&path).map_err(fail)?;
                std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(fail)?;
                if let Some(owner) = owner {
                    nix::unistd::chown(&path, Some(owner.uid), Some(owner.gid)).map_err(|error| fail(error.into()))?;
                }
                (
                    Listener::Unix(listener),
                    format!("unix://{}", path.display()),
                    Some(path),
                )
            }
        };
        let waiting = Waiting::default();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&waiting))).abort_handle();
        Ok(Some(Self {
            relay,
            path,
            waiting,
            accepting,
        }))
    }

    /// The value of RR_RELAY.
    pub fn relay(&self) -> &str {
        &self.relay
    }

    /// The connection of a process just spawned; the caller bounds the wait.
    pub async fn connection_of(&self, pid: u32) -> Option<Ends> {
        struct Forget<'a>(&'a Waiting, u32);
        impl Drop for Forget<'_> {
            fn drop(&mut self) {
                lock(self.0).remove(&self.1);
            }
        }
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(pid, sender);
        let _forget = Forget(&self.waiting, pid);
        receiver.await.ok()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.accepting.abort();
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A path that no other plugin process and no other pool of this one uses.
fn own_path(base: &Path, name: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static POOLS: AtomicU32 = AtomicU32::new(0);
    let mut path = base.as_os_str().to_owned();
    path.push(format!(".{name}-{}", std::process::id()));
    match POOLS.fetch_add(1, Ordering::Relaxed) {
        0 => {}
        n => path.push(format!("-{n}")),
    }
    path.into()
}

async fn accept(listener: Listener, waiting: Waiting) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| {
                stream.set_nodelay(true)?;
                Ok(Reader::Tcp(stream))
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Reader::Unix(stream)),
        };
        match accepted {
            Ok(reader) => {
                let waiting = Arc::clone(&waiting);
                tokio::spawn(async move {
                    match tokio::time::timeout(LONGEST, introduce(reader, &waiting)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::warn!(target: "server", %error, "connection to the relay refused"),
                        Err(_) => tracing::warn!(target: "server", "connection to the relay refused: it is silent"),
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(target: "server", %error, "relay: accept failed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Asks a new connection who it is, and hands it to whoever waits for it.
async fn introduce(reader: Reader, waiting: &Waiting) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let write = match &reader {
        Reader::Tcp(stream) => duplicate(stream),
        Reader::Unix(stream) => duplicate(stream),
        Reader::Pipe(pipe) => duplicate(pipe),
    }
    .map_err(text)?;
    let mut frames = Frames::new(reader, BytesMut::new());
    let pid = handshake::ask_pid(&write, &mut frames)
        .await
        .map_err(|error| error.to_string())?;
    let (reader, early) = frames.into_parts();
    let (kind, read) = reader.detach().map_err(text)?;
    let found = {
        let mut waiting = lock(waiting);
        waiting.remove(&pid).or_else(|| waiting.remove(&group_of(pid)?))
    };
    let sender = found.ok_or_else(|| format!("it says that it is process {pid}, which is no new worker of ours"))?;
    sender
        .send(Ends {
            kind,
            read,
            write,
            early,
        })
        .map_err(|_| format!("process {pid} came too late"))
}

fn duplicate(fd: &impl AsFd) -> io::Result<File> {
    let owned: OwnedFd = fd.as_fd().try_clone_to_owned()?;
    Ok(File::from(owned))
}

/// The leader of a process's group: the wrapper that we started.
fn group_of(pid: u32) -> Option<u32> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?);
    u32::try_from(getpgid(Some(pid)).ok()?.as_raw()).ok()
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<u32, oneshot::Sender<Ends>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}
