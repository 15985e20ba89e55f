//! What outlives the supervisor because this plugin holds a copy of it: the listening sockets and the memory files. The next
//! supervisor fetches them, at a socket of their own, before it binds anything.

use crate::{
    control::{Door, handover, v1::Held},
    listen::Listeners,
    shutdown::Stop,
    telemetry::log,
};
use prost::Message;
use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::spawn_blocking};
use tokio_stream::StreamExt;

/// How long a supervisor may take for each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a supervisor is about to take our own's place. One that dies before it has done so is waited for no longer.
pub(super) type Coming = watch::Sender<usize>;

/// What is held.
#[derive(Debug)]
pub(super) struct Holding {
    /// The message without the descriptors.
    pub held: Held,
    /// The listening sockets.
    pub listeners: Listeners,
    /// The memory file of its state.
    pub state: Option<File>,
    /// The one through which it hands over what it keeps when it is replaced.
    pub handover: Option<File>,
    /// Whether the plugin has been ready.
    pub started: watch::Receiver<bool>,
}

impl Holding {
    /// Gives copies to each supervisor that comes, until the stop begins: then it is too late to be adopted.
    pub(super) async fn offer(self, door: Door, coming: Arc<Coming>, mut stop: Stop) -> io::Result<()> {
        let mut supervisors = door.connections()?;
        loop {
            let connection = tokio::select! {
                Some(connection) = supervisors.next() => connection,
                _ = stop.begun() => return Ok(()),
                else => return Ok(()),
            };
            let Ok(connection) = connection.and_then(tokio::net::UnixStream::into_std) else {
                continue;
            };
            let Ok((descriptors, sockets)) = self.copies() else {
                continue;
            };
            let held = Held {
                started: *self.started.borrow(),
                sockets,
                handover: self.handover.is_some(),
                ..self.held.clone()
            };
            let coming = Arc::clone(&coming);
            tokio::spawn(async move {
                coming.send_modify(|coming| *coming += 1);
                let handed = spawn_blocking(move || hand(connection, &held, &descriptors)).await;
                if let Ok(Ok((connection, log))) = handed {
                    log::reconnect(log);
                    until_closed(connection).await;
                }
                coming.send_modify(|coming| *coming -= 1);
            });
        }
    }

    /// Of all descriptors, and how many of them are listening sockets.
    fn copies(&self) -> io::Result<(Vec<OwnedFd>, u32)> {
        let mut all = self.listeners.copies()?;
        let sockets = u32::try_from(all.len()).map_err(io::Error::other)?;
        for file in self.state.iter().chain(&self.handover) {
            all.push(file.try_clone()?.into());
        }
        Ok((all, sockets))
    }
}

/// Hands the descriptors over and takes the socket for log lines.
fn hand(connection: UnixStream, held: &Held, descriptors: &[OwnedFd]) -> io::Result<(UnixStream, OwnedFd)> {
    connection.set_nonblocking(false)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    handover::send(&connection, &held.encode_to_vec(), &borrowed)?;
    let (_, mut answer) = handover::receive(&connection)?;
    let log = answer.pop().ok_or(io::ErrorKind::InvalidData)?;
    Ok((connection, log))
}

/// The supervisor closes it when it has begun to serve, or dies before.
async fn until_closed(connection: UnixStream) {
    let watched = connection
        .set_nonblocking(true)
        .and_then(|()| tokio::net::UnixStream::from_std(connection));
    if let Ok(connection) = watched {
        let mut byte = [0];
        loop {
            if connection.readable().await.is_err() {
                return;
            }
            match connection.try_read(&mut byte) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}
