//! Commands, retries, health.
//!
//! A command takes a place (there are many on each connection), then a connection, then waits for its answer. If no
//! connection is open one is dialled, by one command for all: those that wait share its result, and for a short, growing
//! time after a failure all get that failure at once. Whatever happens, a command ends within `dial_timeout` and
//! `read_timeout` together.

use crate::{
    connect::{Opener, Wire},
    lanes::{Lanes, Pick},
    numbers::{Counters, PoolNumbers},
    settings::{Mode, Settings, SetupError},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, cmd};
use rr_common::{config::section::Redis, health::Health};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Commands under way on one connection at most.
const PLACES: usize = 512;

/// Commands of one [`Client::ask_all`] under way at once.
const ABREAST: usize = 128;

/// What happens to a command whose answer was lost: it may have been carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// It is sent again: doing it twice is as good as once.
    Lost,
    /// It is not: only what was surely not carried out is sent again. (A cluster's client sends it again all the same.)
    Unsent,
}

/// Why a command has no answer, or one that is an error.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No connection can be had.
    #[error("redis: no connection: {0}")]
    Unreachable(RedisError),
    /// The connection was lost, or the answer did not come in time.
    #[error("redis: no answer: {0}")]
    Lost(RedisError),
    /// Not even the tries ended in time.
    #[error("redis: no answer within {0:?}")]
    Late(Duration),
    /// Too many commands at once, for the whole of `pool_timeout`.
    #[error("redis: no free connection within {0:?}")]
    Busy(Duration),
    /// Redis says no.
    #[error("redis: {}", said(.0))]
    Answer(RedisError),
}

/// A connection to Redis; its copies share it.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    settings: Settings,
    opener: Opener,
    runtime: Handle,
    lanes: Mutex<Lanes<Wire>>,
    places: Semaphore,
    dial: tokio::sync::Mutex<Failures>,
    growing: AtomicBool,
    health: Health,
    counters: Counters,
}

/// How dialling went lately.
#[derive(Default)]
struct Failures {
    /// In a row.
    count: u32,
    last: Option<(Instant, RedisError)>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client for this section; its connections live on `runtime`. Nothing is connected yet, so that a Redis that is
    /// not there does not stop anybody from starting. The texts are warnings for the log.
    pub fn new(section: &Redis, runtime: Handle) -> Result<(Self, Vec<String>), SetupError> {
        let (settings, warnings) = Settings::new(section)?;
        let lanes = Lanes::new(settings.pool_size, settings.max_age, settings.max_idle);
        let inner = Inner {
            opener: Opener::new(&settings)?,
            lanes: Mutex::new(lanes),
            places: Semaphore::new(settings.pool_size * PLACES),
            dial: tokio::sync::Mutex::default(),
            growing: AtomicBool::new(false),
            health: Health::default(),
            counters: Counters::default(),
            settings,
            runtime,
        };
        Ok((Self(Arc::new(inner)), warnings))
    }

