//! What operators ask of the running server over RPC: who works (`informer.*`), replace the workers (`resetter.*`), how the
//! processes are and why one is no more (`supervisor.*`). The command line speaks to these.
//!
//! Nothing is kept here: each call looks at the newest [`Roster`](crate::fleet::Roster) and asks the plugins over the contract, each within a bound.

mod ask;
mod death;
mod informer;
mod overview;
mod process;
mod resetter;
#[cfg(test)]
mod tests;
mod why;

pub(crate) use ask::{AskError, QUICK, SLOW, ask, within};
pub(crate) use death::Death;
pub(crate) use informer::{Informer, Pipeline, WorkerList};
pub(crate) use overview::{Myself, Overview, Reload, Upgrade};
#[cfg(test)]
pub(crate) use process::Memory;
pub(crate) use process::{Process, Queue, Seen};
pub(crate) use resetter::Resetter;
pub(crate) use why::{Question as WhyQuestion, Running, Why};

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, UNIX_EPOCH},
};

/// An answer of a [`Resident`].
pub(crate) type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// A plugin that lives in the supervisor itself and has processes of its own, such as `service`.
pub(crate) trait Resident: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Its processes.
    fn workers(&self) -> Reply<'_, Vec<Worker>>;

    /// Replaces all of them; returns when that is done.
    fn reset(&self) -> Reply<'_, ()>;
}

/// All of them, now and after each reload. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Residents(Arc<RwLock<Vec<Arc<dyn Resident>>>>);

impl Residents {
    /// They are these from now on.
    pub(crate) fn become_these(&self, residents: Vec<Arc<dyn Resident>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = residents;
    }

    /// All that there are now.
    pub(crate) fn all(&self) -> Vec<Arc<dyn Resident>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The one of that name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<dyn Resident>> {
        self.all().into_iter().find(|resident| resident.name() == name)
    }
}

/// One worker, with the names that the reference gives to its fields; those of our own stand at the end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Worker {
    /// Process id.
    pub pid: u32,
    /// State as the reference numbers it.
    pub status: u32,
    /// Requests served.
    #[serde(rename = "numExecs")]
    pub execs: u64,
    /// Start, in nanoseconds since 1970.
    pub created: u64,
    /// Resident bytes.
    #[serde(rename = "memoryUsage")]
    pub memory: u64,
    /// CPU share since the start.
    #[serde(rename = "CPUPercent")]
    pub cpu: f64,
    /// The command, of services only.
    pub command: String,
    /// State as text.
    #[serde(rename = "statusStr")]
    pub status_text: String,
    /// The pool that it belongs to.
    pub pool: String,
    /// Age of the running request in milliseconds; 0 when idle.
    #[serde(rename = "busyMs")]
    pub busy_ms: u64,
    /// The running request in a few words, where that was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request: String,
}

impl Worker {
    /// Seconds since its start.
    pub(crate) fn age(&self) -> Option<u64> {
        let created = UNIX_EPOCH + Duration::from_nanos(self.created);
        created.elapsed().ok().map(|age| age.as_secs())
    }
}
