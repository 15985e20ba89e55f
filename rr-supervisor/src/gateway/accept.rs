//! Where calls come in: `rpc.listen`, and the socket in the control directory, which the command line uses when nothing is configured.

use super::{
    Gateway, Locals,
    client::Client,
    orders::{self, Order},
    ties::Tie,
};
use crate::{control::Question, fleet::RosterWatch, renew::baggage::Baggage};
use nix::sys::resource::{Resource, getrlimit};
use rr_common::{
    control::Door,
    rpc::{OpenPort, Quiet},
};
use std::{cell::Cell, convert::Infallible, io, rc::Rc};
use tokio::{
    net::UnixStream,
    sync::{Notify, mpsc, oneshot},
    task::spawn_local,
};

/// Most connections at once; more wait in the kernel's queue.
const MOST: usize = 16_384;

/// Where calls come in, and from whom already.
#[derive(Debug)]
pub(crate) struct Doors {
    /// The control directory's socket.
    pub door: Door,
    /// What the program before this one has packed.
    pub before: Baggage,
    /// Everything else, while we run: `rpc.listen` above all.
    pub orders: mpsc::Receiver<Order>,
}

/// Counts the connections, and lets no more in than descriptors allow.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) gateway: Rc<Gateway>,
    room: Cell<usize>,
    left: Notify,
}

/// Opens the gateway, on the thread where this is called.
pub(crate) fn open(mut doors: Doors, locals: Locals, roster: RosterWatch, questions: mpsc::Sender<Question>) {
    let gateway = Rc::new(Gateway::new(locals, questions));
    let (clients, plugins) = gateway.unpack(&mut doors.before);
    // What no room has taken is closed, so that whoever is at the other end knows: of services, above all, their guard.
    drop(doors.before);
    gateway.known.replace(plugins);
    spawn_local(Rc::clone(&gateway).follow(roster));
    let entrance = Entrance::new(gateway);
    for client in clients {
        entrance.serve(client, None);
    }
    let inner = Rc::clone(&entrance);
    spawn_local(async move {
        if let Err(error) = inner.admit(doors.door).await {
            tracing::error!(target: "rpc", %error, "an RPC socket is closed");
        }
    });
    spawn_local(orders::obey(entrance, doors.orders));
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

    /// Accepts on a configured address until the other end of `until` is gone. Who came in stays.
    pub(super) async fn listen(self: Rc<Self>, port: OpenPort, mut until: oneshot::Receiver<Infallible>) {
        loop {
            let next = async {
                self.has_room().await;
                port.accept().await
            };
            tokio::select! {
                caller = next => self.serve(Client::new(caller, &self.gateway.load), None),
                _ = &mut until => return,
            }
        }
    }

    /// Accepts at the control directory's socket, for ever.
    async fn admit(self: Rc<Self>, door: Door) -> io::Result<()> {
        let visitors = door.visitors()?;
        loop {
            // Operators come in however many clients there are.
            let stream = visitors.next().await;
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
        // At once: whatever happens next on this thread, it is known.
        self.gateway.welcome(&client);
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
