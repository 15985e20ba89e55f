//! The RPC thread stands still, and everything on it is packed for the next program of this process: clients with the bytes that were
//! read or are still to be written, the plugins' connections with the calls that run on them, connections that are lent, calls that wait.
//!
//! Between two steps of its tasks nothing on this thread is under way, so what is packed in one piece fits together. Nothing may happen
//! after that: the thread is blocked until the process has become the next program, or until that has failed. Nobody outside notices:
//! what they send waits in the kernel.
//!
//! Calls that only this program can answer ([`super::ties`]) are waited for before, and so are the requests at our endpoints, which run
//! on this thread too.

use super::{Gateway, client::Client, kept::Kept, plugin::Plugin};
use crate::{endpoint::pause::Pause, renew::baggage::Baggage};
use std::{
    collections::HashMap,
    io,
    rc::{Rc, Weak},
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};
use tokio::{sync::oneshot, task::yield_now, time::timeout};

/// How long calls are waited for that only this program can answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Rounds of this thread in which what has arrived becomes a call or a request, and what is answered is written.
const ROUNDS: usize = 3;

/// The thread stands still.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// What was on it.
    pub baggage: Baggage,
    /// As long as this is there.
    pub thaw: SyncSender<()>,
}

/// Lets the thread stand still as soon as it may; whoever asks is given what was on it, or told why not.
pub(super) async fn freeze(gateway: Rc<Gateway>, told: oneshot::Sender<Result<Frozen, String>>) {
    let pause = Pause::begin();
    if timeout(PATIENCE, gateway.comes_to_rest(&pause)).await.is_err() {
        let names = gateway.ties.names().join(", ");
        let reason = match names.is_empty() {
            true => format!("requests at the endpoints were not answered within {PATIENCE:?}"),
            false => format!("calls of {names} were not answered within {PATIENCE:?}"),
        };
        let _ = told.send(Err(reason));
        return;
    }
    let mut baggage = Baggage::default();
    let (thaw, thawed) = sync_channel(1);
    let frozen = gateway.pack(&mut baggage).map(|()| Frozen { baggage, thaw });
    let _ = told.send(frozen.map_err(|error| error.to_string()));
    // Comes back when nobody has what was packed.
    let _ = thawed.recv();
}

impl Gateway {
    /// Waits until nothing runs on this thread that the next program cannot go on with.
    async fn comes_to_rest(&self, pause: &Pause) {
        loop {
            self.ties.none().await;
            pause.quiet().await;
            for _ in 0..ROUNDS {
                yield_now().await;
            }
            if self.ties.names().is_empty() && pause.is_quiet() {
                return;
            }
        }
    }

    fn pack(&self, baggage: &mut Baggage) -> io::Result<()> {
        let mut kept = Kept::default();
        let mut numbers = Numbers::default();
        for client in self.clients.borrow().all() {
            if let Some(words) = client.pack(baggage)? {
                numbers.0.insert(Rc::as_ptr(&client), kept.clients.len());
                kept.clients.push(words);
            }
        }
        for plugin in &*self.known.borrow() {
            kept.plugins.push(plugin.pack(baggage, &numbers)?);
        }
        kept.put(baggage)
    }

    /// What the program before has packed: its clients, and its plugins, whose connections to processes go on.
    pub(super) fn unpack(&self, baggage: &mut Baggage) -> (Vec<Rc<Client>>, Vec<Rc<Plugin>>) {
        let kept = Kept::take(baggage);
        // Each keeps its number, also beside one that is gone meanwhile.
        let clients: Vec<Option<Rc<Client>>> = kept
            .clients
            .into_iter()
            .map(|words| Client::unpack(words, baggage, &self.load))
            .collect();
        let plugins = kept
            .plugins
            .into_iter()
            .map(|words| Plugin::unpack(words, baggage, &self.load, &clients))
            .collect();
        (clients.into_iter().flatten().collect(), plugins)
    }
}

/// The numbers of the clients that are packed.
#[derive(Debug, Default)]
pub(super) struct Numbers(HashMap<*const Client, usize>);

impl Numbers {
    /// None for one that has gone: nobody waits for what it has called.
    pub(super) fn of(&self, client: &Rc<Client>) -> Option<usize> {
        self.0.get(&Rc::as_ptr(client)).copied()
    }
}

/// The clients that there are.
#[derive(Debug, Default)]
pub(super) struct Clients(Vec<Weak<Client>>);

impl Clients {
    pub(super) fn add(&mut self, client: &Rc<Client>) {
        // Now and then those that are gone are forgotten.
        if self.0.len() == self.0.capacity() {
            self.0.retain(|client| client.strong_count() > 0);
        }
        self.0.push(Rc::downgrade(client));
    }

    pub(super) fn all(&self) -> Vec<Rc<Client>> {
        self.0.iter().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "freeze_tests.rs"]
mod tests;
