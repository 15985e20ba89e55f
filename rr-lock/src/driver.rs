//! What keeps the locks: this process's memory or a server that several hosts share.

pub mod memory;
pub mod redis;

use std::{fmt, future::Future, pin::Pin, time::Duration};

/// The number of a grant, greater than that of every grant before. What a lock protects can refuse a holder that comes late
/// by remembering the greatest number that it has seen.
pub type Token = u64;

/// What a lock allows beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Other readers.
    Read,
    /// Nobody.
    Write,
}

/// A wish for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask<'a> {
    /// What is locked.
    pub resource: &'a str,
    /// By whom; never empty.
    pub id: &'a str,
    /// How.
    pub mode: Mode,
    /// How long the lock lasts, from the grant on.
    pub ttl: Duration,
    /// How long it may take to come by; zero: at once or not at all.
    pub wait: Duration,
}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Locks that are held; `None` if that is not known here.
    pub held: Option<u64>,
    /// Wishes that wait.
    pub waiting: u64,
    /// Locks that this process has granted.
    pub granted: u64,
}

/// Why a driver cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// The text is for the caller.
    #[error("{0}")]
    Failed(String),
    /// A wish that waited has to be made anew, of the process that takes over. It has not been granted.
    #[error("the locks are taken over by another process")]
    Paused,
}

/// An answer on its way.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, DriverError>> + Send + 'a>>;

/// Keeps locks. A future that is dropped gives up its place among the waiting; a lock that was granted already stays, and
/// ends with its time.
pub trait Driver: fmt::Debug + Send + Sync {
    /// Takes a lock, or waits for it: the token of the grant, or `None` when the wait was in vain.
    ///
    /// A read lock of an id that has one already is the same lock, with the later of both ends. A write lock for the only
    /// reader takes the read lock's place.
    fn lock<'a>(&'a self, ask: Ask<'a>) -> Answer<'a, Option<Token>>;

    /// Ends the lock of an id; false if it has none.
    fn release<'a>(&'a self, resource: &'a str, id: &'a str) -> Answer<'a, bool>;

    /// Ends all locks of a resource; false if there are none.
    fn force_release<'a>(&'a self, resource: &'a str) -> Answer<'a, bool>;

    /// Whether an id, or with `None` anyone, has a lock.
    fn exists<'a>(&'a self, resource: &'a str, id: Option<&'a str>) -> Answer<'a, bool>;

    /// Lets the lock of an id end after that time from now; false if it has none.
    fn update_ttl<'a>(&'a self, resource: &'a str, id: &'a str, ttl: Duration) -> Answer<'a, bool>;

    /// A pause begins, and nothing is asked any more: every wish that waits comes to [`DriverError::Paused`].
    fn pausing(&self) {}

    /// Another process takes over: nothing is changed and nothing ends any more.
    ///
    /// # Errors
    /// The text says why the other process could not go on with these locks.
    fn pause(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// No other process has taken over: goes on. It may not have been paused wholly.
    ///
    /// # Errors
    /// The text says why it cannot.
    fn resume(&mut self) -> Result<(), String> {
        Ok(())
    }

    /// Why it cannot work at present.
    fn unhealthy(&self) -> Option<String> {
        None
    }

    /// Numbers for the metrics.
    fn counts(&self) -> Counts;
}
