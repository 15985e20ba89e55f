//! A connection that is woken by nothing but what it waits for, and that several may write to.
//!
//! The kernel reports a Unix socket as writable again each time its peer has read something, and a stream that is watched for both
//! directions wakes its thread for that: once more for each message. Here only reading is watched, and writing only while something
//! is left to be written.

use super::{
    pass::{self, Passed},
    watch::watch,
};
use socket2::Socket;
use std::{
    cell::RefCell,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    net::{TcpStream, UnixStream},
};

/// The connection.
#[derive(Debug)]
pub struct Quiet {
    socket: Arc<Socket>,
    /// None while it rests.
    reading: RefCell<Option<AsyncFd<Arc<Socket>>>>,
    /// A copy of the descriptor, while the peer does not take what there is to write.
    writing: RefCell<Option<AsyncFd<Arc<Socket>>>>,
}

impl Quiet {
    /// Takes a Unix connection over, inside the runtime that serves it.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn unix(stream: UnixStream) -> io::Result<Self> {
        Self::new(stream.into_std()?.into())
    }

    /// Takes a TCP connection over, inside the runtime that serves it. Small answers go out at once.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        let _ = stream.set_nodelay(true);
        Self::new(stream.into_std()?.into())
    }

    /// Takes a connection over that another program has left to us, inside the runtime that serves it.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn inherited(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        Self::new(socket)
    }

    fn new(socket: Socket) -> io::Result<Self> {
        let quiet = Self {
            socket: Arc::new(socket),
            reading: RefCell::default(),
            writing: RefCell::default(),
        };
        quiet.wake_up()?;
        Ok(quiet)
    }

    /// Is not woken by anything any more: somebody else reads from the connection. Reading is never ready meanwhile.
    pub fn rest(&self) {
        self.reading.take();
    }

    /// Watches it again after a rest.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub fn wake_up(&self) -> io::Result<()> {
        *self.reading.borrow_mut() = Some(watch(Arc::clone(&self.socket), Interest::READABLE)?);
        Ok(())
    }

    /// Reads what is there.
    pub fn poll_read_into(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_read_by(cx, buffer, |mut socket, room| {
            let size = room.len();
            socket.read(room).map(|read| (read, read < size, ()))
        })
    }

    /// Reads what is there, and takes the descriptor that came with it.
    pub fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<Option<Passed>>> {
        self.poll_read_by(cx, buffer, |socket, room| {
            let (read, passed) = pass::receive(socket, room)?;
            // Behind a descriptor a read ends early.
            Ok((read, read < room.len() && passed.is_none(), passed))
        })
    }

    /// `read` says how many bytes there were, whether that was all, and what came with them.
    fn poll_read_by<T>(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        read: impl Fn(&Socket, &mut [u8]) -> io::Result<(usize, bool, T)>,
    ) -> Poll<io::Result<T>> {
        let reading = self.reading.borrow();
        let Some(watched) = &*reading else {
            return Poll::Pending;
        };
        loop {
            let mut ready = ready!(watched.poll_read_ready(cx))?;
            match read(&self.socket, buffer.initialize_unfilled()) {
                Ok((length, all, with)) => {
                    // Less than there was room for was all that there is: no need to ask once more.
                    if all {
                        ready.clear_ready();
                    }
                    buffer.advance(length);
                    return Poll::Ready(Ok(with));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Sends bytes, and the descriptor with the first of them, over a Unix socket.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when the peer takes nothing.
    pub fn try_pass(&self, bytes: &[u8], descriptor: &impl AsFd) -> io::Result<usize> {
        pass::send(&*self.socket, bytes, descriptor)
    }

    /// Writes what the peer takes now.
    ///
    /// # Errors
    /// The kernel's; `WouldBlock` when the peer takes nothing.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&mut &*self.socket).write(bytes)
    }

    /// Writes as soon as the peer takes something.
    pub fn poll_write_from(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bytes) {
                Ok(written) => {
                    if written == bytes.len() {
                        self.writing.take();
                    }
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            let mut writing = self.writing.borrow_mut();
            let watched = match &mut *writing {
                Some(watched) => watched,
                none => {
                    let copy = self.socket.try_clone()?;
                    none.insert(watch(Arc::new(copy), Interest::WRITABLE)?)
                }
            };
            ready!(watched.poll_write_ready(cx))?.clear_ready();
        }
    }
}

impl AsFd for Quiet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for Quiet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_read_into(cx, buffer)
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_from(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(std::net::Shutdown::Write))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn much_goes_through_in_both_directions() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut ours, mut theirs) = (Quiet::unix(ours).unwrap(), Quiet::unix(theirs).unwrap());
        let sent: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let expected = sent.clone();
        let echo = tokio::spawn(async move {
            let mut got = vec![0; 3_000_000];
            theirs.read_exact(&mut got).await.unwrap();
            theirs.write_all(&got).await.unwrap();
        });
        ours.write_all(&sent).await.unwrap();
        assert!(
            ours.writing.borrow().is_none(),
            "all is written, nothing is watched any more"
        );
        let mut got = Vec::new();
        ours.read_to_end(&mut got).await.unwrap();
        assert!(got == expected);
        echo.await.unwrap();
    }

    #[tokio::test]
    async fn the_end_is_seen_behind_the_last_bytes() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut ours = Quiet::unix(ours).unwrap();
        theirs.write_all(b"last").await.unwrap();
        drop(theirs);
        let mut got = Vec::new();
        ours.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"last");
        assert!(ours.try_write(b"x").is_err());
    }
}
