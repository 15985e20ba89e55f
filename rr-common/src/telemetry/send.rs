//! The way of a line out of this process: one datagram, sent without waiting.
//!
//! While the socket is full, lines wait in a bounded backlog, which a thread of its own sends off and which ends when
//! nothing waits any more; beyond that bound lines are dropped and counted. When nobody reads the socket any more
//! (the supervisor is gone) lines go to a sink in this process that writes to stderr, until there is a new socket
//! ([`Sender::reconnect`]).

use super::gather::{Gather, WAIT};
use super::outputs::Outputs;
use super::sink::Sink;
use super::{stderr, wire};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Most bytes that wait while the socket is full, unless one line alone is more.
const BACKLOG: usize = 8 * 1024 * 1024;
/// How long a sink of this process may take for its last lines when lines go elsewhere again.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Debug)]
pub(crate) struct Sender {
    /// `None` when it is broken and no other can be set up.
    way: RwLock<Option<Arc<Way>>>,
    gathered: Mutex<Gather>,
    backlog: Mutex<Backlog>,
    /// Told when nothing waits any more.
    emptied: Condvar,
    /// Whether lines wait in the backlog, so that newer ones must queue behind them.
    waiting: AtomicBool,
    dropped: AtomicU64,
    finished: AtomicBool,
}

/// A socket to a sink.
#[derive(Debug)]
struct Way {
    socket: OwnedFd,
    /// The sink at its other end, if it is in this process.
    sink: Option<Mutex<Option<Sink>>>,
}

#[derive(Debug, Default)]
struct Backlog {
    datagrams: VecDeque<Box<[u8]>>,
    bytes: usize,
    flushing: bool,
}

enum Outcome {
    Sent,
    Full,
    Broken,
}

impl Sender {
    /// Sends to a sink elsewhere.
    pub(crate) fn remote(socket: OwnedFd) -> Arc<Self> {
        Self::new(Way { socket, sink: None })
    }

    /// Sends to a sink in this process.
    pub(crate) fn local(outputs: Outputs) -> io::Result<Arc<Self>> {
        Ok(Self::new(Way::local(outputs)?))
    }

    fn new(way: Way) -> Arc<Self> {
        Arc::new(Self {
            way: RwLock::new(Some(Arc::new(way))),
            gathered: Mutex::default(),
            backlog: Mutex::default(),
            emptied: Condvar::new(),
            waiting: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            finished: AtomicBool::new(false),
        })
    }

    /// Sends a line that begins as [`wire::begin`] writes it and ends with `ending`, behind those that have gathered.
    pub(crate) fn send(self: &Arc<Self>, line: &[u8], ending: &str) {
        self.send_gathered();
        if self.finished.load(Ordering::Relaxed) {
            return to_stderr(line);
        }
        if line.len() > wire::DATAGRAM {
            return self.enqueue(wire::split(line, ending), 1);
        }
        self.send_datagram(line, 1);
    }

