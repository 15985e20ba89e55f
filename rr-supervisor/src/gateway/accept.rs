//! Where calls come in: `rpc.listen`, and the socket in the control directory, which the command line uses when nothing is configured.

use super::{
    Gateway, Locals,
    client::Client,
    freeze::{self, Order},
    ties::Tie,
};
use crate::{control::Question, fleet::RosterWatch, renew::baggage::Baggage};
use nix::sys::resource::{Resource, getrlimit};
use rr_common::{
    control::Door,
    rpc::{Port, Quiet},
};
use std::{cell::Cell, io, rc::Rc};
use tokio::{
    net::UnixStream,
    sync::{Notify, mpsc},
    task::spawn_local,
};

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
    /// What it has packed.
    pub baggage: Baggage,
    /// When everything shall stand still for the next one.
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
    mut before: Before,
) {
    let gateway = Rc::new(Gateway::new(locals, questions));
    let (clients, plugins) = gateway.unpack(&mut before.baggage);
    // What no room has taken is closed, so that whoever is at the other end knows: of services, above all, their guard.
    drop(before.baggage);
    gateway.known.replace(plugins);
    spawn_local(Rc::clone(&gateway).follow(roster));
    spawn_local(freeze::obey(Rc::clone(&gateway), before.orders));
    let entrance = Entrance::new(gateway);
    for client in clients {
        entrance.serve(client, None);
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
            let client = Client::new(port.accept().await, &self.gateway.load);
            self.serve(client, None);
        }
    }

    /// Accepts at the control directory's socket, for ever.
    async fn admit(self: Rc<Self>, door: Door) -> io::Result<()> {
        let guests = door.guests()?;
        loop {
            // Operators come in however many clients there are.
            let stream = guests.next().await;
            // What calls itself, for a plugin that has asked for it over the contract, ends with this program.
            let tie = is_own(&stream).then(|| self.gateway.ties.tie("Supervisor.Call", None));
            // A connection that is gone already is no trouble of ours.
            if let Ok(stream) = Quiet::unix(stream) {
                self.serve(Client::new(stream, &self.gateway.load), tie);
            }
        }
    }

    fn serve(self: &Rc<Self>, client: Rc<Client>, tie: Option<Tie>) {
        let entrance = Rc::clone(self);
        self.room.set(self.room.get().saturating_sub(1));
        spawn_local(async move {
            client.serve(Rc::clone(&entrance.gateway)).await;
            drop(tie);
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

/// Whether it is this process at the other end.
fn is_own(stream: &UnixStream) -> bool {
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    peer.and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id())
}
