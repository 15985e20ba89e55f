//! Asks the server each second, on a thread of its own, so that one that hangs does not hold up the keys. A server that is gone is
//! waited for: each look tries to connect anew.

use super::{
    super::{
        find,
        rpc::{Client, QUICK, RpcError},
    },
    model::News,
};
use crate::operate::Seen;
use rr_common::listen::Address;
use std::{
    io,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};
use tokio::sync::mpsc;

/// How often the server is asked.
const EACH: Duration = Duration::from_secs(1);
/// Longer than the server waits for its plugins.
const PATIENCE: Duration = Duration::from_secs(610);
/// News that wait to be shown.
const NEWS: usize = 8;

/// The thread, and what it says.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) news: mpsc::Receiver<News>,
    tell: mpsc::Sender<News>,
    address: Address,
    /// Its end ends the thread, and a word on it makes it look at once.
    look: SyncSender<()>,
}

impl Asking {
    /// Begins to ask.
    pub(super) fn start(address: Address) -> io::Result<Self> {
        let (tell, news) = mpsc::channel(NEWS);
        let (look, looks) = sync_channel(1);
        let asking = Self {
            news,
            tell: tell.clone(),
            address: address.clone(),
            look,
        };
        thread::Builder::new()
            .name("look".into())
            .spawn(move || repeat(&address, &tell, &looks))?;
        Ok(asking)
    }

    /// Resets a plugin's workers. That may take long, so it has a connection and a thread of its own.
    pub(super) fn reset(&self, plugin: String) {
        let (tell, address, look) = (self.tell.clone(), self.address.clone(), self.look.clone());
        let name = plugin.clone();
        let begun = thread::Builder::new().name("reset".into()).spawn(move || {
            let reset = |mut client: Client| client.call::<_, bool>("resetter.Reset", &plugin, PATIENCE);
            let error = find::connect(&address).and_then(reset).err();
            let _ = tell.blocking_send(News::Reset(plugin, error.map(|error| error.to_string())));
            let _ = look.try_send(());
        });
        if let Err(error) = begun {
            let _ = self.tell.try_send(News::Reset(name, Some(error.to_string())));
        }
    }
}

fn repeat(address: &Address, tell: &mpsc::Sender<News>, looks: &Receiver<()>) {
    let mut client: Option<Client> = None;
    loop {
        let seen = match client.take() {
            Some(known) => Ok(known),
            None => find::connect(address),
        };
        let seen = seen.and_then(|mut known| {
            let seen: Vec<Seen> = known.call("supervisor.Top", &true, QUICK)?;
            client = Some(known);
            Ok::<_, RpcError>(seen)
        });
        let news = match seen {
            Ok(seen) => News::Seen(seen),
            Err(error) => News::Away(error.to_string()),
        };
        if tell.blocking_send(news).is_err() {
            return;
        }
        if let Err(RecvTimeoutError::Disconnected) = looks.recv_timeout(EACH) {
            return;
        }
    }
}