    /// The same within a moment, so that lines that come meanwhile travel together. At once where no runtime could wait.
    pub(crate) fn send_soon(self: &Arc<Self>, line: &[u8], ending: &str) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return self.send(line, ending);
        };
        if line.len() > wire::DATAGRAM || self.finished.load(Ordering::Relaxed) {
            return self.send(line, ending);
        }
        let put = self.gathered().put(line);
        if let Some((datagram, lines)) = put.full {
            self.send_datagram(&datagram, lines);
        }
        if put.arm {
            let this = Arc::clone(self);
            runtime.spawn(async move {
                tokio::time::sleep(WAIT).await;
                let gathered = this.gathered().wait_is_over();
                if let Some((datagram, lines)) = gathered {
                    this.send_datagram(&datagram, lines);
                }
            });
        }
    }

    fn send_gathered(self: &Arc<Self>) {
        let gathered = self.gathered().take();
        if let Some((datagram, lines)) = gathered {
            self.send_datagram(&datagram, lines);
        }
    }

    /// Sends a datagram of so many lines.
    fn send_datagram(self: &Arc<Self>, datagram: &[u8], lines: u64) {
        if self.waiting.load(Ordering::Acquire) {
            return self.enqueue(vec![datagram.into()], lines);
        }
        match self.attempt(datagram) {
            Some(Outcome::Sent) => {}
            Some(Outcome::Full) => self.enqueue(vec![datagram.into()], lines),
            Some(Outcome::Broken) | None => to_stderr(datagram),
        }
    }

    /// Takes the number of lines that were dropped since the last call, if there is room again for saying so.
    pub(crate) fn take_dropped(&self) -> u64 {
        match self.dropped.load(Ordering::Relaxed) > 0 && !self.waiting.load(Ordering::Acquire) {
            true => self.dropped.swap(0, Ordering::Relaxed),
            false => 0,
        }
    }

    /// Sends what waits and closes the way, but waits not beyond the timeout; a sink in this process has written
    /// everything then. Later lines go straight to stderr.
    pub(crate) fn finish(self: &Arc<Self>, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        self.send_gathered();
        let flushing = |backlog: &mut Backlog| backlog.flushing;
        let _ = self.emptied.wait_timeout_while(self.backlog(), timeout, flushing);
        self.finished.store(true, Ordering::Relaxed);
        if let Some(way) = self.way() {
            way.close(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Sends over this socket to a sink elsewhere from now on.
    pub(crate) fn reconnect(&self, socket: OwnedFd) {
        let next = Arc::new(Way { socket, sink: None });
        let before = self.way.write().unwrap_or_else(PoisonError::into_inner).replace(next);
        if let Some(before) = before.filter(|before| before.sink.is_some()) {
            // It may wait for a terminal that stands still.
            let close = move || before.close(LAST_LINES);
            let _ = std::thread::Builder::new().name("log end".into()).spawn(close);
        }
    }

    /// Does something to the sink, if it is in this process.
    pub(crate) fn with_sink(&self, act: impl FnOnce(&Sink)) {
        let Some(way) = self.way() else { return };
        let Some(sink) = &way.sink else { return };
        if let Some(sink) = sink.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            act(sink);
        }
    }

    /// One attempt at the way that stands; `None` if there is none any more.
    fn attempt(&self, datagram: &[u8]) -> Option<Outcome> {
        let way = self.way()?;
        match attempt(&way.socket, datagram) {
            Outcome::Broken if way.sink.is_none() => Some(attempt(&self.fall_back(&way)?.socket, datagram)),
            outcome => Some(outcome),
        }
    }

    fn way(&self) -> Option<Arc<Way>> {
        self.way.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody reads that one any more.
    fn fall_back(&self, broken: &Arc<Way>) -> Option<Arc<Way>> {
        let mut way = self.way.write().unwrap_or_else(PoisonError::into_inner);
        if way.as_ref().is_some_and(|way| Arc::ptr_eq(way, broken)) {
            *way = Way::local(Outputs::stderr()).ok().map(Arc::new);
        }
        way.clone()
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gathered(&self) -> MutexGuard<'_, Gather> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts datagrams that hold so many lines (or together hold one) behind those that wait, all of them or none.
    fn enqueue(self: &Arc<Self>, datagrams: Vec<Box<[u8]>>, lines: u64) {
        let mut backlog = self.backlog();
        let bytes: usize = datagrams.iter().map(|datagram| datagram.len()).sum();
        if backlog.bytes > 0 && backlog.bytes + bytes > BACKLOG {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
            return;
        }
        if !backlog.flushing {
            let this = Arc::clone(self);
            let flush = move || this.flush();
            if std::thread::Builder::new()
                .name("log backlog".into())
                .spawn(flush)
                .is_err()
            {
                self.dropped.fetch_add(lines, Ordering::Relaxed);
                return;
            }
            backlog.flushing = true;
        }
        backlog.bytes += bytes;
        backlog.datagrams.extend(datagrams);
        self.waiting.store(true, Ordering::Release);
    }

    /// Sends the backlog, waiting for room where the socket is full, until nothing waits.
    fn flush(&self) {
        loop {
            let mut backlog = self.backlog();
            let Some(datagram) = backlog.datagrams.pop_front() else {
                backlog.flushing = false;
                self.waiting.store(false, Ordering::Release);
                self.emptied.notify_all();
                return;
            };
            drop(backlog);
            loop {
                match self.attempt(&datagram) {
                    Some(Outcome::Full) => self.wait_for_room(),
                    Some(Outcome::Sent) => break,
                    Some(Outcome::Broken) | None => {
                        to_stderr(&datagram);
                        break;
                    }
                }
            }
            self.backlog().bytes -= datagram.len();
        }
    }

    fn wait_for_room(&self) {
        let Some(way) = self.way() else { return };
        // Bounded, because a signal or a change of the way must not leave the backlog waiting for ever.
        let _ = poll(
            &mut [PollFd::new(way.socket.as_fd(), PollFlags::POLLOUT)],
            PollTimeout::from(1000u16),
        );
    }
}

impl Way {
    fn local(outputs: Outputs) -> io::Result<Self> {
        let sink = Sink::start(outputs)?;
        Ok(Self {
            socket: sink.connect()?,
            sink: Some(Mutex::new(Some(sink))),
        })
    }

    /// Nothing more is sent here; a sink in this process writes what it has, but not beyond the timeout.
    fn close(&self, timeout: Duration) {
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
        let sink = self
            .sink
            .as_ref()
            .and_then(|sink| sink.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(sink) = sink {
            sink.finish(timeout);
        }
    }
}

fn attempt(socket: &OwnedFd, datagram: &[u8]) -> Outcome {
    loop {
        return match send(
            socket.as_raw_fd(),
            datagram,
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
        ) {
            Ok(_) => Outcome::Sent,
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ENOMEM) => Outcome::Full,
            Err(Errno::EINTR) => continue,
            Err(_) => Outcome::Broken,
        };
    }
}

/// The last resort.
fn to_stderr(datagram: &[u8]) {
    if let Some(parts) = wire::parse(datagram) {
        let _ = stderr::write(parts.text);
    }
}

#[cfg(test)]
#[path = "send_tests.rs"]
mod tests;
