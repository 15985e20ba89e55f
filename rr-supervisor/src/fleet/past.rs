//! What replaced processes of a plugin had told of their workers, before those left with them.

use super::Cause;
use rr_common::control::v1::{self, WorkerDeath, plugin_client::PluginClient};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tonic::transport::Channel;

/// Deaths that are remembered, of all plugins together.
const LAST: usize = 256;
/// How long a process that is to go may take to tell.
const PATIENCE: Duration = Duration::from_secs(2);

/// Deaths of workers by plugin, oldest first. Shared with those who ask for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past(Arc<Mutex<VecDeque<(String, WorkerDeath)>>>);

impl Past {
    /// Asks a process that is replaced for the deaths that it knows of, and for its workers, which will go with it.
    pub(super) async fn gather(&self, plugin: &str, cause: Cause, channel: Channel) {
        let request = v1::WorkersRequest { details: true };
        let mut client = PluginClient::new(channel);
        let asked = tokio::time::timeout(PATIENCE, client.workers(request)).await;
        let Ok(Ok(answer)) = asked else { return };
        let answer = answer.into_inner();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let leaving = |worker: v1::WorkerInfo| WorkerDeath {
            pid: worker.pid,
            pool: worker.pool,
            created_ns: worker.created_ns,
            died_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            cause: cause.text().to_owned(),
            execs: worker.execs,
            ..WorkerDeath::default()
        };
        let leaving: Vec<WorkerDeath> = answer.workers.into_iter().map(leaving).collect();
        self.remember(plugin, answer.deaths.into_iter().chain(leaving));
    }

    pub(super) fn remember(&self, plugin: &str, deaths: impl Iterator<Item = WorkerDeath>) {
        let mut past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        past.extend(deaths.map(|death| (plugin.to_owned(), death)));
        let excess = past.len().saturating_sub(LAST);
        past.drain(..excess);
    }

    /// Those of all plugins.
    pub(super) fn all(&self) -> Vec<(String, WorkerDeath)> {
        let past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        past.iter().cloned().collect()
    }

    /// Those of a plugin.
    pub(crate) fn of(&self, plugin: &str) -> Vec<WorkerDeath> {
        let past = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = past.iter().filter(|(name, _)| name == plugin);
        of.map(|(_, death)| death.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded() {
        let past = Past::default();
        let death = |pid| WorkerDeath {
            pid,
            ..WorkerDeath::default()
        };
        past.remember("http", (0..1000).map(death));
        past.remember("jobs", (0..6).map(death));
        let (http, jobs) = (past.of("http"), past.of("jobs"));
        assert_eq!((http.len(), jobs.len()), (LAST - 6, 6));
        assert_eq!(http[LAST - 7].pid, 999);
    }
}
