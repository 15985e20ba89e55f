//! What the rest of the plugin knows of one connection: who the peer is, where it stands, what it has been told to do.
//!
//! The connection's own task reads and writes it at each request; the [`Watch`] of its thread looks at it and gives orders.

use crate::{
    handle::App,
    watch::{Phase, Standing, Tick, Watch},
};
use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU8, AtomicU32,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    task::{Poll, Waker},
};

/// What a connection is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Order {
    /// End with the request that runs, or with the next one: another process serves new connections. A client never meets a
    /// connection that is closed while it sends.
    Linger = 1,
    /// End after the running requests; a new connection may still send its first.
    Drain = 2,
    /// End after the running requests.
    Leave = 3,
    /// End now.
    Close = 4,
}

/// The other end.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    Unix,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) app: Arc<App>,
    pub(crate) peer: Peer,
    /// The peer's address without port, as PHP gets it; what the reference gives for a Unix socket is `@`.
    pub(crate) address: String,
    pub(crate) secure: bool,
    watch: Arc<Watch>,
    phase: AtomicU8,
    since: AtomicU32,
    blocked: AtomicU32,
    order: AtomicU8,
    task: Mutex<Option<Waker>>,
    /// Requests that run now.
    active: AtomicU32,
    framed: AtomicBool,
    refused: AtomicBool,
}

/// Marks a connection as busy; dropped when the request's answer is complete.
#[derive(Debug)]
pub(crate) struct Activity(Arc<Connection>);

impl Activity {
    /// A request begins.
    pub(crate) fn begin(connection: Arc<Connection>) -> Self {
        connection.active.fetch_add(1, Relaxed);
        connection.enter(Phase::Busy);
        Self(connection)
    }

    /// Its connection.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Relaxed) == 1 {
            self.0.enter(Phase::Idle);
        }
    }
}

impl Peer {
    /// The address without port.
    fn address(&self) -> String {
        match self {
            // A client of IPv4 on a socket that listens on both is shown as what it is.
            Self::Tcp(peer) => peer.ip().to_canonical().to_string(),
            Self::Unix => "@".into(),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(peer) => peer.fmt(f),
            Self::Unix => f.write_str("@"),
        }
    }
}

impl Connection {
    /// A new connection, waiting for its first head.
    pub(crate) fn new(app: Arc<App>, watch: Arc<Watch>, peer: Peer, secure: bool) -> Self {
        let now = watch.now();
        Self {
            app,
            address: peer.address(),
            peer,
            secure,
            watch,
            phase: AtomicU8::new(Phase::New as u8),
            since: AtomicU32::new(now),
            blocked: AtomicU32::new(0),
            order: AtomicU8::new(0),
            task: Mutex::new(None),
            active: AtomicU32::new(0),
            framed: AtomicBool::new(false),
            refused: AtomicBool::new(false),
        }
    }

    /// Enters a phase.
    fn enter(&self, phase: Phase) {
        self.since.store(self.watch.now(), Relaxed);
        self.phase.store(phase as u8, Relaxed);
    }

    /// From now on bytes are frames of HTTP/2, which say nothing about heads.
    pub(crate) fn speaks_frames(&self) {
        self.framed.store(true, Relaxed);
        self.enter(Phase::Idle);
    }

    /// Bytes came in: an idle connection now waits for the rest of a head.
    pub(crate) fn received(&self) {
        if matches!(self.phase(), Phase::New | Phase::Idle) && !self.framed.load(Relaxed) {
            self.enter(Phase::Head);
        }
    }

    /// The socket took bytes, or refused to.
    pub(crate) fn wrote(&self, blocked: bool) {
        let before = self.blocked.load(Relaxed);
        match blocked {
            true if before == 0 => self.blocked.store(self.watch.now().max(1), Relaxed),
            false if before != 0 => self.blocked.store(0, Relaxed),
            _ => {}
        }
    }

    /// Where it stands.
    pub(crate) fn standing(&self) -> Standing {
        let blocked: Tick = self.blocked.load(Relaxed);
        Standing {
            phase: self.phase(),
            since: self.since.load(Relaxed),
            blocked: (blocked != 0).then_some(blocked),
        }
    }

    /// A request was answered before its body was read: the connection ends after that answer.
    pub(crate) fn refuse_rest(&self) {
        self.refused.store(true, Relaxed);
    }

    /// True if the client may still be sending what no one will read: part of a body, or a head that was refused.
    pub(crate) fn unread(&self) -> bool {
        self.refused.load(Relaxed) || self.phase() == Phase::Head
    }

    /// Gives an order and wakes the connection's task.
    pub(crate) fn order(&self, order: Order) {
        if self.order.fetch_max(order as u8, AcqRel) < order as u8
            && let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
        {
            task.wake_by_ref();
        }
    }

    /// True if it is to end as soon as nothing runs.
    pub(crate) fn should_end(&self) -> bool {
        const LINGER: u8 = Order::Linger as u8;
        const DRAIN: u8 = Order::Drain as u8;
        match self.order.load(Acquire) {
            0 => false,
            // HTTP/2 can say which requests are still taken; HTTP/1.1 says it in the answer to the last one.
            LINGER => self.framed.load(Relaxed) || self.phase() == Phase::Busy,
            DRAIN => self.phase() != Phase::New,
            _ => true,
        }
    }

    fn phase(&self) -> Phase {
        Phase::from_number(self.phase.load(Relaxed))
    }

    /// Runs the connection's work until it ends or the order to close comes.
    pub(crate) async fn supervise(&self, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        let mut known = false;
        poll_fn(|cx| {
            // A task's waker is the same at each poll.
            if !known {
                *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
                known = true;
            }
            if self.order.load(Acquire) == Order::Close as u8 {
                return Poll::Ready(());
            }
            work.as_mut().poll(cx)
        })
        .await;
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
