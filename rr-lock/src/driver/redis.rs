//! `driver: redis`: locks that several hosts share.
//!
//! A resource is one hash in Redis, `rr:lock:RESOURCE`, so that it works in a cluster too. It has a field for each holder
//! (mode, end, token, and which call it was), the last `token`, and the `place` of whoever is next. Each method is one
//! script ([`script`]), and time is Redis' own, so that hosts need not agree about it.
//!
//! Who waits asks again after a growing pause. The first to wait takes the place, for a moment longer than until it asks
//! again: as long as it is taken nobody else gets the resource, so that newcomers do not overtake. Among those behind it
//! there is no order. Tokens are the larger of the last one plus one and Redis' clock in microseconds; a hash outlives its
//! last lock by an hour, so a resource's tokens grow unless that clock is set back by more than it.

mod script;

use super::{Answer, Ask, Counts, Driver, DriverError, Mode, Token};
use rr_common::{config::section, plugin::StartError, telemetry::metrics::Counter};
use rr_redis::{Again, Client, Error, FromRedisValue, cmd};
use std::{
    fmt::Display,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::watch, time::timeout};

/// The first and the longest pause of one who waits.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(60);
/// How long the place is kept for one who has not asked again: it may have gone.
const PLACE: Duration = Duration::from_millis(300);
/// Longer than anyone waits, and short enough for Lua's numbers.
const AGES: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Locks in Redis.
#[derive(Debug)]
pub struct Redis {
    client: Client,
    /// Tells this process's calls from those of others, and makes pauses uneven.
    random: RandomState,
    calls: AtomicU64,
    waiting: AtomicU64,
    granted: Counter,
    /// Nobody may wait here any more.
    paused: watch::Sender<bool>,
}

/// One who waits, as long as it does.
struct Waits<'a>(&'a AtomicU64);

impl Redis {
    /// Locks in the Redis of this section; it is connected to when it is needed.
    ///
    /// # Errors
    /// The settings cannot work.
    pub fn open(settings: &section::Redis, runtime: &Handle) -> Result<Self, StartError> {
        let refused = |error| StartError(format!("lock.config.{error}"));
        let (client, warnings) = Client::new(settings, runtime.clone()).map_err(refused)?;
        for warning in warnings {
            tracing::warn!(target: "lock", "lock.config.{warning}");
        }
        Ok(Self {
            client,
            random: RandomState::new(),
            calls: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            granted: Counter::new(),
            paused: watch::Sender::new(false),
        })
    }

    async fn run<T: FromRedisValue>(
        &self,
        script: &script::Script,
        resource: &str,
        arguments: &[&(dyn Display + Sync)],
        again: Again,
    ) -> Result<T, DriverError> {
        let mut command = cmd("EVAL");
        command.arg(script.text()).arg(1).arg(format!("rr:lock:{resource}"));
        for argument in arguments {
            command.arg(argument.to_string());
        }
        Ok(self.client.ask(&command, again).await?)
    }

    async fn wait_for(&self, ask: Ask<'_>) -> Result<Option<Token>, DriverError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        // Redis knows this call by its name, also when it has to be asked twice because an answer was lost.
        let call = format!("{:x}.{number:x}", self.random.hash_one("process"));
        let mode = match ask.mode {
            Mode::Read => "r",
            Mode::Write => "w",
        };
        let ttl = milliseconds(ask.ttl);
        let end = Instant::now() + ask.wait.min(AGES);
        let mut paused = self.paused.subscribe();
        let mut waits = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // Never longer than the call waits itself.
            let place = left.min(PLACE).as_millis();
            let arguments: [&(dyn Display + Sync); 5] = [&ask.id, &mode, &ttl, &call, &place];
            let token: Option<Token> = self.run(&script::LOCK, ask.resource, &arguments, Again::Lost).await?;
            if token.is_some() {
                self.granted.add();
                return Ok(token);
            }
            if left.is_zero() {
                return Ok(None);
            }
            waits.get_or_insert_with(|| Waits::new(&self.waiting));
            // Between a half and the whole of it, so that those who began together do not go on together.
            let uneven = self.random.hash_one((number, pause)) % 500;
            let share = 0.5 + f64::from(u32::try_from(uneven).unwrap_or(0)) / 1000.0;
            // Between two questions, so that no grant is lost on its way here.
            let paused = timeout(pause.mul_f64(share).min(left), paused.wait_for(|paused| *paused));
            if paused.await.is_ok() {
                return Err(DriverError::Paused);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Driver for Redis {
    fn lock<'a>(&'a self, ask: Ask<'a>) -> Answer<'a, Option<Token>> {
        Box::pin(self.wait_for(ask))
    }

    fn release<'a>(&'a self, resource: &'a str, id: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.run(&script::RELEASE, resource, &[&id], Again::Unsent).await })
    }

    fn force_release<'a>(&'a self, resource: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { self.run(&script::FORCE, resource, &[], Again::Unsent).await })
    }

    fn exists<'a>(&'a self, resource: &'a str, id: Option<&'a str>) -> Answer<'a, bool> {
        // An id is never empty.
        let id = id.unwrap_or_default();
        Box::pin(async move { self.run(&script::EXISTS, resource, &[&id], Again::Lost).await })
    }

    fn update_ttl<'a>(&'a self, resource: &'a str, id: &'a str, ttl: Duration) -> Answer<'a, bool> {
        let ttl = milliseconds(ttl);
        Box::pin(async move { self.run(&script::MOVE, resource, &[&id, &ttl], Again::Lost).await })
    }

    fn pausing(&self) {
        self.paused.send_replace(true);
    }

    fn resume(&mut self) -> Result<(), String> {
        self.paused.send_replace(false);
        Ok(())
    }

    fn unhealthy(&self) -> Option<String> {
        self.client.unhealthy()
    }

    fn counts(&self) -> Counts {
        Counts {
            // Only Redis knows, and it would have to look at every resource.
            held: None,
            waiting: self.waiting.load(Ordering::Relaxed),
            granted: self.granted.get(),
        }
    }
}

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicU64) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whole milliseconds, never less than was asked for.
fn milliseconds(time: Duration) -> u128 {
    time.min(AGES).as_nanos().div_ceil(1_000_000).max(1)
}

impl From<Error> for DriverError {
    fn from(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}
