//! A control socket's door: where it stands, and the connections of those who may come in.

use super::access::Guests;
use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{net::UnixStream, sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;

/// A listening control socket. Its file is removed at the end.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    guests: Guests,
}

/// Those who come in.
#[derive(Debug)]
pub struct Visitors {
    listener: tokio::net::UnixListener,
    door: Door,
}

impl Door {
    /// Binds a control socket. Whoever keeps a copy of its guests may change them; the file's mode is then his own matter.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path, guests: impl Into<Guests>) -> io::Result<Self> {
        let guests = guests.into();
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| io::Error::new(error.kind(), format!("control socket {}: {error}", path.display())))?;
        guests.now().protect(path, false)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            guests,
        })
    }

    /// Takes over a control socket that a program before us in this process has bound. Others may be let in by now.
    ///
    /// # Errors
    /// The kernel's.
    pub fn inherit(listener: OwnedFd, path: &Path, guests: impl Into<Guests>) -> io::Result<Self> {
        let guests = guests.into();
        guests.now().protect(path, false)?;
        Ok(Self {
            listener: listener.into(),
            path: path.to_owned(),
            guests,
        })
    }

    /// A copy of the socket, for the next program of this process.
    ///
    /// # Errors
    /// No free descriptor.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        Ok(self.listener.try_clone()?.into())
    }

    /// Lets visitors in, on the runtime in which this is called.
    ///
    /// # Errors
    /// The runtime cannot watch the socket.
    pub fn visitors(self) -> io::Result<Visitors> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        Ok(Visitors { listener, door: self })
    }

    /// Accepts until the stream is dropped, on the runtime in which this is called.
    ///
    /// # Errors
    /// The runtime cannot watch the socket.
    pub fn connections(self) -> io::Result<ReceiverStream<io::Result<UnixStream>>> {
        let door = self.visitors()?;
        let (visitors, stream) = mpsc::channel(8);
        tokio::spawn(async move {
            loop {
                let visitor = tokio::select! {
                    visitor = door.next() => visitor,
                    () = visitors.closed() => break,
                };
                if visitors.send(Ok(visitor)).await.is_err() {
                    break;
                }
            }
        });
        Ok(ReceiverStream::new(stream))
    }
}

impl Visitors {
    /// The next one that may. Strangers are turned away with a warning.
    pub async fn next(&self) -> UnixStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if self.door.guests.know(stream.as_fd(), "control") => return stream,
                Ok(_) => {}
                Err(error) => {
                    // Most likely no free descriptor, which passes; without a wait this would spin.
                    tracing::warn!(target: "control", %error, "accepting a control connection failed");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
