//! All clients rest: what the next program of this process needs of them is put together, while they wait with open connections.
//!
//! Nothing new is taken from them, what is lent to plugins is taken back, and the calls that have begun are waited for. A call that
//! is not answered in time, because it waits for something itself, gets an error: its connection must not be lost.

use super::{Gateway, client::Client};
use crate::renew::baggage::{Baggage, Descriptor, Span};
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::fd::OwnedFd,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

/// How long running calls are waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long plugins may keep what they are lent, and clients may take for their last answers.
const MOMENT: Duration = Duration::from_millis(500);

/// Between two looks whether all rest.
const LOOK: Duration = Duration::from_millis(2);

/// What a call hears that was not answered in time.
const LATE: &str = "rpc: the server's program was replaced before the call was answered";

/// The name under which clients are packed.
const ROOM: &str = "gateway";

/// The connection of a client, between two calls.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The socket.
    pub socket: OwnedFd,
    /// Bytes that were read from it and belong to calls that nobody has taken.
    pub unread: Vec<u8>,
    /// Bytes of a refused call that are still to come.
    pub skip: usize,
}

/// The same in words.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    socket: Descriptor,
    unread: Span,
    skip: usize,
}

/// Packs the clients.
///
/// # Errors
/// They cannot be put into words.
pub(crate) fn pack(clients: Vec<Parcel>, baggage: &mut Baggage) -> io::Result<()> {
    let pack = |client: Parcel| Kept {
        unread: baggage.add_bytes(&client.unread),
        skip: client.skip,
        socket: baggage.add(client.socket),
    };
    let clients: Vec<Kept> = clients.into_iter().map(pack).collect();
    baggage.put(ROOM, &clients)
}

/// Unpacks the clients of the program before.
pub(crate) fn unpack(baggage: &mut Baggage) -> Vec<Parcel> {
    let clients: Vec<Kept> = baggage.take(ROOM);
    let unpack = |client: Kept| {
        Some(Parcel {
            unread: baggage.bytes(client.unread)?.to_vec(),
            skip: client.skip,
            socket: baggage.descriptor(client.socket)?,
        })
    };
    clients.into_iter().filter_map(unpack).collect()
}

/// What the clients are told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Rest; they are handed out when they do.
    Rest(oneshot::Sender<Vec<Parcel>>),
    /// Go on.
    GoOn,
}

/// Carries orders out, for ever.
pub(super) async fn obey(gateway: Rc<Gateway>, mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Rest(answer) => {
                gateway.set_resting(true);
                let _ = answer.send(rest(&gateway).await);
            }
            Order::GoOn => gateway.set_resting(false),
        }
    }
}

async fn rest(gateway: &Gateway) -> Vec<Parcel> {
    let _ = timeout(MOMENT, gateway.take_all_back()).await;
    if !all_rest(gateway, PATIENCE).await {
        gateway.refuse_running(LATE);
        all_rest(gateway, MOMENT).await;
    }
    gateway.clients().iter().filter_map(|client| client.parcel()).collect()
}

async fn all_rest(gateway: &Gateway, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if gateway.clients().iter().all(|client| client.rests()) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK).await;
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