    /// Sends a command and waits for its answer.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd, again: Again) -> Result<T, Error> {
        let inner = &self.0;
        let wait = inner.settings.pool_timeout;
        let Ok(Ok(_place)) = timeout(wait, inner.places.acquire()).await else {
            inner.counters.timeouts.add();
            return Err(Error::Busy(wait));
        };
        let bound = inner.settings.bound();
        let asked = timeout(bound, self.tries(command, again)).await;
        let result = asked.unwrap_or(Err(Error::Late(bound)));
        match &result {
            Err(Error::Answer(error)) if !refused_for_now(error) && error.code() != Some("NOAUTH") => {
                inner.health.good(Instant::now())
            }
            Err(error) => inner.health.bad(Instant::now(), error.to_string()),
            Ok(_) => inner.health.good(Instant::now()),
        }
        T::from_redis_value(result?).map_err(|error| Error::Answer(error.into()))
    }

    /// The same for many commands, side by side and in no particular order; the answers are in the order of the commands.
    /// The first error ends it.
    pub async fn ask_all<T: FromRedisValue>(&self, commands: Vec<Cmd>, again: Again) -> Result<Vec<T>, Error> {
        let ask = |command: Cmd| async move { self.ask(&command, again).await };
        stream::iter(commands.into_iter().map(ask))
            .buffered(ABREAST)
            .try_collect()
            .await
    }

    /// Whether this is a cluster: a command with several keys must then have them in one slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.0.settings.mode, Mode::Cluster(_))
    }

    /// Why Redis cannot be used at present. What is known is told; if it is not fresh a `PING` goes out for the next time.
    pub fn unhealthy(&self) -> Option<String> {
        let (trouble, look) = self.0.health.ask(Instant::now());
        if look {
            let client = self.clone();
            self.0.runtime.spawn(async move {
                // What it finds is kept in the health.
                let _answer: Result<String, _> = client.ask(&cmd("PING"), Again::Lost).await;
            });
        }
        trouble
    }

    /// What the connections are and were, for the metrics.
    pub fn numbers(&self) -> PoolNumbers {
        let (open, idle, stale) = self.0.lanes().counts(Instant::now());
        let counters = &self.0.counters;
        PoolNumbers {
            hits: counters.hits.get(),
            misses: counters.misses.get(),
            timeouts: counters.timeouts.get(),
            open: open as u64,
            idle: idle as u64,
            stale,
        }
    }

    async fn tries(&self, command: &Cmd, again: Again) -> Result<redis::Value, Error> {
        let inner = &self.0;
        let mut tried = 0;
        loop {
            let (error, next) = match self.once(command).await {
                Ok(value) => return Ok(value),
                Err(Error::Lost(error)) => (Error::Lost(error), again == Again::Lost),
                Err(Error::Answer(error)) => {
                    let next = refused_for_now(&error);
                    (Error::Answer(error), next)
                }
                Err(error) => (error, true),
            };
            // A cluster's client has tried already, but for its first connection.
            let ours = !self.is_cluster() || matches!(error, Error::Unreachable(_));
            if !next || !ours || tried == inner.settings.retries {
                return Err(error);
            }
            tried += 1;
            sleep(inner.settings.backoff(tried)).await;
        }
    }

    async fn once(&self, command: &Cmd) -> Result<redis::Value, Error> {
        let inner = &self.0;
        let (id, mut wire) = self.wire().await?;
        // Also when the command is abandoned half-way.
        let _done = Done(inner, id);
        let answer = wire.ask(command).await.and_then(redis::Value::extract_error);
        answer.map_err(|error| match error.kind() {
            ErrorKind::Io | ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound => Error::Lost(error),
            // It was the master; whoever asks next looks for the new one.
            ErrorKind::Server(ServerErrorKind::ReadOnly) => {
                inner.lanes().leave(id);
                Error::Answer(error)
            }
            _ => Error::Answer(error),
        })
    }

    /// An open connection.
    async fn wire(&self) -> Result<(u64, Wire), Error> {
        let inner = &self.0;
        if let Some(found) = self.pick() {
            inner.counters.hits.add();
            return Ok(found);
        }
        inner.counters.misses.add();
        let came = Instant::now();
        let mut failures = inner.dial.lock().await;
        if let Some(found) = self.pick() {
            return Ok(found);
        }
        if let Some((at, error)) = &failures.last {
            // Somebody has just tried, while we waited or shortly before.
            if *at >= came || at.elapsed() < inner.settings.backoff(failures.count) {
                return Err(Error::Unreachable(error.clone()));
            }
        }
        match self.dial().await {
            Ok(wire) => {
                *failures = Failures::default();
                inner.lanes().put(wire, Instant::now());
            }
            Err(error) => {
                failures.count = failures.count.saturating_add(1);
                failures.last = Some((Instant::now(), error.clone()));
                return Err(Error::Unreachable(error));
            }
        }
        drop(failures);
        if inner.settings.min_idle > 1 {
            self.grow();
        }
        let gone = || RedisError::from((ErrorKind::Io, "the connection was closed at once"));
        self.pick().ok_or_else(|| Error::Unreachable(gone()))
    }

    fn pick(&self) -> Option<(u64, Wire)> {
        match self.0.lanes().pick(Instant::now()) {
            Pick::Open => None,
            Pick::Take { id, link, grow } => {
                if grow {
                    self.grow();
                }
                Some((id, link))
            }
        }
    }

    /// Opens one more connection beside those that there are, or as many as shall be there at least. Nobody waits for it.
    fn grow(&self) {
        if self.0.growing.swap(true, Ordering::AcqRel) {
            return;
        }
        let client = self.clone();
        self.0.runtime.spawn(async move {
            let inner = &client.0;
            loop {
                // If it fails those that are open must do.
                let Ok(wire) = client.dial().await else { break };
                let (open, ..) = {
                    let mut lanes = inner.lanes();
                    lanes.put(wire, Instant::now());
                    lanes.counts(Instant::now())
                };
                if open >= inner.settings.min_idle {
                    break;
                }
            }
            inner.growing.store(false, Ordering::Release);
        });
    }

    /// Opens a connection on the runtime where they all live.
    async fn dial(&self) -> RedisResult<Wire> {
        let (inner, bound) = (Arc::clone(&self.0), self.0.settings.dial_timeout);
        let dial = async move { timeout(bound, inner.opener.open(&inner.settings)).await };
        match self.0.runtime.spawn(dial).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(RedisError::from((
                ErrorKind::Io,
                "not connected in time",
                format!("{bound:?}"),
            ))),
            Err(_) => Err(RedisError::from((ErrorKind::Io, "the plugin stops"))),
        }
    }
}

impl Inner {
    fn lanes(&self) -> MutexGuard<'_, Lanes<Wire>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the connection back.
struct Done<'a>(&'a Inner, u64);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.lanes().done(self.1, Instant::now());
    }
}

/// The words of Redis itself.
fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

/// Whether Redis did nothing and may do it a moment later.
fn refused_for_now(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
        )
    )
}
