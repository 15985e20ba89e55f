//! From the wish to the moment before the execution: check the program, let the RPC clients rest.

use super::{Wish, check::Check, execute::Origin, note_failure};
use crate::{
    gateway::{Order, Parcel},
    plugins::lifecycle::Exit,
};
use nix::unistd::Pid;
use std::{path::PathBuf, time::Instant};
use tokio::sync::{mpsc, oneshot};

/// Where a renewal stands. There is one at a time.
#[derive(Debug)]
pub(crate) struct Renewal {
    /// How this process was started.
    pub(crate) origin: Origin,
    clients: mpsc::Sender<Order>,
    step: Step,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    None,
    /// The program says what it is.
    Checking(Box<Check>),
    /// The RPC clients come to rest.
    Resting {
        binary: PathBuf,
        clients: oneshot::Receiver<Vec<Parcel>>,
    },
}

impl Renewal {
    /// None has begun.
    pub(crate) fn new(origin: Origin, clients: mpsc::Sender<Order>) -> Self {
        Self {
            origin,
            clients,
            step: Step::None,
        }
    }

    /// Begins one, unless there is an objection.
    pub(crate) fn begin(&mut self, wish: Wish, objection: Option<String>, now: Instant) {
        let objection = match self.step {
            Step::None => objection,
            _ => Some("another program is on its way already".to_owned()),
        };
        if let Some(objection) = objection {
            return refuse(wish, objection);
        }
        match Check::begin(wish, &self.origin, now) {
            Ok(check) => self.step = Step::Checking(Box::new(check)),
            Err((wish, reason)) => refuse(wish, reason),
        }
    }

    /// A child has ended: the one that is checked, perhaps. An objection may have come up meanwhile.
    pub(crate) fn ended(&mut self, pid: Pid, exit: Exit, objection: impl FnOnce() -> Option<String>) {
        let Step::Checking(check) = &mut self.step else { return };
        if !check.is(pid) {
            return;
        }
        let verdict = check.verdict(exit);
        let Step::Checking(check) = std::mem::take(&mut self.step) else {
            return;
        };
        let Check { wish, binary, .. } = *check;
        match verdict.and_then(|()| objection().map_or(Ok(()), Err)) {
            Err(reason) => refuse(wish, reason),
            Ok(()) => {
                tracing::info!(target: "supervisor", program = %binary.display(), "the supervisor becomes another program");
                note_failure("");
                let (resting, clients) = oneshot::channel();
                // There is room: nothing else is ordered.
                let _ = self.clients.try_send(Order::Rest(resting));
                // The answer is on its way before the connection rests.
                if let Some(told) = wish.told {
                    let _ = told.send(Ok(()));
                }
                self.step = Step::Resting { binary, clients };
            }
        }
    }

    /// When [`Renewal::elapse`] is due.
    pub(crate) fn wake(&self) -> Option<Instant> {
        match &self.step {
            Step::Checking(check) => Some(check.wake()),
            _ => None,
        }
    }

    /// Acts on the time limit.
    pub(crate) fn elapse(&mut self, now: Instant) {
        if let Step::Checking(check) = &mut self.step {
            check.elapse(now);
        }
    }

    /// Waits until all clients rest: now is the moment.
    pub(crate) async fn is_due(&mut self) -> (PathBuf, Vec<Parcel>) {
        match &mut self.step {
            Step::Resting { binary, clients } => {
                let parcels = clients.await.unwrap_or_default();
                let binary = std::mem::take(binary);
                self.step = Step::None;
                (binary, parcels)
            }
            _ => std::future::pending().await,
        }
    }

    /// It came to nothing: the clients go on.
    pub(crate) fn call_off(&mut self, reason: &str) {
        tracing::error!(target: "supervisor", "the supervisor stays what it is: {reason}");
        note_failure(reason);
        let _ = self.clients.try_send(Order::GoOn);
        self.step = Step::None;
    }
}

fn refuse(wish: Wish, reason: String) {
    tracing::error!(target: "supervisor", "the supervisor stays what it is: {reason}");
    if let Some(told) = wish.told {
        let _ = told.send(Err(reason));
    }
}
