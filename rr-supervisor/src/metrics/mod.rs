//! Metrics: what the application declares and counts, and the page for Prometheus on which it stands beside what the plugins and
//! we ourselves count.
//!
//! - [`registry`]: the application's collectors by name; [`declaration`] checks one, [`collector`] holds its numbers, [`summary`] and
//!   [`quantile`] those of a summary
//! - [`rpc`]: the calls `metrics.*`, their [`arguments`] and [`error`] texts
//! - [`page`]: gathered from all plugins when somebody asks; [`carried`] keeps what dead processes had counted
//! - [`kept`] and [`kept_window`]: how all of it lives through an upgrade of the supervisor

mod arguments;
mod carried;
mod collector;
mod declaration;
mod error;
mod kept;
mod kept_window;
mod page;
mod quantile;
mod registry;
mod rpc;
mod summary;
#[cfg(test)]
mod tests;

pub(crate) use carried::Ledger;
pub(crate) use declaration::Declaration;
pub(crate) use page::last_words;
pub(crate) use registry::Registry;
pub(crate) use rpc::Calls;

use crate::{
    adopt::memory::Memory,
    endpoint::{self, Limits, Page, Ready},
    fleet::RosterWatch,
};
use rr_common::{config::section::Collector, listen::Listener, telemetry::metrics::CONTENT_TYPE};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::runtime::Handle;

/// All that is counted. Shared between the calls and the endpoint.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    ledger: Ledger,
    roster: RosterWatch,
    /// What is declared is kept for the next supervisor.
    memory: Option<Memory>,
    /// What the log was told to be wrong, by plugin.
    told: Mutex<HashMap<String, String>>,
}

impl Metrics {
    /// The application's collectors, and the plugins of the roster with what they have counted before.
    pub(crate) fn new(registry: Registry, ledger: Ledger, roster: RosterWatch) -> Self {
        Self {
            registry: Mutex::new(registry),
            ledger,
            roster,
            memory: None,
            told: Mutex::default(),
        }
    }

    /// Takes over other collectors of the configuration: what is not wanted any more goes with all it has counted. One that the
    /// application has declared itself stays.
    pub(crate) fn collect(&self, new: &BTreeMap<String, Collector>, gone: &[String], now: Instant) {
        let mut registry = self.registry();
        for name in gone {
            let _ = registry.unregister(name);
        }
        for (name, collector) in new {
            if let Err(error) = registry.declare(&Declaration::configured(name, collector), now) {
                tracing::error!(target: "metrics", "metrics.collect.{name}: {error}");
            }
        }
    }

    /// Declares what a supervisor before us was told, and keeps what is declared from now on.
    pub(crate) fn remember(mut self, memory: Memory) -> Self {
        for declaration in &memory.facts().metrics {
            // What the configuration declares by now is declared.
            let _ = self.registry().declare(declaration, Instant::now());
        }
        self.memory = Some(memory);
        self
    }

    /// Changes what is kept. The file is small and in memory on most systems, and declarations are rare: it is written at once.
    fn keep(&self, change: impl FnOnce(&mut Vec<Declaration>)) {
        if let Some(memory) = &self.memory
            && memory.change(|facts| change(&mut facts.metrics))
        {
            memory.save();
        }
    }

    /// Never held for longer than a few lines.
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the endpoint that shows the page on that socket, whatever path is asked for.
///
/// # Errors
/// The runtime cannot take the socket.
pub(crate) fn prepare(metrics: Arc<Metrics>, listener: Listener, runtime: &Handle) -> io::Result<Ready> {
    endpoint::prepare(runtime, listener, Limits::default(), move |_| {
        let metrics = Arc::clone(&metrics);
        async move {
            Page {
                status: 200,
                content_type: CONTENT_TYPE,
                body: page::text(metrics).await.into(),
            }
        }
    })
}
