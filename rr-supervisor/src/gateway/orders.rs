//! What the main loop tells the gateway while it runs.

use super::{
    Locals,
    accept::Entrance,
    freeze::{Frozen, freeze},
};
use rr_common::rpc::OpenPort;
use std::{convert::Infallible, rc::Rc};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_local,
};

/// Orders that wait; they come by reloads and upgrades, a few at a time.
pub(crate) const ORDERS: usize = 16;

/// What it is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// These methods are the supervisor's own from now on.
    Answer(Locals),
    /// Calls come in there too, until the other end is dropped.
    Listen(OpenPort, oneshot::Receiver<Infallible>),
    /// Everything shall stand still; whoever asks is given it, or told why not.
    Freeze(oneshot::Sender<Result<Frozen, String>>),
}

/// Carries orders out, for ever.
pub(super) async fn obey(entrance: Rc<Entrance>, mut orders: mpsc::Receiver<Order>) {
    let gateway = Rc::clone(&entrance.gateway);
    while let Some(order) = orders.recv().await {
        match order {
            Order::Answer(locals) => gateway.set_locals(locals),
            Order::Listen(port, until) => drop(spawn_local(Rc::clone(&entrance).listen(port, until))),
            // What it waits for may need other orders.
            Order::Freeze(told) => drop(spawn_local(freeze(Rc::clone(&gateway), told))),
        }
    }
}
