//! Where calls come in: `rpc.listen`, and the socket in the control directory, which the command line uses when nothing is configured.

use super::{
    Gateway, Locals,
    client::Client,
    rest::{self, Order, Parcel},
};
use crate::{control::Question, fleet::RosterWatch};
use nix::sys::resource::{Resource, getrlimit};
use rr_common::{
    control::Door,
    rpc::{Port, Quiet},
};
use std::{cell::Cell, io, rc::Rc};
use tokio::{
    sync::{Notify, mpsc},
    task::spawn_local,
};
use tokio_stream::StreamExt;

/// Most connections at once; more wait in the kernel's queue.
const MOST: usize = 16_384;

/// The sockets where calls come in.
#[derive(Debug)]
pub(crate) struct Doors {
    /// `rpc.listen`, if it is configured.
    pub port: Option<Port>,
    /// The control directory's socket.
    pub door: Door,
}

/// What the program before this one has left, and the way to become another one.
#[derive(Debug)]
pub(crate) struct Before {
    /// Its clients.
    pub clients: Vec<Parcel>,
    /// What the clients are told.
    pub orders: mpsc::Receiver<Order>,
}

/// Counts the connections, and lets no more in than descriptors allow.
#[derive(Debug)]
struct Entrance {
    gateway: Rc<Gateway>,
    room: Cell<usize>,
    left: Notify,
}

/// Opens the RPC port, on the thread where this is called.
pub(crate) fn open(
    doors: Doors,
    locals: Locals,
    roster: RosterWatch,
    questions: mpsc::Sender<Question>,
    before: Before,
) {
    let gateway = Rc::new(Gateway::new(locals, questions));
    spawn_local(Rc::clone(&gateway).follow(roster));
    spawn_local(rest::obey(Rc::clone(&gateway), before.orders));
    let entrance = Entrance::new(gateway);
    for client in before.clients {
        // One that is gone meanwhile is no trouble of ours.
        if let Ok(stream) = Quiet::inherited(client.socket) {
            let gateway = Rc::clone(&entrance.gateway);
            entrance.serve(Client::serve_on(gateway, stream, client.unread, client.skip));
        }
    }
    let closed = |result: io::Result<()>| {
        if let Err(error) = result {
            tracing::error!(target: "rpc", %error, "an RPC socket is closed");
        }
    };
    let inner = Rc::clone(&entrance);
    spawn_local(async move { closed(inner.admit(doors.door).await) });
    if let Some(port) = doors.port {
        spawn_local(async move { closed(entrance.listen(port).await) });
    }
}

impl Entrance {
    fn new(gateway: Rc<Gateway>) -> Rc<Self> {
        // The other half is for everything else that this process has open.
        let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        let half = usize::try_from(limit / 2).unwrap_or(MOST);
        Rc::new(Self {
            gateway,
            room: Cell::new(half.min(MOST)),
            left: Notify::new(),
        })
    }

    /// Accepts on the configured address, for ever.
    async fn listen(self: Rc<Self>, port: Port) -> io::Result<()> {
        let port = port.open()?;
        loop {
            self.has_room().await;
            self.serve(Client::serve(Rc::clone(&self.gateway), port.accept().await));
        }
    }

    /// Accepts at the control directory's socket, for ever.
    async fn admit(self: Rc<Self>, door: Door) -> io::Result<()> {
        let mut connections = door.connections()?;
        while let Some(stream) = connections.next().await {
            // A connection that is gone already is no trouble of ours.
            if let Ok(stream) = stream.and_then(Quiet::unix) {
                self.serve(Client::serve(Rc::clone(&self.gateway), stream));
            }
        }
        Ok(())
    }

    fn serve(self: &Rc<Self>, connection: impl Future<Output = ()> + 'static) {
        let entrance = Rc::clone(self);
        self.room.set(self.room.get().saturating_sub(1));
        spawn_local(async move {
            connection.await;
            entrance.room.set(entrance.room.get() + 1);
            entrance.left.notify_one();
        });
    }

    async fn has_room(&self) {
        while self.room.get() == 0 {
            self.left.notified().await;
        }
    }
}
